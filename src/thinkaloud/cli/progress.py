"""How far a verb is and how long it still takes: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress

EVERY = 30.0  # seconds between two lines where nothing can be drawn
RECENT = 20  # measurements that a time left rests on


@contextmanager
def progress(what: str, total: int | None, unit: str = "explanations") -> Iterator[Callable[[int], None]]:
    """Gives the function to call with the number of `unit` that have come since the last call."""
    with stages(unit) as watch:
        done = 0

        def add(more: int) -> None:
            nonlocal done
            done += more
            watch(what, done, total)

        watch(what, 0, total)
        yield add


@contextmanager
def stages(unit: str = "") -> Iterator[Callable[[str, int, int | None], None]]:
    """Gives the function to call with what is being done, how much of it is done, and how much there is.

    On a terminal's standard error every stage has a bar, and all go in the end; elsewhere there is a line for one that
    has not been heard of for `EVERY` seconds.
    """
    if not sys.stderr.isatty():
        said, began = time.monotonic(), dict[str, tuple[int, float]]()

        def tell(what: str, done: int, of: int | None) -> None:
            nonlocal said
            now = time.monotonic()
            first, since = began.setdefault(what, (done, now))
            if now - said >= EVERY:
                said, speed = now, (done - first) / max(now - since, 1e-9)
                share = f"{done:,} of {of:,} {unit}" if of else f"{done:,} {unit}"
                left = in_words((of - done) / speed) if of and speed else ""
                print(f"{what}: {share}".rstrip() + (_speed(speed) if unit else "") + left, file=sys.stderr, flush=True)

        yield tell
        return
    with bars(unit) as drawn:
        tasks: dict[str, Any] = {}

        def watch(what: str, done: int, of: int | None) -> None:
            if what not in tasks:
                for task in drawn.tasks:  # what has no end of its own ends where the next begins
                    task.visible = task.total is not None
                tasks[what] = drawn.add_task(what, total=of)
            drawn.update(tasks[what], completed=done, total=of)

        yield watch


@contextmanager
def log_view(
    pace: "Pace", line: Callable[[dict[str, Any]], str], stays: Callable[[dict[str, Any]], bool]
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """Gives what sees the lines of a run's log: notes, and those that stay, are printed.

    Below them a terminal has the last step with the time left; elsewhere that is a line now and then.
    """
    said, last = time.monotonic(), "loading …"
    terminal = sys.stderr.isatty()

    def see(metrics: dict[str, Any], shown: Callable[[str], None]) -> None:
        nonlocal said, last
        left = ""
        if "step" in metrics:
            pace.see(metrics)
            last, left = line(metrics), pace.words()
        due = not terminal and time.monotonic() - said >= EVERY
        if "note" in metrics or stays(metrics) or due:
            said = time.monotonic()
            shown(metrics.get("note", last) + left)

    if not terminal:
        yield partial(see, shown=partial(print, file=sys.stderr, flush=True))
        return
    from rich.console import Console
    from rich.live import Live
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    def drawn() -> Table:
        grid = Table.grid(padding=(0, 1))
        grid.add_row(ProgressBar(max(1, pace.steps), pace.step, width=20), Text(last + pace.words()))
        return grid

    with Live(get_renderable=drawn, console=Console(stderr=True), refresh_per_second=2, transient=True) as live:
        yield partial(see, shown=lambda words: live.console.print(Text(words)))


def bars(unit: str) -> "Progress":
    """Bars on standard error, with how many `unit` of how many and the time left behind them, in what room there is.

    Where that is 80 columns or more, how many `unit` a second too.
    """
    from rich.console import Console
    from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Count(ProgressColumn):
        def render(self, task: Any) -> Text:
            if task.total is None and not task.completed:
                return Text()
            of = "" if task.total is None else f" of {int(task.total):,}"
            speed = _speed(task.speed) if unit and console.width >= 80 else ""
            return Text(f"{int(task.completed):,}{of} {unit}".rstrip() + speed)

    console = Console(stderr=True)
    bar = BarColumn(max(6, min(40, console.width - 64)))
    columns = TextColumn("{task.description}"), bar, Count(), TimeRemainingColumn()
    return Progress(*columns, console=console, transient=True, speed_estimate_period=600)


class Pace:
    """The time left of a training run, from recent lines of its log; evaluations between them count by themselves.

    It is taken anew at every line, and falls with the clock from one to the next.
    """

    def __init__(self, eval_every: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.every, self.clock, self.last = eval_every, clock, clock()
        self.step = self.steps = 0
        self.recent: deque[tuple[float, int]] = deque(maxlen=RECENT)
        self.evaluation = 0.0

    def see(self, metrics: dict[str, Any]) -> None:
        """Take in a line of the log. What was before the first, as loading, is not measured."""
        now, evaluation = self.clock(), metrics.get("seconds_eval")
        if evaluation is not None:
            self.evaluation = evaluation
        if self.steps and metrics["step"] > self.step:
            self.recent.append((max(0.0, now - self.last - (evaluation or 0.0)), metrics["step"] - self.step))
        self.last, self.step, self.steps = now, metrics["step"], metrics["steps"]

    def evaluations(self) -> int:
        """How many are still to come: one at every `eval_every` steps, and one after the last."""
        last = self.step < self.steps and self.steps % self.every != 0
        return self.steps // self.every - self.step // self.every + last

    def seconds(self) -> float | None:
        """Seconds until the end; None while no step has been measured."""
        if not self.recent:
            return None
        each = sum(seconds for seconds, _ in self.recent) / sum(made for _, made in self.recent)
        left = each * (self.steps - self.step) + self.evaluation * self.evaluations()
        return max(0.0, left - (self.clock() - self.last))

    def words(self) -> str:
        """`, 3 min left`, or nothing."""
        return in_words(self.seconds())


def _speed(speed: float | None) -> str:
    """`, 1,200/s`, or nothing."""
    return f", {speed:,.{0 if speed >= 10 else 1}f}/s" if speed else ""


def in_words(seconds: float | None) -> str:
    """`, 3 min left`, or nothing."""
    if seconds is None:
        return ""
    from thinkaloud.render.text import duration

    return f", {duration(seconds)} left"
