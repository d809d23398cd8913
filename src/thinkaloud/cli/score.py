"""Score a pair on stored activations: how well its explanations rebuild them, with controls and 95 % intervals."""

import json
import shutil
from typing import TYPE_CHECKING

import numpy as np

from thinkaloud.cli.common import check_data, check_pair, load_pair, put
from thinkaloud.cli.progress import progress
from thinkaloud.config.eval import Score as Args
from thinkaloud.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from thinkaloud.evals.reconstruction import Evaluation
    from thinkaloud.pair.nla import NLA
    from thinkaloud.pair.verdict import Verdict


def main(args: Args) -> int:
    """Score the pair and print a table or one JSON object."""
    check_data(args.data)
    check_pair(args.pair, args.av, args.ar, args.data)
    from thinkaloud.activations import Activations
    from thinkaloud.evals.explained import evaluation, explained
    from thinkaloud.evals.reconstruction import evaluate

    also = {name: evaluation.find(name) for name in args.also}
    for name, of in also.items():
        if isinstance(of, type):
            raise UserError(f"{name} measures more than the explanations: thinkaloud eval --only {name}")
    whole = Activations.load(args.data, split=args.split)
    baseline = whole.baseline(args.split)
    keep = np.zeros(len(whole.vectors), dtype=bool)
    keep[np.linspace(0, len(keep) - 1, min(args.limit, len(keep))).round().astype(int)] = True
    data = whole.filter(keep)
    for check in (vars(of).get("check") for of in also.values()):
        if check is not None:
            check(data.table)
    nla = load_pair(args)
    with progress("explaining", len(data.vectors) * args.samples) as watch:
        said = explained(nla, data, baseline, args.samples, args.sampled_at, args.seed, args.max_tokens, watch)
        found = evaluate(said, also)
    how = {"samples": args.samples, "temperature": args.sampled_at, "seed": args.seed}
    verdicts = [str(verdict) for verdict in verdicts_on(found, nla)]
    if args.json:
        about = {"pair": nla.name, "data": str(args.data), "split": args.split, **how}
        print(json.dumps({**about, **found.to_dict(), "verdicts": verdicts}))
        return 0
    greedy = "greedy" if args.sampled_at == 0 else f"{args.samples} sampled at temperature {args.sampled_at:g}"
    put(
        table(found),
        f" pair      {nla.name} at {found.site}, {greedy}",
        f" data      {args.data} ({args.split})",
        f" baseline  {baseline}",
        f" texts     {100 * found.closed:.1f} % closed, {found.tokens:.1f} tokens on average",
        " interval  95 %, over documents, V taken as known",
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
    for name, part, closed in ((WRITTEN, nla.reconstructor, None), (OWN, nla.verbalizer, found.closed)):
        figures = {"heldout_fve": fve.get(name), "heldout_fve_shuffled_pairs": fve.get(f"{name}, {SHUFFLED}")}
        contract = part.contract
        out.append(judge(contract.role, {**figures, "closed": closed}, contract.provenance.get("rows")))
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
