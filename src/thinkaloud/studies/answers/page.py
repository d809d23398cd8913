"""The page of the study of answers: section tables, figures and verdicts."""

from itertools import cycle
from typing import Any

import numpy as np

from thinkaloud.render import plots
from thinkaloud.render.text import minus
from thinkaloud.stats import Estimate
from thinkaloud.studies.answers import Answers, analysis
from thinkaloud.studies.answers.analysis import Records
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import Page, told

RIGHT, WRONG, CHANCE = "#1b6ca8", "#c4572e", "#8a949e"
LINES = ("#1b6ca8", "#c4572e", "#3b8f5a", "#8a5fb0", "#b58a1b", "#5c6670", "#d078a0")
COLOURS = {"right": RIGHT, "wrong": WRONG}
HELD = "holds M's answer"


def page(config: Answers, folder: Folder) -> Page:
    """The page of the study."""
    solved, records, edited = (folder.kept(name) for name in ("solutions", "explanations", "edited"))
    explained = analysis.with_chance(records)
    near, worse = analysis.nearness(explained), analysis.worse_when_wrong(explained)
    nothing = nothing_to_compare(solved)
    shares, samples = analysis.shares(explained), analysis.by_samples(explained)
    rebuilt, changes = analysis.reconstruction(explained), analysis.changes(edited)
    known = [record for record in shares if record["M is"] == "all" and np.isfinite(record["above chance"].value)]
    return told(
        __package__,
        folder,
        config=config,
        right=sum(row["right"] for row in solved),
        n=len(solved),
        best=max(known, key=lambda record: record["above chance"].value, default=None),
        near=near,
        worse=worse_verdict(nothing, worse),
        nothing=nothing,
        with_chance=analysis.nearness_with_chance(explained),
        against=analysis.against_other_number(edited),
        empty=sum(not row["text"] for row in edited),
        solutions=analysis.solutions(solved),
        shares=shares,
        shares_figure=folder.figure("held", _held, shares),
        samples=samples,
        samples_figure=folder.figure("samples", _samples, samples) if samples else "",
        rebuilt=rebuilt,
        rebuilt_figure=folder.figure("reconstruction", _rebuilt, rebuilt),
        lengths=analysis.lengths(explained),
        classes=analysis.classes(explained),
        checked=analysis.check_classes(config.labelled),
        changes=changes,
        changes_figure=folder.figure("edits", _changes, changes) if changes else "",
    )


def nothing_to_compare(solved: Records) -> str:
    """Why right and wrong cannot be compared; empty where they can."""
    kinds = {"right" if row["right"] else "wrong" for row in solved}
    return f"M is {kinds.pop()} on every problem: there is nothing to compare." if len(kinds) == 1 else ""


def worse_verdict(nothing: str, worse: Estimate) -> str:
    """Whether wrong answers reconstruct about 30 % worse, in a sentence; `nothing` says why that cannot be compared."""
    if nothing:
        return f"Wrong answers reconstruct about 30 % worse: cannot be said. {nothing}"
    if not np.isfinite(worse.low):
        return "Wrong answers reconstruct about 30 % worse: cannot be said from so few problems."
    published = worse.low <= analysis.PUBLISHED_WORSE <= worse.high
    if worse.low > 1:
        said = "holds here" if published else "the direction holds here, the size does not"
    elif worse.high < 1:
        said = "does not hold here, wrong ones reconstruct better"
    else:
        said = "cannot be said here" if published else "does not hold here"
    return f"Wrong answers reconstruct about 30 % worse: {said} (MSE wrong ∕ right {minus(str(worse))})."


def _held(figure: Any, shares: Records) -> None:
    axes = figure.subplots()
    groups = {group: [record for record in shares if record["M is"] == group] for group in ("all", "right", "wrong")}
    series = {f"M is {group}": (colour, _by_place(groups[group], HELD)) for group, colour in COLOURS.items()}
    plots.beside(axes, [record["place"] for record in groups["all"]], series, 0.24)
    chance = [record["chance"] for record in groups["all"]]
    axes.plot(range(len(chance)), chance, "_", ms=16, color=CHANCE, label="by chance")
    top = np.nan_to_num([max(record[HELD].value, record[HELD].high) for record in shares])
    axes.set(ylim=(0, max(0.05, 1.05 * float(top.max()))), ylabel="share that hold M's answer")
    figure.legend(loc="outside upper left", ncols=3)


def _samples(figure: Any, samples: Records) -> None:
    axes = figure.subplots()
    for place, colour in zip(dict.fromkeys(record["place"] for record in samples), cycle(LINES), strict=False):
        some = [record for record in samples if record["place"] == place]
        ks = [record["samples"] for record in some]
        axes.plot(ks, [r["above chance"].value for r in some], color=colour, marker="o", ms=3, label=place)
    axes.axhline(0, color=CHANCE, lw=0.8)
    axes.set_xticks(sorted({record["samples"] for record in samples}))
    axes.set(xlabel="sampled explanations of a vector", ylabel="at least one holds it,\nabove chance")
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _rebuilt(figure: Any, rebuilt: Records) -> None:
    axes = figure.subplots()
    series = {f"M is {group}": (colour, _by_place(rebuilt, f"FVE {group}")) for group, colour in COLOURS.items()}
    plots.beside(axes, [record["place"] for record in rebuilt], series, 0.16)
    axes.set_ylabel("FVE")
    figure.legend(loc="outside upper left", ncols=3)


def _changes(figure: Any, changes: Records) -> None:
    axes = figure.subplots()
    some = [record for record in changes if record["M is"] == "all"]
    places, names = (list(dict.fromkeys(record[key] for record in some)) for key in ("place", "edit"))
    series = {
        edit: (colour, _by_place([record for record in some if record["edit"] == edit], "change"))
        for edit, colour in zip(names, (RIGHT, WRONG, CHANCE), strict=False)
    }
    plots.beside(axes, places, series, 0.14)
    axes.axhline(0, color=CHANCE, lw=0.8)
    axes.set_ylabel("change in FVE")
    figure.legend(loc="outside upper left", ncols=3)


def _by_place(records: Records, column: str) -> dict[str, Estimate]:
    return {record["place"]: record[column] for record in records}
