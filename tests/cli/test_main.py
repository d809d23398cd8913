"""Which verb runs, and what a person sees when it fails."""

import errno
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from thinkaloud import cli
from thinkaloud.errors import UserError


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "thinkaloud.cli", *arguments], capture_output=True, text=True)


@dataclass(frozen=True)
class Args:
    count: int = 1
    """How often."""


def install(monkeypatch: pytest.MonkeyPatch, verb: str, main: Callable[[Args], int | None]) -> None:
    """Let `verb` be a module with `main`."""
    module = types.ModuleType(f"thinkaloud.cli.{verb}", "What the verb does.")
    module.Args, module.main = Args, main  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_help_lists_every_verb_with_a_line() -> None:
    out = command("--help").stdout
    for verb, what in cli.VERBS.items():
        assert any(line.split(maxsplit=1) == [verb, what] for line in out.splitlines())


def test_no_arguments_are_a_question_for_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main([]) == 0
    assert capsys.readouterr().out.startswith("usage: thinkaloud")


@pytest.mark.parametrize("verb", cli.VERBS)
def test_every_verb_has_help(verb: str) -> None:
    result = command(verb, "--help")
    assert result.returncode == 0, result.stderr
    assert f"thinkaloud {verb}" in result.stdout


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--version"]) == 0
    assert capsys.readouterr().out.split()[0] == "thinkaloud"


def test_an_option_nobody_knows_exits_with_2() -> None:
    result = command("score", "--no-such-option")
    assert result.returncode == 2
    assert "Traceback" not in result.stderr


def test_arguments_reach_the_verb_and_its_code_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "read", lambda args: args.count)
    assert cli.main(["read", "--count", "7"]) == 7


def test_nothing_returned_is_success(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, "read", lambda args: None)
    assert cli.main(["read"]) == 0


class OutOfMemoryError(RuntimeError):
    """Named as torch names its own."""


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("expected a,\nfound b"), "expected a, found b"),
        (OSError(errno.ENOSPC, "No space left on device", "out/part-0"), "the disk is full while writing out/part-0"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "the disk is full"),
        (OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "out of memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out of memory"),
        (MemoryError(), "out of memory"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), "out: permission denied"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_what_a_person_can_mend_is_one_line_and_2(
    error: Exception, line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(args: Args) -> None:
        raise error

    install(monkeypatch, "read", fail)
    assert cli.main(["read"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert len(printed.err.splitlines()) == 1
    assert printed.err.startswith(f"thinkaloud: {line}")


def test_an_error_of_ours_keeps_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(args: Args) -> None:
        raise ValueError("a mistake in the code")

    install(monkeypatch, "read", fail)
    with pytest.raises(ValueError, match="a mistake in the code"):
        cli.main(["read"])


def test_an_interrupt_is_quiet_where_nothing_is_kept(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(args: Args) -> None:
        raise KeyboardInterrupt

    install(monkeypatch, "read", interrupted)
    assert cli.main(["read"]) == 130
    assert capsys.readouterr().err == ""


def test_an_interrupt_says_what_is_kept_and_the_command_to_go_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(args: Args) -> None:
        raise KeyboardInterrupt

    install(monkeypatch, "read", interrupted)
    module: Any = sys.modules["thinkaloud.cli.read"]
    module.kept = lambda args: f"{args.count} of them are kept"
    assert cli.main(["read", "--count", "3"]) == 130
    assert capsys.readouterr().err == "stopped: 3 of them are kept\nnext: thinkaloud read --count 3\n"
    module.go_on = lambda args: "thinkaloud read --again"
    assert cli.main(["read"]) == 130
    assert capsys.readouterr().err.splitlines()[1] == "next: thinkaloud read --again"


def test_a_closed_pipe_is_quiet() -> None:
    shell = f"{sys.executable} -m thinkaloud.cli --help | true; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", shell], capture_output=True, text=True)
    assert result.stderr == ""
    assert result.returncode in (0, 141)  # 0 where the pipe was still open when the few lines went through


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a device that is always full")
def test_a_full_disk_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        result = subprocess.run(
            [sys.executable, "-m", "thinkaloud.cli", "--help"], stdout=full, stderr=subprocess.PIPE, text=True
        )
    assert result.returncode == 2
    assert result.stderr == "thinkaloud: the disk is full: free some space and run the same command again\n"
