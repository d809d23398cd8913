"""Score a pair on stored activations: how well its explanations rebuild them, with controls and 95 % intervals."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import tyro

from thinkaloud.cli.common import Name, Number, check_data, check_pair, check_sampling, load_pair, put
from thinkaloud.cli.progress import progress
from thinkaloud.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from thinkaloud.evals.reconstruction import Evaluation
    from thinkaloud.pair.nla import NLA
    from thinkaloud.pair.verdict import Verdict


@dataclass(frozen=True)
class Args:
    data: Annotated[Path, tyro.conf.arg(metavar="DIR")]
    """A folder that thinkaloud extract wrote."""
    nla: Name = None
    """The pair: pocket (the bundled one, if nothing is said), a folder with av and ar in it, or a hub name."""
    av: Name = None
    """The verbalizer alone: a folder or a hub name. Give --ar with it."""
    ar: Name = None
    """The reconstructor alone: a folder or a hub name."""
    base: Name = None
    """The model that was read, where an adapter does not say it."""
    split: str = "heldout"
    """Which documents: heldout or train."""
    limit: int = 1000
    """At most so many vectors, evenly spread over the split."""
    samples: int = 1
    """Explanations for each vector."""
    temperature: Number = None
    """0 is greedy. If nothing is said: 0 for one sample, 1 for several."""
    seed: int = 0
    """The same seed draws the same samples and the same shuffled pairs."""
    max_tokens: int = 200
    """The longest explanation, in tokens."""
    also: tuple[str, ...] = ()
    """More evaluations of the same explanations: text_stats, degenerate, or a Python file that registers one."""
    json: bool = False
    """Print one JSON object, and nothing else, on standard output."""
    device: Name = None
    """cpu, cuda or cuda:N; the best there is, if nothing is said."""


def main(args: Args) -> int:
    """Score the pair and print a table or one JSON object."""
    if args.limit < 1:
        raise UserError(f"limit must be 1 or more, found {args.limit}")
    check_sampling(args.samples, args.temperature, args.max_tokens)
    check_data(args.data)
    check_pair(args.nla, args.av, args.ar, args.data)
    from thinkaloud.activations import Activations
    from thinkaloud.evals.reconstruction import evaluate

    whole = Activations.load(args.data, split=args.split)
    baseline = whole.baseline(args.split)
    keep = np.zeros(len(whole.vectors), dtype=bool)
    keep[np.linspace(0, len(keep) - 1, min(args.limit, len(keep))).round().astype(int)] = True
    data = whole.filter(keep)
    nla = load_pair(args.nla, args.av, args.ar, args.base, args.device)
    temperature = args.temperature if args.temperature is not None else float(args.samples > 1)
    with progress("explaining", len(data.vectors) * args.samples) as watch:
        found = evaluate(nla, data, baseline, args.samples, temperature, args.seed, args.max_tokens, watch, args.also)
    how = {"samples": args.samples, "temperature": temperature, "seed": args.seed}
    verdicts = [str(verdict) for verdict in verdicts_on(found, nla)]
    if args.json:
        about = {"pair": nla.name, "data": str(args.data), "split": args.split, **how}
        print(json.dumps({**about, **found.to_dict(), "verdicts": verdicts}))
        return 0
    greedy = "greedy" if temperature == 0 else f"{args.samples} sampled at temperature {temperature:g}"
    put(
        table(found),
        f" pair      {nla.name} at {found.site}, {greedy}",
        f" data      {args.data} ({args.split})",
        f" baseline  {baseline}",
        f" texts     {100 * found.closed:.1f} % closed, {found.tokens:.1f} tokens on average",
        " interval  95 %, bootstrap over documents, V taken as known",
        *(f" {name:<9} {', '.join(f'{k} {v}' for k, v in also.items())}" for name, also in found.also.items()),
        "",
        *verdicts,
    )
    return 0


def verdicts_on(found: "Evaluation", nla: "NLA") -> "list[Verdict]":
    """What the figures come to: of the AR by written explanations, where there are any, and of the pair."""
    from thinkaloud.evals.reconstruction import OWN, SHUFFLED, WRITTEN
    from thinkaloud.pair.verdict import judge

    fve = {line.name: line.fve for line in found.lines}
    out = []
    for role, name, part in (("ar", WRITTEN, nla.reconstructor), ("av", OWN, nla.verbalizer)):
        figures = {"heldout_fve": fve.get(name), "heldout_fve_shuffled_pairs": fve.get(f"{name}, {SHUFFLED}")}
        if role == "av":
            figures["closed"] = found.closed
        out.append(judge(role, figures, part.contract.provenance.get("rows")))
    return [verdict for verdict in out if verdict is not None]


def kept(args: Args) -> str:
    """What an interrupt leaves."""
    return "nothing is kept of a score that is not done"


def table(found: "Evaluation") -> "Table":
    """The lines of an evaluation, one under another."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from thinkaloud.pair.show import tone

    narrow = shutil.get_terminal_size().columns < 76
    grid = Table(box=box.SIMPLE_HEAD, header_style="bold", show_edge=not narrow, padding=(0, 0 if narrow else 1))
    grid.add_column("rebuilt from")
    for name in ("FVE", "95 %", *(() if narrow else ("cos",)), "vectors", "documents"):
        grid.add_column(name, justify="right", no_wrap=True)
    for line in found.lines:
        known = line.low != line.high and np.isfinite([line.low, line.high]).all()
        interval = f"{line.low:.3f} to {line.high:.3f}" if known else ""
        cos = f"{line.cos:.3f}" if np.isfinite(line.cos) else ""
        fve = Text(f"{line.fve:.3f}", style=f"bold {tone(line.fve)}") if np.isfinite(line.fve) else Text("none")
        grid.add_row(line.name, fve, interval, *(() if narrow else (cos,)), f"{line.n:,}", f"{line.n_docs:,}")
    return grid
