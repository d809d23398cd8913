"""A study's page is one safe file that shows numbers as they are meant."""

import re
from tempfile import TemporaryDirectory

import pytest
from markupsafe import Markup

from thinkaloud.render.page import asset
from thinkaloud.stats import Estimate
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import Page, Section, examples, render, told

HOSTILE = "<script>alert('x')</script>\"&"


def page(*sections: Section) -> str:
    return render(Page("T", "Q?", "A.", {"Pair": "pocket"}, sections))


def tabled(records: list[dict[str, object]]) -> str:
    """The page of a template with a table."""
    text = """{% set title %}T{% endset %}{% set question %}Q?{% endset %}{% set answer %}A.{% endset %}
    {% call section("S") %}{{ table(records) }}{% endcall %}{% call limits() %}n{% endcall %}"""
    with TemporaryDirectory() as out:
        folder = Folder(out, "positions", {})
        folder.keep({"Pair": "pocket"})
        return render(told(text, folder, records=records))


def shown(value: object) -> str:
    """The one cell of a table."""
    found = re.search(r"<tbody><tr>(.*?)</tr></tbody>", tabled([{"column": value}]))
    assert found
    return found.group(1)


def test_hostile_text_is_text_wherever_it_stands() -> None:
    section = Section(HOSTILE, HOSTILE, HOSTILE)
    example = {"fve": 0.5, **dict.fromkeys(("before", "token", "text", "note"), HOSTILE)}
    made = render(Page(HOSTILE, HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, [section], [example]))
    assert "<script" not in made
    assert "alert" in made


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (Estimate(-0.5, -0.75, 0.25, 90, 30), '<td class="num">−0.500 <small>(−0.750 to 0.250)</small></td>'),
        (
            Estimate(-0.5, -0.75, 0.25, 9, 3, note="few"),
            '<td class="num few" title="few">−0.500 <small>(−0.750 to 0.250)</small></td>',
        ),
        (Estimate(-0.5, -0.75, 0.25, 9, 33), '<td class="num">−0.500 <small>(−0.750 to 0.250)</small></td>'),
        (Estimate(0.5, float("nan"), float("nan"), 9, 1), '<td class="num few">0.500</td>'),
        (Estimate(float("nan"), float("nan"), float("nan"), 0, 0), '<td class="num few">–</td>'),
        (-1234567, '<td class="num">−1,234,567</td>'),
        (-0.25, '<td class="num">−0.250</td>'),
        (float("inf"), '<td class="num">–</td>'),
        (True, "<td>yes</td>"),
        (None, '<td class="short"></td>'),
        ("a-b", '<td class="short">a-b</td>'),
        ("a" * 25, f'<td class="long">{"a" * 25}</td>'),
    ],
)
def test_cells(value: object, cell: str) -> None:
    assert shown(value) == cell


@pytest.mark.parametrize(("p", "cell"), [(1e-9, "&lt; 0.001"), (0.02, "0.020"), (None, "")])
def test_a_small_p_is_not_shown_as_zero(p: float | None, cell: str) -> None:
    part = {"part": "all", "found": 0.5, "published": None, "p_holm": p, "verdict": "holds", "why": ""}
    part |= {"null": 0.0, "direction": 1, "margin": None, "optional": False}
    made = render(Page("T", "Q?", "A.", {}, [], claims=[{"id": "A1", "claim": "c", "parts": [part]}]))
    row = re.search(r"<tr><td rowspan.*?</tr>", made, re.DOTALL)
    assert row
    assert re.findall(r"<td[^>]*>([^<]*)</td>", row.group())[-1] == cell


def test_every_section_says_what_it_shows_and_what_it_does_not() -> None:
    made = page(Section("One", "this", "that"), Section("Two", "these", "those"))
    assert re.findall(r'<a href="#(s\d)">(\w+)</a>', made) == [("s1", "One"), ("s2", "Two")]
    assert re.findall(r'<section id="(s\d)"><h2>(\w+)</h2>', made) == [("s1", "One"), ("s2", "Two")]
    assert re.findall(r'class="shows"><b>Shows</b> (\w+)', made) == ["this", "these"]
    assert re.findall(r'class="not"><b>Does not show</b> (\w+)', made) == ["that", "those"]
    assert "<table>" not in made


def test_a_record_without_a_column_leaves_its_cell_empty() -> None:
    made = tabled([{"a": 1, "b": 2}, {"a": 3}])
    assert '<tr><td class="num">3</td><td class="short"></td></tr>' in made


def test_it_is_one_file_without_references() -> None:
    made = page(Section("S", Markup('<svg xmlns="http://www.w3.org/2000/svg"></svg>'), "n"))
    references = re.findall(r"(?:src|href)=\"([^\"]*)\"|url\(([^)]*)\)|@import", made)
    assert {first or second for first, second in references} <= {"data:,", "#s1"}
    assert made.startswith("<!doctype html>")


def test_every_page_says_what_m_av_ar_and_fve_are() -> None:
    terms = re.findall(r"<dt>(\w+)</dt><dd>([^<]*)</dd>", page().split("<main>")[0])
    assert [term for term, _ in terms] == ["M", "AV", "AR", "FVE"]
    assert all(len(meaning) > 40 for _, meaning in terms)


def test_examples_show_the_end_of_the_text_with_its_token_marked() -> None:
    long = {"prefix": "x" * 300 + " sea", "token": " sea", "text": "Of\nwater.", "fve": -0.5, "note": "border"}
    brief = {"prefix": "So it", "token": " it", "text": "", "fve": 0.25, "note": ""}
    made = render(Page("T", "Q?", "A.", {}, [], examples([long, brief])))
    assert re.findall(r'<p class="context"[^>]*>(.*?)</p>', made) == [
        f"…{'x' * 240}<mark> sea</mark>",
        "So<mark> it</mark>",
    ]
    assert "border · FVE −0.50" in made
    assert re.findall(r'<p class="said"[^>]*>(.*?)</p>', made, re.DOTALL) == ["Of\nwater.", "(nothing)"]
    assert "quartiles" in made
    assert "Some explanations" not in page()


def test_examples_stand_at_the_quartiles_of_what_has_a_score() -> None:
    def chosen(*fves: float | None) -> list[float]:
        said = {"prefix": "a b", "token": "b", "text": "", "note": ""}
        return [one["fve"] for one in examples([{**said, "fve": fve} for fve in fves])]

    assert chosen(0.9, None, 0.1, float("nan"), 0.5, 0.3, 0.7) == [0.3, 0.5, 0.7]
    assert chosen(0.5, None) == [0.5]
    assert chosen(None) == []


def test_studies_and_reports_share_one_style_in_light_and_dark() -> None:
    shared = asset("base.css")
    assert shared in page()
    assert "prefers-color-scheme: dark" in shared
    assert not re.search(r"#[0-9a-f]{3,6}\b", asset("study.css") + asset("report.css")), "colours are the shared ones"
