"""A chart has a panel, a colour and a place for what it is given, and draws it where it is."""

import math
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot

from thinkaloud.render import plots
from thinkaloud.stats import Estimate

ROWS = [
    {"of": of, "at": at, "a": Estimate(i + j, i + j - 0.5, i + j + 0.25, 9, 9), "b": float(-i)}
    for j, of in enumerate(("x", "y"))
    for i, at in enumerate(("first", "second", "third"))
]


@pytest.fixture
def figure() -> Any:
    made = pyplot.figure()
    yield made
    pyplot.close(made)


def test_points_stand_side_by_side_with_their_intervals(figure: Any) -> None:
    plots.chart(figure, ROWS, "at", ("a", "b"), panel="of")
    first, second = figure.axes
    assert [axes.get_title() for axes in figure.axes] == ["x", "y"]
    assert [label.get_text() for label in second.get_xticklabels()] == ["first", "second", "third"]
    (points, _, (bars,)), (others, _, _) = second.containers
    assert points.get_ydata().tolist() == [1, 2, 3]
    assert [segment[:, 1].tolist() for segment in bars.get_segments()] == [[0.5, 1.25], [1.5, 2.25], [2.5, 3.25]]
    assert (points.get_xdata() < others.get_xdata()).all()
    assert first.get_legend_handles_labels()[1] == ["a", "b"]


def test_a_column_may_part_the_rows_and_what_a_row_lacks_is_left_out(figure: Any) -> None:
    rows = [*ROWS[:4], {"of": "y", "at": "second", "a": None}, {"of": "y", "at": "third"}]
    plots.chart(figure, rows, "at", ("a",), by="of")
    (axes,) = figure.axes
    assert [len(points.get_ydata()) for points, *_ in axes.containers] == [3, 1]


def test_lines_are_over_numbers_and_bars_are_stacked(figure: Any) -> None:
    numbered = [{"k": 4 * i, "p": Estimate(0.5, math.nan, math.nan, 3, 1), "q": 0.25 * i} for i in range(3)]
    plots.chart(figure, numbered, "k", ("p", "q"), kind="lines")
    assert [line.get_xdata().tolist() for line in figure.axes[0].lines] == [[0, 4, 8], [0, 4, 8]]
    figure.clear()
    plots.chart(figure, numbered, "k", ("p", "q"), kind="bars")
    assert [bar.get_y() for bar in figure.axes[0].containers[1]] == [0.5] * 3
    figure.clear()
    plots.chart(figure, [], "k", ("p",))
    assert len(figure.axes) == 1


def test_the_lowest_panel_of_each_column_has_its_ticks_labelled(figure: Any) -> None:
    grid = plots.panels(figure, 5, 3)
    assert [axes.xaxis.get_tick_params()["labelbottom"] for axes in grid] == [False, False, True, True, True]
    assert np.isfinite([axes.get_xlim() for axes in grid]).all()
