"""A study as one page: sections, each saying what it shows and what it does not."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

from markupsafe import Markup

from thinkaloud.render.page import prose
from thinkaloud.render.page import render as fill
from thinkaloud.render.text import minus
from thinkaloud.stats import Estimate
from thinkaloud.studies.folder import Folder

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


def told(template: str | None, folder: Folder, script: str = "", **found: Any) -> Page:
    """The page that a template makes of what was found: `page.jinja` of the package named, or the text itself.

    Facts and examples are those that were kept as results in `folder`. The template sets title, question and answer. A
    block `call section(title, table, figure, verdict, markup)` says what a section shows, `call limits()` after it what
    it does not.
    """
    results, drafts = folder.results(), list[dict[str, Any]]()

    def section(
        title: str, table: Any = (), figure: str = "", verdict: str = "", markup: str = "", *, caller: Any
    ) -> str:
        drafts.append({"title": title, "shows": _line(caller()), "table": table, "figure": figure})
        drafts[-1] |= {"verdict": _line(verdict), "markup": markup}
        return ""

    def limits(*, caller: Any) -> str:
        drafts[-1]["shows_not"] = _line(caller())
        return ""

    text = template or ""
    if "{" not in text:
        text = files(text).joinpath("page.jinja").read_text(encoding="utf-8")
    said = prose(text, section=section, limits=limits, shown=lambda value: minus(str(value)), **found)
    title, question, answer = (_line(getattr(said, name)) for name in ("title", "question", "answer"))
    examples = [Example(**example) for example in results.get("examples", ())]
    return Page(title, question, answer, results["facts"], [Section(**draft) for draft in drafts], examples, script)


def _line(text: str) -> str:
    """The words of a template's paragraph, however it breaks them into lines."""
    return " ".join(text.split())


def at_quartiles(fves: Iterable[float | None]) -> list[int]:
    """The indices of the values nearest to the quartiles, each once; those that are no number are left out."""
    known = [(value, i) for i, value in enumerate(fves) if value is not None and math.isfinite(value)]
    ranked = [i for _, i in sorted(known)]
    return list(dict.fromkeys(ranked[round(q * (len(ranked) - 1))] for q in EXAMPLES)) if ranked else []


def render(page: Page) -> str:
    """The page as one HTML file: no network, no other file."""
    return fill("study.html", title=page.title, page=page, chosen=CHOSEN, cell=_cell, fve=_fve, markup=Markup)


def _fve(value: float) -> str:
    return minus(f"{value:.2f}")


def _cell(value: Any) -> tuple[str, str, str]:
    """A table's cell: its class, its text, and the bounds of an interval."""
    if isinstance(value, Estimate):
        number, _, bounds = minus(str(value)).partition(" (")
        return "num", number, bounds and f"({bounds}"
    if isinstance(value, bool):
        return "", "yes" if value else "no", ""
    if isinstance(value, int):
        return "num", minus(f"{value:,}"), ""
    if isinstance(value, float):
        return "num", minus(f"{value:.3f}") if math.isfinite(value) else "–", ""
    text = "" if value is None else str(value)
    return "short" if len(text) <= SHORT else "", text, ""
