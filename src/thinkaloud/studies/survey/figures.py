"""Figures of the survey: each function returns what fills a matplotlib figure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from thinkaloud.render import plots
from thinkaloud.render.plots import BLUE, GREY, ORANGE
from thinkaloud.studies.survey.paragraphs import Effects
from thinkaloud.studies.survey.tokens import CLASSES

Draw = Callable[[Any], None]
LOOK: dict[str, Any] = {"lw": 1.5, "capsize": 2}
COLOURS = dict(
    zip(CLASSES, ("#d9822b", "#a83c3c", "#1b6ca8", "#8fbfe0", "#4f9d69", "#c9b458", "#555555", "#9b7bb8"), strict=True)
)


def lengths(words: np.ndarray, kinds: np.ndarray) -> Draw:
    """The share of explanations at each length in words, by kind."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        known = np.isfinite(words)
        low, high = (int(words[known].min()), int(words[known].max())) if known.any() else (0, 1)
        step = max(1, (high - low) // 30)
        edges = np.arange(low, high + step + 1, step) - 0.5
        for kind, colour in (("text", BLUE), ("chat", ORANGE)):
            own = words[known & (kinds == kind)]
            if len(own):
                counts, _ = np.histogram(own, edges)
                axes.stairs(counts / len(own), edges, color=colour, label=f"{kind}s", linewidth=1.4)
        axes.set(xlabel="words of an explanation", ylabel="share of explanations")
        if known.any():
            axes.legend()

    return draw


def losses(found: Effects) -> Draw:
    """What removing and replacing each paragraph costs, and what each is worth alone."""

    def draw(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        places = list(found.removed)
        names = [f"{k}" + (" (last)" if k == found.of else "") for k in places]
        for values, shift, colour, label in (
            (found.removed, -0.08, BLUE, "removed"),
            (found.replaced, 0.08, ORANGE, "replaced by another's"),
        ):
            plots.intervals(left, np.array(places) + shift, [values[k] for k in places], colour, label, **LOOK)
        left.axhline(0, color=GREY, linewidth=0.8)
        left.set(ylabel="FVE lost", xlabel="paragraph")
        left.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
        plots.intervals(right, places, [found.alone[k] for k in places], BLUE, "alone", **LOOK)
        for value, name, height in ((found.whole, "whole explanation", 3), (found.other, "another document's", 3)):
            if np.isfinite(value.value):
                right.axhline(value.value, color=GREY, linewidth=0.8, linestyle="--")
                right.annotate(
                    name, (1, value.value), (0, height), xycoords=("axes fraction", "data"), ha="right",
                    textcoords="offset points", fontsize=8, color=GREY,
                )  # fmt: skip
        right.set(ylabel="FVE of the paragraph alone", xlabel="paragraph")
        for axes in (left, right):
            axes.set_xticks(places, names)
            axes.set_xlim(0.5, len(places) + 0.5)

    return draw


def classes(table: Sequence[Mapping[str, Any]]) -> Draw:
    """FVE of each class, the hardest at the top."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        order = sorted(table, key=lambda record: -record["FVE"].value)
        for i, record in enumerate(order):
            plots.intervals(axes, [i], [record["FVE"]], COLOURS[record["class"]], across=True, **LOOK)
        axes.set_yticks(range(len(order)), [f"{r['class']} ({r['positions']:,})" for r in order])
        axes.set(xlabel="FVE", ylim=(-0.5, len(order) - 0.5))
        axes.grid(axis="x", color="#eceff1")
        axes.set_axisbelow(True)

    return draw


def deciles(table: Sequence[Mapping[str, Any]]) -> Draw:
    """The share of each class in each part, stacked."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        x = [record["decile of error"] for record in table]
        base = np.zeros(len(x))
        for name in (name for name in CLASSES if name in table[0]):
            share = np.array([record[name] for record in table])
            axes.bar(x, share, bottom=base, color=COLOURS[name], label=name, width=0.85)
            base += share
        axes.set(xlabel="decile of reconstruction error (10: worst rebuilt)", ylabel="share of positions", ylim=(0, 1))
        axes.set_xticks(x)
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

    return draw


def steps(table: Sequence[Mapping[str, Any]], label: str) -> Draw:
    """FVE in each part of an ordered quantity, by kind."""

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        x = np.arange(len(table))
        for shift, name, colour in ((-0.06, "FVE, texts", BLUE), (0.06, "FVE, chats", ORANGE)):
            here = [i for i, record in enumerate(table) if record.get(name) is not None]
            if here:
                values = [table[i][name] for i in here]
                plots.intervals(axes, x[here] + shift, values, colour, name.removeprefix("FVE, "), **LOOK)
        axes.set_xticks(x, [record[label] for record in table])
        axes.set(xlabel=label, ylabel="FVE", xlim=(-0.5, len(table) - 0.5))
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)

    return draw
