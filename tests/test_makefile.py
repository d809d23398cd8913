"""The two commands set everything up once, and only once: asked of make itself; stand-ins say what pip would."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


# Besides what the package needs itself, and where that it is there is noted.
EXTRAS = {"demo": "", "setup": "", "test": "[test]", "check": "[dev]"}
STAMPS = (".ready", ".ready-test", ".ready-dev")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What make looks at, alone in a folder: the Makefile and the files that the set-up depends on."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


def make(folder: Path, *arguments: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    # A make that runs these tests hands its own flags down; the inner one must not see them.
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    if path is not None:
        environment["PATH"] = path
    executable = shutil.which("make")
    assert executable
    return subprocess.run([executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def finish_setup(folder: Path) -> None:
    (folder / ".venv").mkdir()
    for stamp in STAMPS:
        (folder / ".venv" / stamp).touch()


@pytest.mark.parametrize("target", EXTRAS)
def test_a_first_call_installs_what_it_needs_and_no_more(checkout: Path, target: str) -> None:
    plan = make(checkout, "-n", target).stdout
    assert "-m venv .venv" in plan
    assert re.findall(r"-c constraints.txt -e '.(\S*)'", plan) == list(dict.fromkeys(["", EXTRAS[target]]))


@pytest.mark.parametrize("target", EXTRAS)
def test_a_second_call_does_not(checkout: Path, target: str) -> None:
    finish_setup(checkout)
    plan = make(checkout, "-n", target).stdout
    assert "venv .venv" not in plan
    assert "pip" not in plan


def test_set_up_prints_a_line_a_stage(checkout: Path) -> None:
    says_much = "case $2 in pip) yes Collecting | head -n 300 ;; esac"
    script(checkout / "python", f"mkdir -p .venv/bin; cp {checkout}/tool .venv/bin/python")
    script(checkout / "tool", says_much)
    result = make(checkout, ".venv/.ready-test", f"PYTHON={checkout}/python")
    assert result.returncode == 0, result.stderr
    assert "SmolLM2 cannot be had (.venv/setup.log says why)" in result.stdout, "and that is no failure"
    assert len(result.stdout.splitlines()) <= 5, result.stdout
    assert [stamp for stamp in STAMPS if (checkout / ".venv" / stamp).exists()] == [".ready", ".ready-test"]
    assert len((checkout / ".venv/setup.log").read_text().splitlines()) == 300


def test_what_pip_fails_of_is_shown(checkout: Path) -> None:
    script(checkout / "python", f"mkdir -p .venv/bin; cp {checkout}/tool .venv/bin/python")
    script(checkout / "tool", "echo Collecting; echo 'ERROR: No space left on device' >&2; exit 1")
    result = make(checkout, "setup", f"PYTHON={checkout}/python")
    assert result.returncode != 0
    assert "ERROR: No space left on device\n" in result.stderr
    assert "Collecting" not in result.stderr
    assert "all that pip said is in .venv/setup.log" in result.stderr


@pytest.mark.slow
def test_without_a_network_one_line_says_what_is_missing(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real pip, which finds nobody at the address of its index."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    monkeypatch.setenv("PIP_RETRIES", "1")
    result = make(checkout, "demo", f"PYTHON={sys.executable}")
    assert result.returncode != 0
    said = [line for line in result.stderr.splitlines() if not line.startswith("make")]
    assert len(said) == 1
    assert said[0].startswith("The package index cannot be reached and hatchling>=1.27 is not here: ")
    assert not (checkout / ".venv" / ".ready").exists()


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed_again(checkout: Path, name: str) -> None:
    finish_setup(checkout)
    stamp = max((checkout / ".venv" / name).stat().st_mtime for name in STAMPS)
    os.utime(checkout / name, (stamp + 10, stamp + 10))
    assert "pip install" in make(checkout, "-n", "test").stdout


def test_demo_and_tests_run_offline(checkout: Path) -> None:
    finish_setup(checkout)
    assert "HF_HUB_OFFLINE=1 .venv/bin/thinkaloud demo" in make(checkout, "-n", "demo").stdout
    assert "HF_HUB_OFFLINE=1 .venv/bin/python -m pytest" in make(checkout, "-n", "test").stdout


def test_a_set_up_that_fails_is_not_taken_for_done(checkout: Path) -> None:
    script(checkout / "python", "case $1 in -c) exit 0 ;; *) exit 1 ;; esac")
    result = make(checkout, "setup", f"PYTHON={checkout}/python")
    assert result.returncode != 0
    assert not (checkout / ".venv" / ".ready").exists()


def test_an_old_python_is_refused_in_one_line(checkout: Path) -> None:
    tools = checkout / "bin"
    tools.mkdir()
    for name in ("sh", "touch"):
        os.symlink(str(shutil.which(name)), tools / name)
    script(tools / "python3", "exit 1")
    result = make(checkout, "setup", path=str(tools))
    assert result.returncode != 0
    assert "needs Python 3.11 or newer" in result.stderr


def test_a_python_without_venv_is_refused_in_one_line(checkout: Path) -> None:
    script(checkout / "python", f'case $2 in *venv*) exit 1 ;; *) exec {sys.executable} "$@" ;; esac')
    result = make(checkout, "setup", f"PYTHON={checkout}/python")
    assert result.returncode != 0
    assert "has no venv module" in result.stderr


def test_ci_checks_and_then_follows_the_readme_with_every_test() -> None:
    steps = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "set -euo pipefail" in steps
    follow = "PYTEST_ADDOPTS=\"-m 'not gpu'\" .venv/bin/python docs/follow_readme.py"
    assert 0 < steps.index("make --no-print-directory check") < steps.index(follow)
