"""Train a warm-started pair by reinforcement learning; given again, the command goes on with an interrupted run."""

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
    with told_to_stop(pace) as told, progress.log_view(pace, line, evaluated) as watch:
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
    """A line of the log, as one line: the figures of an evaluation, or those of a step."""
    held = (f"{name} {metrics[key]:.4g}" for key, name in SHOWN.items() if key in metrics)
    return f"step {metrics['step']}/{metrics['steps']}  {'  '.join(held) or step_line(metrics)}"


def evaluated(metrics: dict[str, Any]) -> bool:
    """Whether a line of the log has held-out figures."""
    return "heldout_fve" in metrics


def step_line(m: dict[str, Any]) -> str:
    """What a step says."""
    if "reward" not in m:
        return "no step yet"
    skipped = m["skipped_av"] + m["skipped_ar"]
    speed = f", {m['tokens_per_second']:,} tokens/s" if "tokens_per_second" in m else ""
    return (
        f"reward {m['reward']:.3f}, closed {100 * m['train_closed']:.0f} %, {m['train_length']:.0f} tokens, "
        f"KL {m['kl']:.3f}, entropy {m['entropy']:.2f}{speed}" + (f", {skipped} updates skipped" if skipped else "")
    )
