"""Progress of a long loop on standard error: what it is doing, how far it is, its rate and the time left."""

import os
import sys
import time
from typing import Any, TextIO

EVERY = 30.0  # seconds between two lines where nobody watches
REDRAW = 0.1  # seconds between two pictures of the same line on a terminal


class Progress:
    """One line, written over, on a terminal; elsewhere a plain line at most every `EVERY` seconds.

    The rate and the time left come from the work measured since the last `stage`, in `unit`s.
    """

    def __init__(self, what: str, unit: str, out: TextIO | None = None) -> None:
        self.what, self.unit = what, unit
        self.out = sys.stderr if out is None else out
        self.live = self.out.isatty()
        self._shown = self._began = time.monotonic()
        self._first = 0.0

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: Any) -> None:
        self._write("")

    def stage(self, doing: str, work: float = 0.0) -> None:
        """Say at once what is being done; measuring starts here, with `work` done already."""
        self._began, self._first = time.monotonic(), work
        self._write(f"{self.what}: {doing} …")

    def update(self, done: str, work: float, total: float | None = None) -> None:
        """`done` is how far in words ("3 of 8 documents"), `work` of `total` how far in units (None: nobody knows)."""
        now = time.monotonic()
        if now - self._shown < (REDRAW if self.live else EVERY):
            return
        self._shown = now
        rate = (work - self._first) / max(now - self._began, 1e-9)
        line = f"{self.what}: {done}, {rate:,.{0 if rate >= 10 else 1}f} {self.unit}/s"
        if total is not None and rate > 0:
            line += f", {duration(max(0.0, total - work) / rate)} left"
        self._write(line) if self.live else self.note(line)

    def note(self, line: str) -> None:
        """A line that stays, above the one that is written over."""
        self._write("")
        print(line, file=self.out, flush=True)

    def _write(self, line: str) -> None:
        if self.live:
            self.out.write(f"\r\x1b[K{line[: self._columns() - 1]}")
            self.out.flush()

    def _columns(self) -> int:
        try:
            return os.get_terminal_size(self.out.fileno()).columns or 80
        except (OSError, ValueError):
            return 80


def duration(seconds: float) -> str:
    """A length of time as a person says it: 42 s, 3 min, 2 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
