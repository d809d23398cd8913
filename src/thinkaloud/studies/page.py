"""A study as one page: sections, each saying what it shows and what it does not."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from itertools import count
from typing import Any

from markupsafe import Markup, escape

from thinkaloud.render import plots
from thinkaloud.render.page import environment, prose
from thinkaloud.render.page import render as fill
from thinkaloud.render.text import minus
from thinkaloud.stats import Estimate
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.results import FILE, Read

SHORT = 24  # characters of a cell that is not broken into lines; a longer one has room for some words in each
CONTEXT = 240  # characters of the text before the token of an example
EXAMPLES = (0.25, 0.5, 0.75)  # quantiles of FVE that stand as examples


@dataclass(frozen=True)
class Section:
    """What a part of a page shows and what it does not, in HTML (plain text is escaped)."""

    title: str
    shows: str
    shows_not: str


@dataclass(frozen=True)
class Page:
    """A study's page. `facts` are what it rests on: pair, site, data, how many, seed, command, date, commit.

    `claims` are those of public studies with their verdicts, as `Read.claims` gives them.
    """

    title: str
    question: str
    answer: str
    facts: Mapping[str, str]
    sections: Sequence[Section]
    examples: plots.Records = ()
    claims: Sequence[Mapping[str, Any]] = ()
    data: str = ""


def told(template: str, folder: Folder, **found: Any) -> Page:
    """The page that a template makes of the results in `folder`: `page.jinja` of the package named, or the text itself.

    Facts and examples are those that were kept there. The template sets title, question and answer. A block `call
    section(title)` says what a section shows, `call limits()` after it what it does not. In them stand `table(name,
    caption)`, a table of the results or records; `figure(name, caption, x, y, …)`, a `plots.chart` of the table of this
    name, numbered as they come; `values`, the single values; `shown(x)`, a number in prose.
    """
    kept, drafts, numbers = folder.results(), list[dict[str, Any]](), count(1)
    results = Read(folder.out)
    parts: Any = environment().get_template("parts.html").module

    def section(title: str, *, caller: Any) -> str:
        drafts.append({"title": title, "shows": Markup(caller().strip())})
        return ""

    def limits(*, caller: Any) -> str:
        drafts[-1]["shows_not"] = Markup(caller().strip())
        return ""

    def table(of: str | plots.Records, caption: str = "") -> Any:
        return parts.table(results[of] if isinstance(of, str) else of, _cell, caption)

    def figure(name: str, caption: str, x: str, *y: str, size: tuple[float, float] = (7.2, 3.4), **how: Any) -> Any:
        drawn = folder.figure(name, lambda figure: plots.chart(figure, results[name], x, y, **how), size)
        return parts.figure(Markup(drawn), next(numbers), caption)

    text = template
    if "{" not in text:
        text = files(text).joinpath("page.jinja").read_text(encoding="utf-8")
    made: dict[str, Any] = {"section": section, "limits": limits, "table": table, "figure": figure}
    made |= {"results": results, "values": results.values, "facts": kept["facts"], **found}
    said = prose(text, **made, shown=lambda value: minus(str(value)))
    title, question, answer = (
        # However the template breaks them into lines.
        Markup(" ".join(escape(getattr(said, name)).split())).unescape()
        for name in ("title", "question", "answer")
    )
    sections = [Section(**draft) for draft in drafts]
    return Page(title, question, answer, kept["facts"], sections, kept["examples"], results.claims(), FILE)


def examples(said: plots.Records) -> list[dict[str, Any]]:
    """The explanations nearest to the quartiles of FVE, each once, of those with a score, as the page shows them.

    They are records of `prefix` (the text with the token, of which the last part is shown), `token`, `text`, `fve` and
    `note`.
    """
    known = [row for row in said if row["fve"] is not None and math.isfinite(row["fve"])]
    ranked, out = sorted(known, key=lambda row: row["fve"]), []
    for i in dict.fromkeys(round(q * (len(ranked) - 1)) for q in EXAMPLES if ranked):
        row, token = ranked[i], ranked[i]["token"]
        before = row["prefix"].removesuffix(token)
        cut = f"…{before[-CONTEXT:]}" if len(before) > CONTEXT else before
        shown = token.replace("\n", "⏎\n") if token.strip() else token.replace(" ", "␣")
        out.append({"before": cut, "token": shown} | {name: row[name] for name in ("text", "fve", "note")})
    return out


def render(page: Page, command: str = "") -> str:
    """The page as one HTML file: no network, no other file but the data that it links to."""
    return fill("study.html", title=page.title, page=page, command=command, cell=_cell, minus=minus)


def _cell(value: Any) -> tuple[str, str, str, str]:
    """A table's cell: its class, its text, the bounds of an interval, and what is to be known of them."""
    if isinstance(value, Estimate):
        number, _, bounds = minus(str(value)).partition(" (")
        kind = "num few" if value.few else "num"
        why = value.note or (value.method and f"{value.n:,} rows of {value.clusters:,} clusters, {value.method}")
        return kind, number, bounds and f"({bounds}", why
    if isinstance(value, bool):
        return "", "yes" if value else "no", "", ""
    if isinstance(value, int):
        return "num", minus(f"{value:,}"), "", ""
    if isinstance(value, float):
        return "num", minus(f"{value:.3f}") if math.isfinite(value) else "–", "", ""
    text = "" if value is None else str(value)
    return "short" if len(text) <= SHORT else "long", text, "", ""
