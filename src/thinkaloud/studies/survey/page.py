"""The page of the survey, drawn from its results: figures, and explanations to browse."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from thinkaloud.render import plots
from thinkaloud.render.page import asset, embedded, render
from thinkaloud.render.plots import BLUE, GREY, ORANGE
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import Page, told
from thinkaloud.studies.results import Read
from thinkaloud.studies.survey import Survey
from thinkaloud.studies.survey.published import PREFIX
from thinkaloud.studies.survey.tokens import CLASSES

LOOK: dict[str, Any] = {"lw": 1.5, "capsize": 2}
COLOURS = dict(
    zip(CLASSES, ("#d9822b", "#a83c3c", "#1b6ca8", "#8fbfe0", "#4f9d69", "#c9b458", "#555555", "#9b7bb8"), strict=True)
)


def page(config: Survey, folder: Folder) -> Page:
    """The page of the survey."""
    figures = {"parts": _parts, "classes": _classes, "deciles": _deciles}
    rows = folder.kept("explanations")
    browsed = [rows[i] for i in choose([row["kind"] for row in rows], config.browse, config.seed)]
    lacks = folder.results()["facts"].get("not there", "")
    script = asset("browse.js")
    return told(__package__, folder, figures, script, browse=browse(browsed), browsed=len(browsed), lacks=lacks)


def choose(kinds: Sequence[str], n: int, seed: int) -> list[int]:
    """Rows to browse: as many of each kind, in random order; all of a kind that has too few."""
    order = pd.Series(kinds).sample(frac=1, random_state=seed)
    few = order.value_counts().sort_values().index
    taken: list[int] = []
    for i, kind in enumerate(few):
        taken += order.index[order == kind][: (n - len(taken)) // (len(few) - i)].tolist()
    return np.random.default_rng(seed).permutation(taken).tolist()


def browse(rows: Sequence[Mapping[str, Any]]) -> str:
    """A form to browse these rows by, an empty list, and the rows as data for the script."""
    records = [
        {
            "kind": row["kind"],
            "where": row["doc_id"] + ("" if row["position"] is None else f", position {row['position']}"),
            "class": row["token_class"] or "–",
            "before": ("…" if len(row["prefix"]) >= PREFIX else "") + row["prefix"].removesuffix(row["token"]),
            "token": row["token"],
            "said": row["text"],
            "fve": None if row["fve"] is None else round(float(row["fve"]), 3),
        }
        for row in rows
    ]
    kinds, classes = (sorted({record[name] for record in records}) for name in ("kind", "class"))
    return render("browse.html", kinds=kinds[::-1], classes=classes, data=embedded(records))


def _parts(figure: Any, found: Read) -> None:
    left, right = figure.subplots(1, 2)
    names = [row["paragraph"] for row in found["parts"]]
    series = {
        "removed": (BLUE, {row["paragraph"]: row["FVE lost without it"] for row in found["parts"]}),
        "another's": (ORANGE, {r["paragraph"]: v for r in found["parts"] if (v := r.get("FVE lost with another's"))}),
    }
    plots.beside(left, names, series, 0.16, **LOOK)
    left.set(ylabel="FVE lost", xlabel="paragraph")
    left.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    alone = {row["paragraph"]: row["FVE of it alone"] for row in found["parts"]}
    plots.beside(right, names, {"alone": (BLUE, alone)}, 0, **LOOK)
    right.set(ylabel="FVE of the paragraph alone", xlabel="paragraph")
    for axes in (left, right):
        axes.axhline(0, color=GREY, linewidth=0.8)


def _classes(figure: Any, found: Read) -> None:
    axes = figure.subplots()
    order = sorted(found["classes"], key=lambda row: -row["FVE"].value)
    for i, row in enumerate(order):
        plots.intervals(axes, [i], [row["FVE"]], COLOURS[row["class"]], across=True, **LOOK)
    axes.set_yticks(range(len(order)), [f"{row['class']} ({row['positions']:,})" for row in order])
    axes.set(xlabel="FVE")


def _deciles(figure: Any, found: Read) -> None:
    axes, table = figure.subplots(), found["deciles"]
    x, base = [row["decile of error"] for row in table], np.zeros(len(table))
    for name in (name for name in CLASSES if name in table[0]):
        share = np.array([row[name] for row in table])
        axes.bar(x, share, bottom=base, color=COLOURS[name], label=name, width=0.85)
        base += share
    axes.set(xlabel="decile of reconstruction error (10: worst rebuilt)", ylabel="share of positions", ylim=(0, 1))
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))
