"""A command in a terminal of its own: what it draws, keys that are pressed, how it ends."""

import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence
from fcntl import ioctl
from pathlib import Path

ESCAPE = re.compile(r"\x1b(\[[0-9;?]*[ -/]*[@-~]|\][^\x07]*\x07|[=>])|\x07")
THINKALOUD = (sys.executable, "-m", "thinkaloud.cli")


def _in_front() -> None:
    """Let Ctrl-C reach the process, even where the tests themselves run in the background."""
    ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Terminal:
    """`words` run with a pseudo-terminal `columns` wide as standard input, output and error."""

    def __init__(self, words: Sequence[str], columns: int = 80, cwd: Path | None = None) -> None:
        self.outside, inside = pty.openpty()
        ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
        kept = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")}
        self.process = subprocess.Popen(
            words,
            stdin=inside,
            stdout=inside,
            stderr=inside,
            env={**kept, "TERM": "xterm"},
            cwd=cwd,
            start_new_session=True,
            preexec_fn=_in_front,
        )
        os.close(inside)
        self.raw = b""

    @property
    def text(self) -> str:
        """All that was drawn so far, without colours and movements; what was drawn over stands there too."""
        return ESCAPE.sub("", self.raw.decode("utf-8", "replace")).replace("\r\n", "\n")

    def press(self, keys: str) -> None:
        os.write(self.outside, keys.encode())

    def until(self, pattern: str, seconds: float = 300) -> re.Match[str]:
        """Wait until `pattern` is found in what was drawn."""
        end = time.monotonic() + seconds
        while (found := re.search(pattern, self.text)) is None:
            assert time.monotonic() < end, f"no {pattern!r} in {self.text[-2000:]}"
            assert self._read(), f"ended without {pattern!r}: {self.text[-2000:]}"
        return found

    def finish(self) -> int:
        """Wait for the end; its exit code."""
        while self._read():
            pass
        return self.process.wait()

    def close(self) -> None:
        """End it, whatever it does."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self.outside)

    def __enter__(self) -> "Terminal":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read(self) -> bool:
        if select.select([self.outside], [], [], 0.2)[0]:
            try:
                data = os.read(self.outside, 65536)
            except OSError:  # the other end is closed
                return False
            self.raw += data
            return bool(data)
        return self.process.poll() is None
