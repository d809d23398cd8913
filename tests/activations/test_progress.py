"""Progress is said at once, with a rate and a time left from measured work, and seldom where nobody watches."""

import io
import itertools

import pytest

from thinkaloud.activations import progress
from thinkaloud.activations.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True

    def lines(self) -> list[str]:
        """What stood on the line, one picture after another."""
        return [part for part in self.getvalue().split("\r\x1b[K") if part]


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def test_a_terminal_is_told_at_once_and_then_by_measured_work(clock: list[float]) -> None:
    out = Terminal()
    with Progress("extract", "tokens", out) as shown:
        shown.stage("loading the model")
        clock[0] += 60
        shown.stage("reading the first documents", work=1000)
        assert out.lines() == ["extract: loading the model …", "extract: reading the first documents …"]
        clock[0] += 10
        shown.update("1 of 4 documents", 1500, 3500)  # 50 a second since the stage began; 2,000 to go
        clock[0] += 0.01
        shown.update("too soon to be drawn again", 1501, 3500)
        clock[0] += 10
        shown.update("2 documents", 1600)
        shown.note("a line that stays")
    assert out.lines()[2:] == [
        "extract: 1 of 4 documents, 50 tokens/s, 40 s left",
        "extract: 2 documents, 30 tokens/s",
        "a line that stays\n",
    ]
    assert out.getvalue().endswith("\r\x1b[K"), "the line goes when the work is done"


def test_elsewhere_a_plain_line_now_and_then(clock: list[float]) -> None:
    out = io.StringIO()
    with Progress("extract", "tokens", out) as shown:
        shown.stage("loading the model")
        for step in itertools.count():
            clock[0] += 1
            shown.update(f"{step} of 100 documents", step, 100)
            if step == 100:
                break
    assert out.getvalue().splitlines() == [
        "extract: 29 of 100 documents, 1.0 tokens/s, 73 s left",
        "extract: 59 of 100 documents, 1.0 tokens/s, 42 s left",
        "extract: 89 of 100 documents, 1.0 tokens/s, 11 s left",
    ]


def test_work_that_a_resumed_run_finds_done_is_no_speed(clock: list[float]) -> None:
    out = Terminal()
    shown = Progress("train", "steps", out)
    shown.stage("going on", work=90)
    clock[0] += 10
    shown.update("95 of 100", 95, 100)
    assert out.lines()[-1] == "train: 95 of 100, 0.5 steps/s, 10 s left"


def test_a_line_is_never_longer_than_the_terminal(clock: list[float]) -> None:
    out = Terminal()
    Progress("extract", "tokens", out).stage("x" * 300)
    assert len(out.lines()[-1]) < 80
