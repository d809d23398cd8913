"""Train a verbalizer (av) or a reconstructor (ar) on written explanations; an interrupted run goes on."""

import sys
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import subcommand

from thinkaloud.training.config import ARWarmStart, AVWarmStart

Args = Annotated[ARWarmStart, subcommand("ar")] | Annotated[AVWarmStart, subcommand("av")]


def main(args: ARWarmStart | AVWarmStart) -> None:
    from thinkaloud.pair.formats import read_contract
    from thinkaloud.pair.verdict import recorded
    from thinkaloud.training.sft import warm_start

    model = warm_start(args, watch=show, say=lambda line: print(line, file=sys.stderr, flush=True))
    print(f"wrote {model}")
    found = recorded(read_contract(model, args.role))
    if found is not None:
        print(found)
    pair = Path(args.out).parent
    go_on = f" --start {args.start}" if args.start else ""
    if args.role == "ar":
        print(f"next: thinkaloud warmstart av --data {args.data} --ar {args.out}{go_on} --out {pair / 'av'}")
    else:
        print(f"next: thinkaloud score --nla {pair} --data {args.data}")


def show(metrics: dict[str, Any]) -> None:
    """One line of progress on a terminal; in a pipe, the evaluations alone."""
    names = ("loss", "lr", "grad_norm", "skipped", "tokens_per_second")
    held = {name: value for name, value in metrics.items() if name not in (*names, "step", "steps")}
    if held or sys.stderr.isatty():
        shown = {**{name: metrics[name] for name in names[:1] + names[3:]}, **held}
        line = "  ".join(f"{name} {_short(value)}" for name, value in shown.items())
        print(f"step {metrics['step']}/{metrics['steps']}  {line}", file=sys.stderr, flush=True)


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
