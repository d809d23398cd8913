"""One process at a time in a folder: who is refused, who is not, and what a kill leaves."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from thinkaloud.errors import UserError
from thinkaloud.lock import NAME, held

HOLD = """
import sys, time
from pathlib import Path
from thinkaloud.lock import held
with held(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def holder(folder: Path) -> subprocess.Popen[str]:
    """A process that holds the folder until it is killed."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def killed(process: subprocess.Popen[str]) -> None:
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()


def test_a_second_process_is_told_who_holds_the_folder_and_a_kill_lets_go(tmp_path: Path) -> None:
    process = holder(tmp_path / "run")
    who = rf"run is in use by process {process.pid} on {socket.gethostname()} since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d: "
    with pytest.raises(UserError, match=who), held(tmp_path / "run"):
        pass
    killed(process)
    assert (tmp_path / "run" / NAME).exists(), "what a kill leaves"
    with held(tmp_path / "run"):
        assert f"process {os.getpid()} on " in (tmp_path / "run" / NAME).read_text()
        with pytest.raises(UserError, match=f"in use by process {os.getpid()} on "), held(tmp_path / "run"):
            pass
    assert list((tmp_path / "run").iterdir()) == []


def test_only_what_was_made_and_is_empty_goes_again(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with held(tmp_path / "there" / "new" / "run"):
        pass
    assert list((tmp_path / "there").iterdir()) == []
    with held(tmp_path / "there"):
        pass
    assert (tmp_path / "there").is_dir()
    with held(tmp_path / "run"):
        (tmp_path / "run" / "file").write_text("mine")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["file"]
    with pytest.raises(UserError, match="file is a file: give the name of a folder"), held(tmp_path / "run" / "file"):
        pass


def test_without_flock_the_words_decide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))

    process = holder(tmp_path)
    monkeypatch.setattr(fcntl, "flock", unsupported)
    with pytest.raises(UserError, match=f"in use by process {process.pid} on "), held(tmp_path):
        pass
    killed(process)
    with held(tmp_path):
        assert f"process {os.getpid()} on " in (tmp_path / NAME).read_text()
