"""The page of the study of answers: its figures, and its template filled from results.parquet."""

from collections.abc import Mapping, Sequence
from typing import Any

from thinkaloud.render import plots
from thinkaloud.stats import ENOUGH, Estimate
from thinkaloud.studies.answers import Answers
from thinkaloud.studies.answers.analysis import HELD, OWN, POSSIBLE
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import Page, told
from thinkaloud.studies.results import Read

COLOURS = {"right": plots.BLUE, "wrong": plots.ORANGE}

Records = Sequence[Mapping[str, Any]]


def page(config: Answers, folder: Folder) -> Page:
    """The page of the study."""
    figures = {"named": _named, "reconstruction": _rebuilt, "edits": _edits}
    return told(__package__, folder, figures, config=config)


def _named(figure: Any, results: Read) -> None:
    axes, records = figure.subplots(), results["named"]
    groups = {group: [r for r in records if r["M is"] == group] for group in ("all", *COLOURS)}
    places = [record["place"] for record in groups["all"]]
    series = {f"M is {group}": (colour, _by_place(groups[group], HELD)) for group, colour in COLOURS.items()}
    plots.beside(axes, places, series, 0.24)
    for chance, mark in ((OWN, "_"), (POSSIBLE, "|")):
        axes.plot([r[chance] for r in groups["all"]], mark, ms=12, color=plots.GREY, label=f"chance, {chance}")
    top = max((r[HELD].high for r in records if r[HELD].clusters >= ENOUGH), default=1.0)
    axes.set(ylim=(0, 1.1 * top), ylabel=f"share that {HELD}".replace("holds", "hold"))
    _finish(figure, axes, 2)


def _rebuilt(figure: Any, results: Read) -> None:
    axes, records = figure.subplots(), results["reconstruction"]
    series = {f"M is {name}": (colour, _by_place(records, f"FVE {name}")) for name, colour in COLOURS.items()}
    plots.beside(axes, [record["place"] for record in records], series, 0.16)
    axes.set_ylabel("FVE")
    _finish(figure, axes, 3)


def _edits(figure: Any, results: Read) -> None:
    axes, records = figure.subplots(), results["edits"]
    names = list(dict.fromkeys(record["edit"] for record in records))
    series = {
        edit: (colour, _by_place([record for record in records if record["edit"] == edit], "cost"))
        for edit, colour in zip(names, (plots.BLUE, plots.ORANGE, plots.GREY), strict=False)
    }
    plots.beside(axes, list(dict.fromkeys(record["place"] for record in records)), series, 0.14)
    axes.axhline(0, color=plots.GREY, lw=0.8)
    axes.set_ylabel("cost in MSE")
    _finish(figure, axes, 3)


def _finish(figure: Any, axes: Any, columns: int) -> None:
    axes.tick_params(axis="x", labelrotation=40)
    figure.legend(loc="outside upper left", ncols=columns)


def _by_place(records: Records, column: str) -> dict[str, Estimate]:
    return {record["place"]: record[column] for record in records}
