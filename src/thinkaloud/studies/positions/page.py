"""The page of the study of positions, drawn from its results."""

from collections.abc import Mapping
from itertools import cycle
from statistics import fmean
from typing import Any

import numpy as np

from thinkaloud.baseline import Baseline
from thinkaloud.pair.scores import fve
from thinkaloud.render import plots
from thinkaloud.render.page import render
from thinkaloud.render.plots import BLUE, GREY
from thinkaloud.render.text import minus
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import Page, told
from thinkaloud.studies.positions import Positions
from thinkaloud.studies.positions.mentions import ONCE_SAID, Text, by_text, texts_of
from thinkaloud.studies.results import Read


def page(config: Positions, folder: Folder) -> Page:
    """The page of the study."""
    figures = {"along": _along, "curves": _curves, "moments": _moments, "words": _words}
    examples = _examples(texts_of(folder.kept("texts")), folder)
    return told(__package__, folder, figures, config=config, once_said=ONCE_SAID, by_position=examples)


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
    kinds = list(dict.fromkeys(row["claim"] for row in found["curves"]))
    grid = plots.panels(figure, len(kinds), 4)
    for axes, kind in zip(grid, kinds, strict=True):
        own = [row for row in found["curves"] if row["claim"] == kind]
        at = [row["k"] for row in own]
        plots.band(axes, at, [row["kept"] for row in own], "same text", color=BLUE)
        for part, style, label in (("chance", "--", "other texts"), ("kin", ":", "other texts of its kind")):
            axes.plot(at, [row[part].value for row in own], style, color=GREY, linewidth=1.2, label=label)
        axes.set_title(kind)
        axes.set_ylim(min(0.0, axes.get_ylim()[0]), 1.02)
    plots.shared(figure, "tokens further on", "share kept (cosine for vectors)", 3)


def _moments(figure: Any, found: Read) -> None:
    families = list(dict.fromkeys(row["family"] for row in found["moments"]))
    for axes, family in zip(plots.panels(figure, len(families), 4), families, strict=True):
        own = [row for row in found["moments"] if row["family"] == family]
        for name, style, colour in (("its own value", "-", BLUE), ("values of other episodes", "--", GREY)):
            plots.band(axes, [row["tokens"] for row in own], [row[name] for row in own], name, style, color=colour)
        axes.axvline(-0.5, color=GREY, linewidth=0.6)
        axes.set(title=family, ylim=(0, 1.02))
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


def _examples(texts: list[Text], folder: Folder) -> str:
    """One text of each kind, the one whose mean error is the median, a line a position."""
    spoken = by_text(folder.kept("readings", but=["vector"]))
    baseline, shown = Baseline.from_dict(folder.results()["baseline"]), []
    for family in sorted({text.family for text in texts}):
        some = [text for text in texts if text.family == family]
        some.sort(key=lambda text: (fmean(one["mse"] for one in spoken[text.id]), text.id))
        text = some[(len(some) - 1) // 2]
        lines = [_line(text, one, baseline) for one in spoken[text.id] if one["sample"] == 0]
        shown.append({"title": f"{family}: {text.text.strip()[:90]}", "lines": lines})
    return render("positions.html", texts=shown)


def _line(text: Text, one: Mapping[str, Any], baseline: Baseline) -> dict[str, str]:
    at = one["position"]
    marks = [f"{fact.name} = {fact.value}, settled" for fact in text.facts if fact.settled == at]
    marks += [f"{fact.name} = {fact.value}, said" for fact in text.facts if fact.stated == at]
    return {
        "token": text.tokens[at].replace("\n", "⏎"),
        "fve": minus(f"{fve(one['mse'], baseline):.2f}"),
        "said": one["text"],
        "facts": "; ".join(marks),
    }
