"""The page of the study of thought anchors, drawn from its tables."""

from typing import Any

from thinkaloud.render import plots
from thinkaloud.studies.anchors import Anchors, analysis
from thinkaloud.studies.anchors.analysis import METHODS, OUTCOMES, Rows
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.frame import Frame
from thinkaloud.studies.page import Page, told

COLOURS = {"counterfactual": "#1b6ca8", "plain": "#e39c4a", "deletion": "#999999"}


def page(config: Anchors, folder: Folder) -> Page:
    """The page of the study; importances of two halves of the continuations are compared anew."""
    names = ("importance", "thresholds", "explanations", "rollouts", "similarity", "deletions")
    found, swept, explained, rollouts, similar, deleted = (folder.kept(name) for name in names)
    closed = analysis.closed(explained)
    halves = [
        analysis.importances(
            closed, [row for row in rollouts if row["sample"] % 2 == half], similar, deleted, config.threshold
        )
        for half in (0, 1)
    ]
    return drawn(found, swept, halves[0], halves[1], folder)


def drawn(importance: Rows, thresholds: Rows, even: Rows, odd: Rows, folder: Folder) -> Page:
    """The page, from importances, those at several thresholds, and those of two halves of the continuations."""
    found, swept, first, second = (Frame.of(rows, "problem") for rows in (importance, thresholds, even, odd))
    last = found.where(found["sentence"] == found["of"] - 1)
    sweep = analysis.sweep(swept)
    return told(
        __package__,
        folder,
        last={method: last.mean(f"{method}_fve") for method in METHODS}
        | {"known": analysis.known(last), "of": len(last)},
        model=found.mean("counterfactual_model"),
        by_position=analysis.by_position(found),
        by_position_figure=folder.figure("position", _by_position, found, size=(9.0, 3.0)),
        by_place=analysis.by_place(found),
        by_right=analysis.by_right(found),
        all_right=bool(found["right"].all()),
        by_fve=analysis.by_fve(found),
        sweep=sweep,
        sweep_figure=folder.figure("thresholds", _sweep, sweep, size=(8.0, 3.0)),
        noise=analysis.noise(first, second),
        extremes=analysis.extremes(found),
    )


def _by_position(figure: Any, found: Frame) -> None:
    axes, places = figure.subplots(1, len(OUTCOMES)), analysis.by_sentence(found)
    for axis, (outcome, name) in zip(axes, OUTCOMES.items(), strict=True):
        for k, (method, label) in enumerate(METHODS.items()):
            values = [some.mean(f"{method}_{outcome}") for some in places.values()]
            plots.intervals(axis, [i + 1 + 0.18 * (k - 1) for i in places], values, COLOURS[method], label, lw=1.5)
        axis.axhline(0, color="#bbbbbb", linewidth=0.8)
        axis.set(title=name, xlabel="sentence", xticks=[i + 1 for i in places])
    if axes[0].get_legend_handles_labels()[0]:
        axes[0].legend(loc="best")


def _sweep(figure: Any, sweep: Rows) -> None:
    left, right = figure.subplots(1, 2)
    thresholds = [row["threshold"] for row in sweep]
    for said in OUTCOMES.values():
        plots.band(left, thresholds, [row[said] for row in sweep], said, "o-", ms=3, linewidth=1.5)
    left.set(title="mean counterfactual importance", xlabel="threshold of similarity")
    left.legend()
    right.plot(thresholds, [row["resamples that are others"] for row in sweep], "o-", ms=3, color="#555555")
    right.set(title="share of resamples that count as others", xlabel="threshold of similarity", ylim=(0, 1))
