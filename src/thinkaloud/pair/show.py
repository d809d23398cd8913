"""A reading as a table in a terminal or a pipe."""

import math
from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Column, Table
from rich.text import Text

from thinkaloud.explanation import Explanation
from thinkaloud.pair.read_positions import ReadPositions
from thinkaloud.pair.scores import Control
from thinkaloud.render.text import clean, visible

HOW_TO_READ = (
    "FVE says how well the words alone rebuild the vector: 1 = perfect, "
    "0 = no better than always answering the mean of all directions, negative = worse."
)
FINISHES = {"cut": "cut off at the token cap", "eos": "ended without closing its tag"}
EIGHTHS = " ▏▎▍▌▋▊▉"
BAR = 6
TOKEN_WIDTH = 14


def lines(explanation: str) -> list[str]:
    """The lines of an explanation, one feature or paragraph each, safe for a terminal."""
    return [line for line in (clean(part).strip() for part in explanation.split("\n")) if line]


def figure(value: float) -> str:
    """An FVE as five characters: ` 0.42`, `-0.31`; `  n/a` where it is not a number."""
    if not math.isfinite(value):
        return "  n/a"
    value = value if abs(value) >= 0.005 else 0.0  # no minus sign before a zero
    return f"{value:5.2f}" if value > -9.995 else f"{value:5.0f}" if value > -999.5 else "<-999"


def clamped(value: float, low: float = 0.0) -> float:
    """A value from `low` to 1; 0 where it is not a number."""
    return max(low, min(1.0, value)) if math.isfinite(value) else 0.0


def bar(value: float, width: int = BAR) -> str:
    """An FVE from 0 to 1 as a bar of `width` characters, in eighths; dots are what is missing."""
    full, rest = divmod(round(clamped(value) * width * 8), 8)
    return ("█" * full + (EIGHTHS[rest] if rest else "")).ljust(width, "·")


def tone(value: float) -> str:
    """The colour of an FVE on a terminal. The figure beside it says the same without colour."""
    if not math.isfinite(value):
        return "dim"
    return "red" if value < 0 else "yellow" if value < 1 / 3 else "cyan" if value < 2 / 3 else "green"


def fve_line(reading: ReadPositions) -> str:
    """The mean FVE with what it rests on."""
    n, left_out = reading.n_counted, len(reading) - reading.n_counted
    special = f" ({left_out} special left out)" if left_out else ""
    return f"{figure(reading.fve).strip()} over {n:,} position{'s' * (n != 1)}{special}; baseline {reading.baseline}"


def table(reading: ReadPositions) -> RenderableType:
    """The reading as a rich table with its footer."""
    return Group(rows(reading), Padding(footer(reading, fve_line(reading)), (0, 1)))


def rows(reading: ReadPositions) -> Table:
    """One block a position: where, the token, the FVE, the explanation line by line; samples under one another."""
    grid = Table(box=box.SIMPLE_HEAD, header_style="bold")
    grid.add_column("pos", justify="right", no_wrap=True, style="dim")
    grid.add_column("token", no_wrap=True, max_width=TOKEN_WIDTH, overflow="ellipsis")
    grid.add_column("FVE", no_wrap=True, width=6 + BAR)
    grid.add_column("in words", overflow="fold", ratio=1)
    for position in reading:
        where, token = str(position.position), Text(visible(position.token), "dim" if position.special else "bold")
        for i, explanation in enumerate(position.explanations, 1):
            words, fve = _words(explanation, dim=position.special), explanation.score.fve
            gap = int(i == len(position.explanations) and position is not reading[-1])
            shown = Text.assemble((figure(fve), f"bold {tone(fve)}"), " ", (bar(fve), tone(fve)))
            grid.add_row(where, token, shown, Padding(words, (0, 0, gap, 0)))
            where, token = "", Text()
    return grid


def _words(explanation: Explanation, dim: bool) -> Table:
    """An explanation line by line; a mark before each line tells a new line from a wrapped one."""
    text = Column(overflow="fold", style="dim" if dim else "")
    grid = Table.grid(Column(width=1, style="dim"), text, padding=(0, 1, 0, 0))
    for line in lines(explanation.text) or ["(nothing)"]:
        grid.add_row("·", Text(line))
    if explanation.finish in FINISHES:
        grid.add_row("!", Text(FINISHES[explanation.finish], style="dim italic"))
    return grid


def controls_table(controls: Sequence[Control]) -> Table:
    """Controls under one another, each with its FVE on one axis from −1 to 1."""
    grid = Table(box=box.SIMPLE_HEAD, header_style="bold")
    grid.add_column("what is scored", ratio=1)
    grid.add_column("FVE", no_wrap=True)
    grid.add_column("−1       0        1", no_wrap=True, width=19)
    for control in controls:
        words = Text.assemble((control.name, "bold"), "\n", (control.meaning, "dim"))
        color = tone(control.fve)
        grid.add_row(words, Text(figure(control.fve), style=f"bold {color}"), Text(axis(control.fve), style=color))
    return grid


def axis(value: float, half: int = 9) -> str:
    """A value from −1 to 1 as a bar on either side of 0, `half` characters each."""
    share = clamped(value, -1.0)
    size = round(abs(share) * half)
    return ("░" * size).rjust(half) + "│" + " " * half if share < 0 else " " * half + "│" + ("█" * size).ljust(half)


def footer(reading: ReadPositions, fve: str) -> Table:
    """Which pair, which vector, what there is to say of the FVE, and how to read it."""
    names = reading.site.names()
    number = names.pop("vLLM auxiliary id")
    site = " = ".join([*(name.split(" (")[0] for name in names.values()), f"vLLM id {number}"])
    grid = Table.grid(Column(style="dim", no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    grid.add_row("pair", Text(clean(reading.name)))
    grid.add_row("site", Text(site))
    grid.add_row("FVE", Text(fve))
    grid.add_row("", Text(HOW_TO_READ, style="dim"))
    return grid
