"""Figures of studies as SVG: a chart of a table's columns, with intervals, in panels."""

import io
from collections.abc import Callable, Mapping, Sequence
from importlib.resources import as_file, files
from typing import Any, Literal

import numpy as np

from thinkaloud.stats import Estimate

COLOURS = ("#2f7fc1", "#d9822b", "#5b8e3e", "#8a5fb0", "#c8553d", "#0f8b8d", "#b0578d", "#b8860b")
GREY = "#8a949e"
INK = "#010203"  # of plots.mplstyle: stands for the page's own colour until a figure is written

Records = Sequence[Mapping[str, Any]]
Kind = Literal["points", "lines", "bars"]


def svg(name: str, draw: Callable[[Any], None], size: tuple[float, float]) -> str:
    """An SVG that `draw` fills, a matplotlib figure of this size (inches) being given to it.

    Lines and letters without a colour of their own take that of the page around them, light or dark.
    """
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    with as_file(files("thinkaloud.render").joinpath("plots.mplstyle")) as style, plt.style.context(style):
        matplotlib.rcParams["svg.hashsalt"] = name
        figure = plt.figure(figsize=size, layout="constrained")
        draw(figure)
        held = io.StringIO()
        figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
        plt.close(figure)
    return held.getvalue().replace(INK, "currentColor")


def chart(
    figure: Any,
    records: Records,
    x: str,
    y: Sequence[str],
    by: str | None = None,
    panel: str | None = None,
    kind: Kind = "points",
) -> None:
    """Columns `y` of records over their column `x`: a panel for each value of the column `panel`, and a colour for each
    of `y`, or for each value of the column `by`.

    Estimates have their intervals, as bars on points side by side, or as bands around lines; bars are stacked.
    """
    titles = list(dict.fromkeys(row[panel] if panel is not None else "" for row in records)) or [""]
    grid = panels(figure, len(titles), 3, kind == "lines")
    for axes, title in zip(grid, titles, strict=True):
        own = [row for row in records if panel is None or row[panel] == title]
        series: dict[str, dict[Any, Any]] = {}
        for row, column in ((row, column) for row in own for column in y if row.get(column) is not None):
            series.setdefault(str(row[by]) if by is not None else column, {})[row[x]] = row[column]
        _drawn(axes, list(dict.fromkeys(row[x] for row in own)), series, kind)
        axes.set_title(title)
    figure.supxlabel(x, fontsize=9)
    figure.supylabel(y[0] if len(y) == 1 else "", fontsize=9)
    handles, labels = grid[0].get_legend_handles_labels()
    if len(labels) > 1:
        figure.legend(handles, labels, loc="outside upper center", ncols=4)


def _drawn(axes: Any, names: Sequence[Any], series: Mapping[str, Mapping[Any, Any]], kind: Kind) -> None:
    numbers = kind != "points" and all(isinstance(name, (int, float)) for name in names)
    at, base = dict(zip(names, names if numbers else range(len(names)), strict=True)), np.zeros(len(names))
    for i, (label, found) in enumerate(series.items()):
        cells = [(c.value, c.low, c.high) if isinstance(c, Estimate) else (c, np.nan, np.nan) for c in found.values()]
        (value, low, high), colour = np.array(cells, dtype=float).T, COLOURS[i % len(COLOURS)]
        places = np.array([at[name] for name in found], dtype=float)
        if kind == "bars":
            axes.bar(places, value, bottom=base, width=0.85, color=colour, label=label)
            base = base + value
        elif kind == "lines":
            axes.plot(places, value, "o-", ms=2.5, lw=1.4, color=colour, label=label)
            axes.fill_between(places, low, high, color=colour, alpha=0.18, lw=0)
        else:
            reach = np.maximum(np.nan_to_num([value - low, high - value]), 0)
            shift = 0.6 / len(series) * (i - (len(series) - 1) / 2)
            axes.errorbar(places + shift, value, yerr=reach, fmt="o", ms=4, lw=1.2, color=colour, label=label)
        if (value < 0).any():
            axes.axhline(0, color=GREY, lw=0.6)
    if not numbers:
        long = max((len(str(name)) for name in names), default=0) > 6
        how = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"} if long else {}
        axes.set_xticks(range(len(names)), names, **how)


def panels(figure: Any, n: int, across: int, shared: bool = True) -> list[Any]:
    """Axes of `n` panels, at most `across` in a row, that may share both scales."""
    rows = -(-n // across)
    columns = -(-n // rows)
    grid = np.atleast_1d(figure.subplots(rows, columns, sharex=shared, sharey=shared)).ravel()
    for axes in grid[n:]:
        axes.axis("off")
    for axes in grid[n - columns : n]:  # the lowest of each column, also where the last row is not full
        axes.tick_params(labelbottom=True)
    return list(grid[:n])
