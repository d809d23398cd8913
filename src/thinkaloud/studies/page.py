"""A study as one page that opens anywhere: sections, each saying what it shows and what it does not."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup, escape

from thinkaloud.render.page import render as fill
from thinkaloud.render.text import clean
from thinkaloud.studies.estimates import Estimate

MINUS = str.maketrans("-", "−")
SHORT = 24  # characters of a cell that is not broken into lines
CONTEXT = 240  # characters of the text before the token of an example
EXAMPLES = (0.25, 0.5, 0.75)  # quantiles of FVE that stand as examples
CHOSEN = (
    "Of all explanations with a score, those at the quartiles of FVE: a quarter are worse than the first, half than "
    "the second. Above each is the end of the text that M had read, the token whose activation is explained marked."
)


@dataclass(frozen=True)
class Section:
    """A table or a figure or both, with what they show and what they do not, in words.

    `table`: records with the same keys, which become its columns; Estimates are shown with their intervals. `verdict`:
    whether what a published study reports holds here, where one reports it. `markup`: HTML that is put in as it is.
    """

    title: str
    shows: str
    shows_not: str
    table: Sequence[Mapping[str, Any]] = ()
    figure: str = ""
    verdict: str = ""
    markup: str = ""


@dataclass(frozen=True)
class Example:
    """An explanation with the text it is of: `before` up to the token, and the token. `note` says where that is."""

    before: str
    token: str
    text: str
    fve: float
    note: str = ""

    @classmethod
    def of(cls, prefix: str, token: str, text: str, fve: float, note: str = "") -> "Example":
        """An example at the end of `prefix`, of which the last part is shown."""
        before = prefix.removesuffix(token)
        cut = f"…{before[-CONTEXT:]}" if len(before) > CONTEXT else before
        return cls(cut, token.replace("\n", "⏎\n") if token.strip() else token.replace(" ", "␣"), text, fve, note)


@dataclass(frozen=True)
class Page:
    """A study's page. `facts` are what it rests on: pair, site, data, how many, seed, time."""

    title: str
    question: str
    answer: str
    facts: Mapping[str, str]
    sections: Sequence[Section]
    examples: Sequence[Example] = ()
    script: str = field(default="", repr=False)


def at_quartiles(fves: Iterable[float | None]) -> list[int]:
    """The indices of the values nearest to the quartiles, each once; those that are no number are left out."""
    known = [(value, i) for i, value in enumerate(fves) if value is not None and math.isfinite(value)]
    ranked = [i for _, i in sorted(known)]
    return list(dict.fromkeys(ranked[round(q * (len(ranked) - 1))] for q in EXAMPLES)) if ranked else []


def render(page: Page) -> str:
    """The page as one HTML file: no network, no other file."""
    return fill("study.html", title=page.title, page=page, chosen=CHOSEN, cell=_cell, fve=_fve, markup=Markup)


def _fve(value: float) -> str:
    return f"{value:.2f}".translate(MINUS)


def _cell(value: Any) -> Markup:
    if isinstance(value, Estimate):
        text = str(value).translate(MINUS)
        number, _, bounds = text.partition(" (")
        shown = f"{number} <small>({bounds}</small>" if bounds else number
        return Markup(f'<td class="num">{shown}</td>')
    if isinstance(value, bool):
        return Markup(f"<td>{'yes' if value else 'no'}</td>")
    if isinstance(value, int):
        return Markup(f'<td class="num">{f"{value:,}".translate(MINUS)}</td>')
    if isinstance(value, float):
        return Markup(f'<td class="num">{f"{value:.3f}".translate(MINUS) if math.isfinite(value) else "–"}</td>')
    text = "" if value is None else str(value)
    opening = '<td class="short">' if len(text) <= SHORT else "<td>"
    return Markup(f"{opening}{escape(clean(text))}</td>")
