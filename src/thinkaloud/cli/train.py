"""Train a warm-started pair by reinforcement learning; given again, the command goes on with an interrupted run."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro

from thinkaloud.cli import arguments, progress
from thinkaloud.cli.common import File, check_data, check_pair, command
from thinkaloud.cli.stopping import exit_code, told_to_stop
from thinkaloud.config.train import RL


@dataclass(frozen=True)
class Resume:
    resume: Annotated[Path, tyro.conf.arg(metavar="RUN")]
    """The folder of a run that stopped or was killed. It goes on as it was begun; nothing else is needed."""


@dataclass(frozen=True, kw_only=True)
class Options(RL):
    """Every option there is."""

    resume: File = None
    """The folder of a run to go on with."""


def parse(args: list[str]) -> RL | Resume:
    """A new run, or with --resume one that goes on."""
    resumes = any(arg == "--resume" or arg.startswith("--resume=") for arg in args)
    what = f"{__doc__}\n\nTo go on with a run: thinkaloud train --resume RUN"
    kind = Resume if resumes else tyro.conf.UseAppendAction[RL]
    return arguments.parse(kind, args, "thinkaloud train", what, known=tyro.conf.UseAppendAction[Options])


def main(args: RL | Resume) -> int:
    """Train; 130 where Ctrl-C stopped it."""
    if isinstance(args, RL):
        check_data(args.data)
        check_pair(args.nla, None, None, args.data)
    from thinkaloud.training import run_folder
    from thinkaloud.training.rl import begun, resume, train

    config = args if isinstance(args, RL) else begun(args.resume)
    pace = progress.Pace(config.eval.every)
    with told_to_stop(pace) as told, view(pace) as watch:
        stop = partial(bool, told)
        run = train(args, watch, stop) if isinstance(args, RL) else resume(args.resume, watch, stop)
    print(f"{run}: {(run / run_folder.STATUS).read_text(encoding='utf-8').strip()}")
    if run_folder.status(run) == "stopped":
        print(f"next: {command('train', '--resume', run)}")
        return exit_code(told)
    print(f"next: {command('score', '--nla', run, '--data', config.data)}")
    return 0


def kept(args: RL | Resume) -> str:
    """What an interrupt leaves."""
    from thinkaloud.training import checkpoint

    done = checkpoint.steps(_out(args) / "checkpoints")
    return f"the run is kept up to step {done[-1]} in {_out(args)}" if done else "no step is kept yet"


def go_on(args: RL | Resume) -> str | None:
    """The command that goes on with a run that has begun."""
    from thinkaloud.training.run_folder import CONFIG

    return command("train", "--resume", _out(args)) if (_out(args) / CONFIG).is_file() else None


def _out(args: RL | Resume) -> Path:
    return Path(args.out) if isinstance(args, RL) else args.resume


@contextmanager
def view(pace: progress.Pace) -> Iterator[Any]:
    """What sees the lines of a run's log: on a terminal a live table; else evaluations, and a line now and then."""
    if not sys.stderr.isatty():
        yield progress.log_lines(pace, line, lambda metrics: "note" in metrics or "heldout_fve" in metrics)
        return
    from rich.console import Console
    from rich.live import Live

    panel = Panel(pace)
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


def line(metrics: dict[str, Any]) -> str:
    """A line of the log, as one line: a note, the figures of an evaluation, or those of a step."""
    if "note" in metrics:
        return metrics["note"]
    held = (f"{name} {metrics[key]:.4g}" for key, name in SHOWN.items() if key in metrics)
    return f"step {metrics['step']}/{metrics['steps']}  {'  '.join(held) or step_line(metrics)}"


class Panel:
    """A run as it goes: how far, how fast, what the last step and the last evaluations say."""

    def __init__(self, pace: progress.Pace) -> None:
        self.pace = pace
        self.last: dict[str, Any] = {}
        self.held: list[dict[str, Any]] = []
        self.notes: list[str] = []

    def see(self, metrics: dict[str, Any]) -> None:
        """Take in a line of the log."""
        if "note" in metrics:
            self.notes.append(metrics["note"])
            return
        self.pace.see(metrics)
        self.last = metrics
        if "heldout_fve" in metrics:
            self.held = [*self.held, metrics][-6:]

    def __rich_console__(self, console: Any, options: Any) -> Iterator[Any]:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        if not self.last:
            yield Text("loading the pair and judging it before the first step …")
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("held-out documents, greedy")
        table.columns[0].no_wrap = True
        held = self.held[-max(1, (options.max_width - 28) // 12) :]
        for metrics in held:
            table.add_column(f"step {metrics['step']}", justify="right", no_wrap=True)
        for key, name in SHOWN.items():
            table.add_row(name, *(f"{metrics[key]:.3f}" for metrics in held))
        yield Group(Text(self.headline(), "bold"), Text(step_line(self.last)), Text(""), table)
        yield from (Text(note, "yellow") for note in self.notes)

    def headline(self) -> str:
        """Step, rate and time left."""
        rate = f", {self.last['tokens_per_second']:,} tokens/s" if "tokens_per_second" in self.last else ""
        return f"step {self.last['step']} of {self.last['steps']}{rate}{self.pace.words()}"


def step_line(m: dict[str, Any]) -> str:
    """What a step says."""
    if "reward" not in m:
        return "no step yet"
    skipped = m["skipped_av"] + m["skipped_ar"]
    return (
        f"reward {m['reward']:.3f}, closed {100 * m['train_closed']:.0f} %, {m['train_length']:.0f} tokens, "
        f"KL {m['kl']:.3f}, entropy {m['entropy']:.2f}" + (f", {skipped} updates skipped" if skipped else "")
    )
