"""Train a warm-started pair by reinforcement learning; an interrupted run goes on with --resume."""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from thinkaloud.training.config import RL


@dataclass(frozen=True)
class Resume:
    resume: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """The folder of a run that stopped or was killed. It goes on as it was begun; nothing else is needed."""


def parse(args: list[str]) -> RL | Resume:
    """A new run, or with --resume one that goes on."""
    resumes = any(arg == "--resume" or arg.startswith("--resume=") for arg in args)
    kind: Any = Resume if resumes else RL
    what = f"{__doc__}\n\nTo go on with a run: thinkaloud train --resume RUN"
    return tyro.cli(kind, args=args, prog="thinkaloud train", description=what, config=(tyro.conf.FlagCreatePairsOff,))


def main(args: RL | Resume) -> None:
    from thinkaloud.training import run_folder
    from thinkaloud.training.rl import resume, train

    with told_to_stop() as stop, view() as watch:
        run = train(args, watch, stop) if isinstance(args, RL) else resume(args.resume, watch, stop)
    status = (run / run_folder.STATUS).read_text(encoding="utf-8").strip()
    print(f"{run}: {status}")
    if status.startswith("stopped"):
        print(f"next: thinkaloud train --resume {run}")
    else:
        data = run_folder.begun_with(run)["config"]["data"]
        print(f"next: thinkaloud score --nla {run} --data {data}")


def begin_or_go_on(config: RL) -> None:
    """A step of a recipe: the run it names, begun or resumed."""
    from thinkaloud.training.run_folder import CONFIG

    main(Resume(Path(config.out)) if (Path(config.out) / CONFIG).is_file() else config)


@contextmanager
def told_to_stop() -> Iterator[Any]:
    """A function that says whether a polite signal (SIGTERM) has come since; a second one ends at once."""
    told: list[int] = []

    def hear(number: int, frame: Any) -> None:
        told.append(number)
        print("told to stop: the step is finished and saved first", file=sys.stderr, flush=True)
        signal.signal(number, signal.SIG_DFL)

    before = signal.signal(signal.SIGTERM, hear)
    try:
        yield lambda: bool(told)
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def view() -> Iterator[Any]:
    """What sees the lines of a run's log: a live table on a terminal; in a pipe, a line for every evaluation."""
    if not sys.stderr.isatty():
        yield print_line
        return
    from rich.console import Console
    from rich.live import Live

    panel = Panel()
    with Live(panel, console=Console(stderr=True), refresh_per_second=2) as live:

        def watch(metrics: dict[str, Any]) -> None:
            panel.see(metrics)
            live.refresh()

        yield watch


SHOWN = {
    "heldout_fve": "FVE, live AR",
    "heldout_fve_frozen": "FVE, frozen AR",
    "closed": "closed",
    "length": "tokens",
    "repetition": "repetition",
    "quoted": "quoted",
    "non_latin": "non-Latin",
    "heldout_kl": "KL, nats a token",
}


def print_line(metrics: dict[str, Any]) -> None:
    """An evaluation or a note, as one line."""
    if "note" in metrics:
        print(metrics["note"], file=sys.stderr, flush=True)
    elif "heldout_fve" in metrics:
        held = "  ".join(f"{name} {metrics[key]:.4g}" for key, name in SHOWN.items())
        print(f"step {metrics['step']}/{metrics['steps']}  {held}", file=sys.stderr, flush=True)


class Panel:
    """A run as it goes: how far, how fast, what the last step and the last evaluations say."""

    def __init__(self) -> None:
        self.begin, self.first = time.monotonic(), None
        self.last: dict[str, Any] = {}
        self.held: list[dict[str, Any]] = []
        self.notes: list[str] = []

    def see(self, metrics: dict[str, Any]) -> None:
        """Take in a line of the log."""
        if "note" in metrics:
            self.notes.append(metrics["note"])
            return
        if self.first is None:
            self.begin, self.first = time.monotonic(), metrics["step"]
        self.last = metrics
        if "heldout_fve" in metrics:
            self.held = [*self.held, metrics][-6:]

    def __rich__(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        if not self.last:
            return Text("loading the pair and judging it before the first step …")
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("held-out documents, greedy")
        for metrics in self.held:
            table.add_column(f"step {metrics['step']}", justify="right")
        for key, name in SHOWN.items():
            table.add_row(name, *(f"{metrics[key]:.3f}" for metrics in self.held))
        notes = [Text(note, "yellow") for note in self.notes]
        return Group(Text(self.headline(), "bold"), Text(self.step_line()), Text(""), table, *notes)

    def headline(self) -> str:
        """Step, rate and time left."""
        from thinkaloud.activations.progress import duration

        step, steps = self.last["step"], self.last["steps"]
        made = step - (self.first or 0)
        seconds = time.monotonic() - self.begin
        left = f", {duration(seconds / made * (steps - step))} left" if made else ""
        rate = f", {self.last['tokens_per_second']:,} tokens/s" if "tokens_per_second" in self.last else ""
        return f"step {step} of {steps}{rate}{left}"

    def step_line(self) -> str:
        """What the last step says."""
        if "reward" not in self.last:
            return "before the first step"
        m = self.last
        skipped = m["skipped_av"] + m["skipped_ar"]
        return (
            f"reward {m['reward']:.3f}, closed {100 * m['train_closed']:.0f} %, {m['train_length']:.0f} tokens, "
            f"KL {m['kl']:.3f}, entropy {m['entropy']:.2f}" + (f", {skipped} updates skipped" if skipped else "")
        )
