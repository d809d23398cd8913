"""The page of the study of positions, drawn from its results."""

from itertools import cycle
from typing import Any

import numpy as np

from thinkaloud.render import plots
from thinkaloud.render.plots import BLUE, GREY
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import Page, told
from thinkaloud.studies.positions import Positions
from thinkaloud.studies.positions.mentions import ONCE_SAID
from thinkaloud.studies.results import Read


def page(config: Positions, folder: Folder) -> Page:
    """The page of the study."""
    figures = {"along": _along, "curves": _curves, "moments": _moments, "words": _words}
    return told(__package__, folder, figures, config=config, once_said=ONCE_SAID)


def _along(figure: Any, found: Read) -> None:
    axes, bins = figure.subplots(), found["along"]
    names = [row["tokens from the start"] for row in bins]
    plots.band(axes, range(len(bins)), [row["FVE"] for row in bins], "all", color=BLUE, linewidth=2.0)
    kinds = sorted({row["kind"] for row in found["along by kind"]})
    for colour, kind in zip(cycle(plots.PALETTE), kinds if len(kinds) > 1 else [], strict=False):
        own = [row for row in found["along by kind"] if row["kind"] == kind]
        at = [names.index(row["bin"]) for row in own]
        axes.plot(at, [row["FVE"].value for row in own], color=colour, linewidth=1, label=kind)
    axes.axhline(0, color=GREY, linewidth=0.6)
    axes.set_xticks(range(len(bins)), names)
    axes.set(xlabel="tokens from the start of the text", ylabel="FVE")
    figure.legend(loc="outside right upper")


def _curves(figure: Any, found: Read) -> None:
    lines = {"kept": ("same text", "-", BLUE), "chance": ("other texts", "--", GREY), "kin": ("its kind", ":", GREY)}
    plots.curves(figure, found["curves"], "claim", "k", lines)
    plots.shared(figure, "tokens further on", "share kept (cosine for vectors)", 3)


def _moments(figure: Any, found: Read) -> None:
    lines = {
        "its own value": ("its own value", "-", BLUE),
        "values of other episodes": ("values of other episodes", "--", GREY),
    }
    for axes in plots.curves(figure, found["moments"], "family", "tokens", lines):
        axes.axvline(-0.5, color=GREY, linewidth=0.6)
    plots.shared(figure, "tokens from the first token of the statement", "explanations that name it", 2)


def _words(figure: Any, found: Read) -> None:
    kinds, names = (list(dict.fromkeys(row[column] for row in found["words"])) for column in ("", "first named"))
    for axes, kind in zip(plots.panels(figure, len(kinds), 3), kinds, strict=True):
        here, places = [row for row in found["words"] if row[""] == kind], np.arange(len(names))
        for column, label, shift, colour in (
            ("share", "this text's explanations", -0.15, BLUE),
            ("chance", "other texts' explanations", 0.15, GREY),
        ):
            plots.intervals(axes, places + shift, [row[column] for row in here], colour, label, across=True)
        axes.set_yticks(places, names)
        axes.set(title=kind, ylim=(len(names) - 0.5, -0.5), xlim=(0, None))
    plots.shared(figure, "share of words", "", 2)
