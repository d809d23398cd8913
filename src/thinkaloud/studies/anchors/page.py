"""The page of the study of anchors: its figures; what it says of them is in page.jinja."""

from typing import Any

from thinkaloud.render import plots
from thinkaloud.studies.anchors import Anchors
from thinkaloud.studies.anchors.analysis import METHODS, OUTCOMES
from thinkaloud.studies.anchors.taxonomy import CLASSES
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import Page, told
from thinkaloud.studies.results import Read

COLOURS = (plots.BLUE, plots.ORANGE, plots.GREY)


def page(config: Anchors, folder: Folder) -> Page:
    """The page, from results.parquet."""
    figures = {"positions": _positions, "classes": _classes, "thresholds": _thresholds}
    return told(__package__, folder, figures, config=config, classes=CLASSES)


def _positions(figure: Any, found: Read) -> None:
    axes = figure.subplots(1, len(OUTCOMES))
    for axis, name in zip(axes, OUTCOMES.values(), strict=True):
        rows = [row for row in found["positions"] if row["outcome"] == name]
        how = zip(list(METHODS.values())[:3], COLOURS, strict=True)
        series = {label: (colour, {row["sentence"]: row[label] for row in rows}) for label, colour in how}
        if rows:
            plots.beside(axis, [row["sentence"] for row in rows], series, 0.18)
        axis.axhline(0, color=plots.GREY, lw=0.8)
        axis.set(title=name, xlabel="sentence")
    if axes[0].get_legend_handles_labels()[0]:
        axes[0].legend(loc="best")


def _classes(figure: Any, found: Read) -> None:
    axes = figure.subplots(1, 2)
    for axis, name in zip(axes, (OUTCOMES["model"], OUTCOMES["fve"]), strict=True):
        rows = [row for row in found["classes"] if row["outcome"] == name]
        series = {
            side: (colour, {row["class"]: row[side] for row in rows})
            for side, colour in (("M right", plots.BLUE), ("M wrong", plots.ORANGE))
        }
        if rows:
            plots.beside(axis, [row["class"] for row in rows], series, 0.2)
        axis.axhline(0, color=plots.GREY, lw=0.8)
        axis.tick_params("x", rotation=30)
        axis.set(title=name)
    if axes[0].get_legend_handles_labels()[0]:
        axes[0].legend(loc="best")


def _thresholds(figure: Any, found: Read) -> None:
    left, right = figure.subplots(1, 2)
    rows = found["thresholds"]
    at = [row["threshold"] for row in rows]
    for name in OUTCOMES.values():
        plots.band(left, at, [row[name] for row in rows], name, "o-", ms=3)
    left.set(title="mean counterfactual importance", xlabel="threshold of similarity")
    left.legend()
    right.plot(at, [row["resamples that are others"] for row in rows], "o-", ms=3, color=plots.GREY)
    right.set(title="share of resamples that count as others", xlabel="threshold of similarity", ylim=(0, 1))
