"""Figures as SVG, and the plots that studies share: intervals and bands."""

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from thinkaloud.stats import Estimate

BLUE, ORANGE, GREY = "#2f7fc1", "#d9822b", "#8a949e"
PALETTE = ("#c8553d", "#5b8e3e", "#8a5fb0", "#b8860b", "#0f8b8d", "#b0578d")
INK = "#010203"  # of plots.mplstyle: stands for the page's own colour until a figure is written


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


def intervals(
    axes: Any,
    at: Iterable[float],
    found: Sequence[Estimate],
    colour: str,
    label: str | None = None,
    across: bool = False,
    **how: Any,
) -> None:
    """Estimates as points with their intervals, upright or `across`; unknown ones are left out, unknown bounds zero."""
    known = [(place, one) for place, one in zip(at, found, strict=True) if np.isfinite(one.value)]
    if known:
        places, values = [place for place, _ in known], [one.value for _, one in known]
        reach = [[one.value - one.low for _, one in known], [one.high - one.value for _, one in known]]
        errors = np.maximum(np.nan_to_num(np.array(reach)), 0)
        how = {"fmt": "o", "ms": 4, "lw": 1.2, "capsize": 0, "color": colour, "label": label, **how}
        if across:
            axes.errorbar(values, places, xerr=errors, **how)
        else:
            axes.errorbar(places, values, yerr=errors, **how)


def beside(
    axes: Any, names: Sequence[str], series: Mapping[str, tuple[str, Mapping[str, Estimate]]], step: float, **how: Any
) -> None:
    """Series of estimates over named places, side by side: for each label its colour and its estimates by name."""
    for i, (label, (colour, found)) in enumerate(series.items()):
        shift = step * (i - (len(series) - 1) / 2)
        at = {place + shift: found[name] for place, name in enumerate(names) if name in found}
        intervals(axes, at, list(at.values()), colour, label, **how)
    axes.set_xticks(range(len(names)), names)
    axes.set_xlim(-0.5, len(names) - 0.5)


def band(axes: Any, xs: Iterable[float], found: Sequence[Estimate], label: str, style: str = "-", **how: Any) -> None:
    """A line of estimates with their intervals as a band."""
    xs = list(xs)
    (line,) = axes.plot(xs, [one.value for one in found], style, label=label, **{"linewidth": 1.4, **how})
    low, high = [one.low for one in found], [one.high for one in found]
    axes.fill_between(xs, low, high, color=line.get_color(), alpha=0.18, lw=0)


def panels(figure: Any, n: int, across: int) -> list[Any]:
    """Axes of `n` panels that share both scales, at most `across` in a row."""
    rows = -(-n // across)
    columns = -(-n // rows)
    grid = np.atleast_1d(figure.subplots(rows, columns, sharex=True, sharey=True)).ravel()
    for axes in grid[n:]:
        axes.axis("off")
    for axes in grid[n - columns : n]:  # the lowest of each column, also where the last row is not full
        axes.tick_params(labelbottom=True)
    return list(grid[:n])


def curves(
    figure: Any,
    records: Sequence[Mapping[str, Any]],
    panel: str,
    across: str,
    lines: Mapping[str, tuple[str, str, str]],
) -> list[Any]:
    """A panel for each value of a column of `records`: shares over another column, with their intervals as bands.

    `lines` are the columns with estimates, each with its label, line style and colour.
    """
    names = list(dict.fromkeys(row[panel] for row in records))
    grid = panels(figure, len(names), 4)
    for axes, name in zip(grid, names, strict=True):
        own = [row for row in records if row[panel] == name]
        for column, (label, style, colour) in lines.items():
            band(axes, [row[across] for row in own], [row[column] for row in own], label, style, color=colour)
        axes.set_title(name)
        axes.set_ylim(min(0.0, *(row[column].value for row in own for column in lines)), 1.02)
    return grid


def shared(figure: Any, across: str, up: str, columns: int) -> None:
    """The labels and the legend of panels that share their axes."""
    figure.supxlabel(across, fontsize=9)
    if up:
        figure.supylabel(up, fontsize=9)
    figure.legend(*figure.axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=columns)
