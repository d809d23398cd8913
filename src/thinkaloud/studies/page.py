"""How does a study become one page that opens anywhere? Sections, each saying what it shows and what it does not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.resources import files
from typing import Any

from thinkaloud.studies.estimates import Estimate

MINUS = str.maketrans("-", "−")
SHORT = 24  # characters of a cell that is not broken into lines


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
class Page:
    """A study's page. `facts` are what it rests on: pair, site, data, how many, seed, time."""

    title: str
    question: str
    answer: str
    facts: Mapping[str, str]
    sections: Sequence[Section]
    script: str = field(default="", repr=False)


def render(page: Page) -> str:
    """The page as one HTML file: no network, no other file."""
    style = files("thinkaloud.studies").joinpath("page.css").read_text(encoding="utf-8")
    contents = "".join(f'<li><a href="#s{i}">{escape(s.title)}</a></li>' for i, s in enumerate(page.sections, 1))
    facts = "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in page.facts.items())
    body = "".join(_section(i, section) for i, section in enumerate(page.sections, 1))
    script = f"<script>\n{page.script}</script>" if page.script else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light">
<title>{escape(page.title)}</title>
<link rel="icon" href="data:,">
<style>
{style}</style>
</head>
<body>
<header><h1>{escape(page.title)}</h1><p class="lead">{escape(page.question)}</p>
<p class="answer">{escape(page.answer)}</p></header>
<nav><ol>{contents}</ol></nav>
<main>{body}</main>
<footer><h2>What this rests on</h2><dl>{facts}</dl>
<p>Intervals are 95 %, by bootstrap over whole documents or problems. FVE = 1 − MSE ∕ V, both vectors scaled to one
norm; V is what always answering the mean vector would leave.</p></footer>
{script}
</body>
</html>
"""


def _section(number: int, section: Section) -> str:
    verdict = f'<p class="verdict"><b>Published</b> {escape(section.verdict)}</p>' if section.verdict else ""
    figure = f'<figure aria-label="{escape(section.title)}">{section.figure}</figure>' if section.figure else ""
    return (
        f'<section id="s{number}"><h2>{escape(section.title)}</h2>'
        f'<p class="shows"><b>Shows</b> {escape(section.shows)}</p>{verdict}{figure}{_table(section.table)}'
        f'{section.markup}<p class="not"><b>Does not show</b> {escape(section.shows_not)}</p></section>'
    )


def _table(records: Sequence[Mapping[str, Any]]) -> str:
    if not records:
        return ""
    names = list(records[0])
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    rows = "".join(f"<tr>{''.join(_cell(record.get(name)) for name in names)}</tr>" for record in records)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'


def _cell(value: Any) -> str:
    if isinstance(value, Estimate):
        text = str(value).translate(MINUS)
        number, _, bounds = text.partition(" (")
        shown = f"{number} <small>({bounds}</small>" if bounds else number
        return f'<td class="num">{shown}</td>'
    if isinstance(value, bool):
        return f"<td>{'yes' if value else 'no'}</td>"
    if isinstance(value, int):
        return f'<td class="num">{f"{value:,}".translate(MINUS)}</td>'
    if isinstance(value, float):
        return f'<td class="num">{f"{value:.3f}".translate(MINUS) if math.isfinite(value) else "–"}</td>'
    text = "" if value is None else str(value)
    opening = '<td class="short">' if len(text) <= SHORT else "<td>"
    return f"{opening}{escape(text)}</td>"
