"""Do the two commands set everything up once, and only once? Asked of make itself, without installing anything."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What make looks at, alone in a folder: the Makefile and the two files that the set-up depends on."""
    for name in ("Makefile", "pyproject.toml", "constraints.txt"):
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


def finish_setup(folder: Path) -> None:
    (folder / ".venv").mkdir()
    (folder / ".venv" / ".ready").touch()


@pytest.mark.parametrize("target", ["demo", "test", "check", "setup"])
def test_a_first_call_sets_up(checkout: Path, target: str) -> None:
    plan = make(checkout, "-n", target).stdout
    assert "-m venv .venv" in plan
    assert "pip install" in plan
    assert "-c constraints.txt -e '.[dev]'" in plan


@pytest.mark.parametrize("target", ["demo", "test", "check", "setup"])
def test_a_second_call_does_not(checkout: Path, target: str) -> None:
    finish_setup(checkout)
    plan = make(checkout, "-n", target).stdout
    assert "venv .venv" not in plan
    assert "pip" not in plan


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_requirements_are_installed_again(checkout: Path, name: str) -> None:
    finish_setup(checkout)
    stamp = (checkout / ".venv" / ".ready").stat().st_mtime
    os.utime(checkout / name, (stamp + 10, stamp + 10))
    assert "pip install" in make(checkout, "-n", "test").stdout


def test_demo_and_tests_run_offline(checkout: Path) -> None:
    finish_setup(checkout)
    assert "HF_HUB_OFFLINE=1 .venv/bin/thinkaloud demo" in make(checkout, "-n", "demo").stdout
    assert "HF_HUB_OFFLINE=1 .venv/bin/python -m pytest" in make(checkout, "-n", "test").stdout


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


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


def test_ci_runs_the_checks_and_then_the_tests() -> None:
    steps = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    assert "set -euo pipefail" in steps
    assert 0 < steps.index("make --no-print-directory check") < steps.index("make --no-print-directory test")
