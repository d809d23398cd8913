"""Is a study's page one safe file that shows numbers as they are meant?"""

import re

import pytest

from thinkaloud.studies.estimates import Estimate
from thinkaloud.studies.page import Page, Section, render

HOSTILE = "<script>alert('x')</script>\"&"


def page(*sections: Section, **changes: str) -> str:
    texts = {"title": "T", "question": "Q?", "answer": "A.", **changes}
    return render(Page(**texts, facts={"Pair": "pocket"}, sections=sections))


def shown(value: object) -> str:
    """The one cell of a table."""
    found = re.search(r"<tbody><tr>(.*?)</tr></tbody>", page(Section("S", "s", "n", [{"column": value}])))
    assert found
    return found.group(1)


def test_hostile_text_is_text_wherever_it_stands() -> None:
    section = Section(HOSTILE, HOSTILE, HOSTILE, [{HOSTILE: HOSTILE}], "<svg></svg>", HOSTILE)
    made = render(Page(HOSTILE, HOSTILE, HOSTILE, {HOSTILE: HOSTILE}, [section]))
    assert "<script" not in made
    assert "alert" in made
    assert 'aria-label="&lt;script&gt;' in made


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        (Estimate(-0.5, -0.75, 0.25, 9, 3), '<td class="num">−0.500 <small>(−0.750 to 0.250)</small></td>'),
        (Estimate(0.5, float("nan"), float("nan"), 9, 1), '<td class="num">0.500</td>'),
        (Estimate(float("nan"), float("nan"), float("nan"), 0, 0), '<td class="num">–</td>'),
        (-1234567, '<td class="num">−1,234,567</td>'),
        (-0.25, '<td class="num">−0.250</td>'),
        (float("inf"), '<td class="num">–</td>'),
        (True, "<td>yes</td>"),
        (None, '<td class="short"></td>'),
        ("a-b", '<td class="short">a-b</td>'),
    ],
)
def test_cells(value: object, cell: str) -> None:
    assert shown(value) == cell


def test_every_section_says_what_it_shows_and_what_it_does_not() -> None:
    made = page(Section("One", "this", "that"), Section("Two", "these", "those", verdict="held", markup="<b>as is</b>"))
    assert re.findall(r'<a href="#(s\d)">(\w+)</a>', made) == [("s1", "One"), ("s2", "Two")]
    assert re.findall(r'<section id="(s\d)"><h2>(\w+)</h2>', made) == [("s1", "One"), ("s2", "Two")]
    assert re.findall(r'class="shows"><b>Shows</b> (\w+)', made) == ["this", "these"]
    assert re.findall(r'class="not"><b>Does not show</b> (\w+)', made) == ["that", "those"]
    assert made.count('class="verdict"') == 1
    assert "<b>as is</b>" in made
    assert "<table>" not in made


def test_a_record_without_a_column_leaves_its_cell_empty() -> None:
    made = page(Section("S", "s", "n", [{"a": 1, "b": 2}, {"a": 3}]))
    assert '<tr><td class="num">3</td><td class="short"></td></tr>' in made


def test_it_is_one_file_without_references() -> None:
    made = page(Section("S", "s", "n", figure='<svg xmlns="http://www.w3.org/2000/svg"></svg>'))
    references = re.findall(r"(?:src|href)=\"([^\"]*)\"|url\(([^)]*)\)|@import", made)
    assert {first or second for first, second in references} <= {"data:,", "#s1"}
    assert made.startswith("<!doctype html>")
