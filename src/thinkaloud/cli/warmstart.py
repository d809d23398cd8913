"""Train a verbalizer (av) or a reconstructor (ar) on written explanations; an interrupted run goes on."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import subcommand

from thinkaloud.cli import progress, runs
from thinkaloud.cli.common import check_data, check_pair, command
from thinkaloud.cli.stopping import exit_code, told_to_stop
from thinkaloud.config.train import ARWarmStart, AVWarmStart

Args = Annotated[ARWarmStart, subcommand("ar")] | Annotated[AVWarmStart, subcommand("av")]


def main(args: ARWarmStart | AVWarmStart) -> int:
    check_data(args.data)
    if args.model is not None:
        from thinkaloud.loading import resolve

        resolve(args.model)
    if isinstance(args, AVWarmStart) and args.ar is not None:
        check_pair(None, None, args.ar, args.data)
    from thinkaloud.pair.formats import read_contract
    from thinkaloud.pair.verdict import recorded
    from thinkaloud.training import run_folder
    from thinkaloud.training.sft import warm_start

    pace, out = progress.Pace(args.eval.every), Path(args.out)
    with told_to_stop(pace) as told, progress.log_view(pace, line, evaluated) as watch:
        model = warm_start(args, watch, lambda words: watch({"note": words}), partial(bool, told))
    if run_folder.status(out) == "stopped":
        print(f"{out}: {(out / run_folder.STATUS).read_text(encoding='utf-8').strip()}")
        print(f"next: {runs.go_on(out, args.to_dict())}")
        return exit_code(told)
    print(f"wrote {model}")
    found = recorded(read_contract(model, args.role))
    if found is not None:
        print(found)
    pair = out.parent
    if args.role == "ar":
        go_on = ("--start", args.start) if args.start else ()
        todo = ("warmstart", "av", "--data", args.data, "--ar", args.out, *go_on, "--out", pair / "av")
    else:
        todo = ("score", "--nla", pair, "--data", args.data)
    print(f"next: {command(*todo)}")
    return 0


def kept(args: ARWarmStart | AVWarmStart) -> str:
    """What an interrupt leaves."""
    from thinkaloud.training import checkpoint

    done = checkpoint.steps(Path(args.out) / "checkpoints")
    if not done:
        return f"nothing is kept yet: the first checkpoint comes at step {args.save.every}"
    return f"the run is kept up to step {done[-1]} in {args.out}"


def line(metrics: dict[str, Any]) -> str:
    """A line of the log: where it is, and the figures that say how good it is."""
    aside = ("step", "steps", "lr", "grad_norm", "tokens_per_second", "seconds_eval")
    shown = {name: value for name, value in metrics.items() if name not in aside and (name != "skipped" or value)}
    return f"step {metrics['step']}/{metrics['steps']}" + "".join(f"  {k} {_short(v)}" for k, v in shown.items())


def evaluated(metrics: dict[str, Any]) -> bool:
    """Whether a line of the log has held-out figures."""
    return any(name.startswith("heldout") for name in metrics)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
