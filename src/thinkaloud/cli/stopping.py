"""Ctrl-C and SIGTERM while a run trains: the step is finished and saved first."""

import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from threading import Thread
from typing import Any

from thinkaloud.cli import INTERRUPTED
from thinkaloud.cli.progress import Pace


@contextmanager
def told_to_stop(pace: Pace) -> Iterator[list[int]]:
    """The polite signals (Ctrl-C, SIGTERM) that have come since; a second one ends at once, and so does Ctrl-C before
    there is anything to save.
    """
    told: list[int] = []
    heard: SimpleQueue[bool] = SimpleQueue()

    def answer() -> None:
        # in a thread: a handler may have interrupted a write to standard error, which must not be entered twice
        if heard.get():
            told_so = "told to stop: the step is finished and saved first; once more ends at once"
            print(told_so, file=sys.stderr, flush=True)

    speaker = Thread(target=answer, daemon=True)
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    before = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}

    def hear(number: int, frame: Any) -> None:
        if number == signal.SIGINT and not pace.steps:
            raise KeyboardInterrupt
        told.append(number)
        heard.put(True)
        for each, handler in before.items():
            signal.signal(each, handler)

    speaker.start()
    for number in before:
        signal.signal(number, hear)
    try:
        yield told
    finally:
        heard.put(False)
        speaker.join()
        for number, handler in before.items():
            signal.signal(number, handler)


def exit_code(told: Sequence[int]) -> int:
    """What a command ends with whose run was stopped by these signals: 130 after Ctrl-C, 0 after SIGTERM."""
    return INTERRUPTED if signal.SIGINT in told else 0
