"""The time left falls, comes from recent steps, and counts evaluations; bars fit, and a pipe gets lines."""

import re
import sys

import pytest
from terminal import Terminal

from thinkaloud.cli import progress
from thinkaloud.cli.progress import Pace


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_time_left_is_that_of_recent_steps_and_falls_between_them() -> None:
    clock = Clock()
    pace = Pace(1000, clock)
    clock.now = 500.0  # loading
    pace.see({"step": 0, "steps": 100})
    assert pace.seconds() is None
    for step in range(1, 41):
        clock.now += 8.0 if step <= 20 else 2.0
        pace.see({"step": step, "steps": 100})
    assert pace.seconds() == pytest.approx(60 * 2.0)
    clock.now += 1.5
    assert pace.seconds() == pytest.approx(60 * 2.0 - 1.5)
    clock.now += 1e6
    assert pace.seconds() == 0.0


def test_a_run_with_evaluations_is_told_right_from_its_first_step_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """150 steps of 2 s, an evaluation of 30 s before the first, at every 25th and at the last: what is said is true."""
    clock = Clock()
    pace = Pace(25, clock)
    clock.now = 70.0
    evaluations = [step for step in range(1, 151) if step % 25 == 0]
    end = 70.0 + 150 * 2.0 + len(evaluations) * 30.0
    pace.see({"step": 0, "steps": 150, "seconds_eval": 30.0})
    said: list[float] = []
    for step in range(1, 151):
        clock.now += 2.0
        evaluated = {"seconds_eval": 30.0} if step in evaluations else {}
        clock.now += evaluated.get("seconds_eval", 0.0)
        pace.see({"step": step, "steps": 150, **evaluated})
        said.append(pace.seconds() or 0.0)
        assert said[-1] == pytest.approx(end - clock.now)
    assert said == sorted(said, reverse=True)
    assert said[-1] == 0.0


@pytest.mark.parametrize(
    ("steps", "every", "step", "expected"), [(10, 4, 0, 3), (10, 4, 4, 2), (8, 4, 4, 1), (8, 4, 8, 0)]
)
def test_evaluations_that_are_still_to_come(steps: int, every: int, step: int, expected: int) -> None:
    pace = Pace(every)
    pace.see({"step": step, "steps": steps})
    assert pace.evaluations() == expected


def test_a_resumed_run_does_not_count_what_an_earlier_process_did() -> None:
    clock = Clock()
    pace = Pace(1000, clock)
    clock.now = 40.0
    pace.see({"step": 90, "steps": 100})
    clock.now = 43.0
    pace.see({"step": 91, "steps": 100})
    assert pace.seconds() == pytest.approx(27.0)


def test_a_pipe_gets_a_line_now_and_then(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with progress.progress("explaining", 1000) as watch:
        for _ in range(10):
            watch(100)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(progress, "EVERY", 0.0)
    with progress.progress("explaining", 1000) as watch:
        watch(100)
        watch(150)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("explaining: 0 of 1,000 explanations")
    assert lines[1].startswith("explaining: 100 of 1,000 explanations, ")
    assert lines[2].startswith("explaining: 250 of 1,000 explanations, ")
    assert lines[2].endswith(" left")


BAR = """
import time
from thinkaloud.cli.progress import progress
with progress("explaining", 12000) as watch:
    for _ in range(12):
        time.sleep(0.15)
        watch(1000)
print("done")
"""


@pytest.mark.parametrize("columns", [60, 120])
def test_a_terminal_has_a_bar_with_a_total_that_fits(columns: int) -> None:
    with Terminal([sys.executable, "-c", BAR], columns) as terminal:
        assert terminal.finish() == 0
    drawn = [line for line in terminal.text.replace("\r", "\n").splitlines() if "explaining" in line]
    assert drawn
    assert max(map(len, drawn)) <= columns
    speed = r", [\d,.]+/s" if columns >= 80 else ""
    assert any(re.search(rf"of 12,000 explanations{speed} 0:00:0", line) for line in drawn)
    assert "done" in terminal.text
