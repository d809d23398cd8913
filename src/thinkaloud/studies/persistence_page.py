"""How is it told what persists along a text? The section of the page, its table and its figure."""

from typing import Any

import numpy as np

from thinkaloud.studies.estimates import Estimate
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import Section
from thinkaloud.studies.persistence import CURVES, above, half_life, kept
from thinkaloud.studies.positions_found import FAINT, INK, Found, band, persisted


def persists_section(found: Found, folder: Folder) -> Section:
    """What persists: shares of claims kept, by kind and distance, and their half-lives."""
    reach, seed = found.config.reach, found.config.seed
    of = {(kind, k): persisted(found, kind, k) for kind in CURVES for k in range(reach + 1)}
    table = []
    for kind in CURVES:
        near, far = of[kind, 1], of[kind, reach]
        if not near:
            continue
        table.append(
            {
                "claim": kind,
                "kept 1 on": kept(near, seed=seed),
                "beyond other texts": above(near, seed=seed),
                "beyond its kind": above(near, "kin", seed),
                f"beyond other texts {reach} on": above(far, seed=seed),
                "half-life (tokens)": _tokens(_half_life(found, kind), reach),
            }
        )

    def draw(figure: Any) -> None:
        grid = figure.subplots(2, -(-len(CURVES) // 2), sharex=True, sharey=True).ravel()
        for axes, kind in zip(grid, CURVES, strict=False):
            ks = [k for k in range(reach + 1) if of[kind, k]]
            band(axes, ks, [kept(of[kind, k], seed=seed) for k in ks], INK, "same text")
            for part, style, label in (("chance", "--", "other texts"), ("kin", ":", "other texts of its kind")):
                levels = [kept(of[kind, k], part, seed).value for k in ks]
                axes.plot(ks, levels, style, color=FAINT, linewidth=1.2, label=label)
            axes.set_title(kind)
            axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.02)
        for axes in grid[len(CURVES) :]:
            axes.axis("off")
        figure.supxlabel("tokens further on", fontsize=9)
        figure.supylabel("share kept (cosine for vectors)", fontsize=9)
        figure.legend(*grid[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)

    several = " At 0, two samples of one position are compared." if found.config.samples > 1 else ""
    return Section(
        "What persists",
        "The share of a position's claims, by kind, that stand word for word in the explanation so many tokens on; "
        "beside it the same share for explanations of other texts at that distance from their own start, and of other "
        "texts of the same kind (its kind). The half-life is the distance at which what is kept beyond other texts has "
        f"fallen to half of what it is one token on; {reach} is as far as was looked, and none is given where nothing "
        "is known to be kept. The vectors themselves, the mean of all taken off, are the yardstick."
        + several
        + found.alone,
        "A claim that is put in other words counts as dropped, and a word that comes back by chance within a text "
        "(a name in every line) as kept. Claims are found by rules for the usual shape of explanations; those of "
        "another shape fall under fewer kinds. Positions that no other text of the kind reaches are left out of beyond "
        "its kind. Persistence is not truth: a wrong claim may stand for long.",
        table,
        folder.figure("persistence", draw, (7.6, 4.4)),
    )


def _half_life(found: Found, kind: str) -> Estimate:
    records = [record for record in found.persistence if record["claim"] == kind]
    return half_life(records, found.config.reach, found.config.seed)


def _tokens(found: Estimate, reach: int) -> str:
    """A half-life, with what lies beyond the reach said to."""
    if not np.isfinite(found.value):
        return "–"
    value, low, high = (f"over {reach}" if x >= reach else f"{x:.1f}" for x in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})" if np.isfinite(found.low) else value
