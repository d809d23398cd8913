"""A reading says the same in JSON, in a table and in a notebook, whatever the text is made of."""

import json
import math
import re
import sys
import unicodedata
from html import unescape
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.pair import show
from thinkaloud.pair.reading import Reading, ReadPosition, ScoredExplanation
from thinkaloud.pair.scores import Score
from thinkaloud.site import Site

BASELINE = Baseline(0.5, 4096, 512, "heldout")
HOSTILE = '</script><img src=x onerror=alert(1)> "quoted" \x1b[31m \u202e \u2028 \ud800 & [bold]x[/bold]'


def position(
    where: int,
    token: str,
    *samples: tuple[str, float],
    finish: str = "closed",
    special: bool = False,
    baseline: Baseline = BASELINE,
) -> ReadPosition:
    said = tuple(
        ScoredExplanation(text, text, (1,), (-0.5,), finish, Score(1 - mse / 2, mse, baseline))  # type: ignore[arg-type]
        for text, mse in samples
    )
    return ReadPosition(where, token, 100 + where, 7.5, said, special, ((" is", 0.5), (" was", 0.25)))


def reading(*positions: ReadPosition, baseline: Baseline = BASELINE) -> Reading:
    return Reading(positions, baseline, Site("resid_post", 5), "pocket", "".join(p.token for p in positions))


SMALL = reading(
    position(0, "<|bos|>", ("The start of a text.", 1.5), special=True),
    position(1, "The", ("An article.\nA noun is next.", 0.25), ("Another sample.", 0.75)),
    position(2, " sea\n", ("A place.", 0.125), finish="cut"),
)


def test_to_dicts_gives_exactly_the_documented_keys() -> None:
    row = SMALL.to_dicts()[1]
    assert row == {
        "position": 1,
        "token": "The",
        "token_id": 101,
        "norm": 7.5,
        "explanations": [
            {"text": "An article.\nA noun is next.", "finish": "closed", "cos": 0.875, "mse": 0.25, "fve": 0.5},
            {"text": "Another sample.", "finish": "closed", "cos": 0.625, "mse": 0.75, "fve": -0.5},
        ],
        "baseline": {"v": 0.5, "n": 4096, "n_docs": 512, "split": "heldout"},
        "next_tokens": [{"token": " is", "probability": 0.5}, {"token": " was", "probability": 0.25}],
        "site": {"kind": "resid_post", "layer": 5},
    }


def test_an_fve_that_is_not_a_number_is_null() -> None:
    flat = Baseline(0.0, 1, 1, "heldout")
    line = reading(position(0, "x", ("words", 0.1), baseline=flat), baseline=flat).to_json_lines()
    assert json.loads(line)["explanations"][0]["fve"] is None


@given(st.text(st.characters(), max_size=20), st.text(st.characters(), max_size=40))
def test_json_lines_are_one_line_a_position_and_lose_nothing(token: str, said: str) -> None:
    text = reading(position(0, token, (said, 0.1)), position(1, token, (said, 0.2))).to_json_lines()
    rows = [json.loads(line) for line in text.splitlines()]
    assert [(row["token"], row["explanations"][0]["text"]) for row in rows] == [(token, said)] * 2


def test_the_mean_leaves_special_tokens_out_where_it_can() -> None:
    assert SMALL.fve == pytest.approx(1 - (0.25 + 0.75 + 0.125) / 3 / 0.5)
    assert SMALL.n_counted == 2
    alone = reading(SMALL[0])
    assert alone.fve == pytest.approx(1 - 1.5 / 0.5)
    assert math.isnan(reading().fve)


def test_it_is_a_sequence_of_its_positions() -> None:
    assert len(SMALL) == 3
    assert SMALL[-1].token == " sea\n"
    assert [p.position for p in SMALL] == [0, 1, 2]
    assert SMALL[1:] == SMALL.positions[1:]


def test_the_table_reads_without_colour_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    text = str(SMALL)
    assert max(map(len, text.splitlines())) <= 80
    for expected in ("The", "␣sea⏎", "An article.", "Another sample.", " 0.50", "-0.50", "-2.00"):
        assert expected in text
    assert "cut off at the token cap" in text
    flat = " ".join(text.split())
    assert "0.25 over 2 positions (1 special left out)" in flat
    assert "V 0.5000 on 4,096 vectors of 512 documents (heldout)" in flat
    assert "blocks.5.hook_resid_post" in flat
    assert "hidden_states[6]" in flat
    assert "negative = worse" in flat


def test_a_long_token_and_a_narrow_terminal_still_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = str(reading(position(12345, "x" * 200, ("w" * 200, 0.1))))
    assert max(map(len, text.splitlines())) <= 60
    assert "…" in text
    assert len(re.findall("w", text.split("pair")[0])) >= 200


@given(st.text(st.characters(), max_size=40))
def test_nothing_said_can_steer_the_terminal(said: str) -> None:
    out = StringIO()
    Console(file=out, width=80, force_terminal=True, color_system=None).print(reading(position(0, said, (said, 0.1))))
    table = re.sub(r"\x1b\[[0-9;]*m", "", out.getvalue())  # rich's own styles
    assert not [c for c in table if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def test_markup_in_a_text_is_text() -> None:
    assert "[bold]x[/bold]" in " ".join(str(reading(position(0, "[red]", (HOSTILE, 0.1)))).split())


def test_the_notebook_shows_the_whole_report_in_a_frame_of_its_own() -> None:
    some = reading(position(0, "<b>", (HOSTILE, 0.1)), position(1, '"', ("x", 0.9), finish="eos"))
    html = some._repr_html_()
    found = re.fullmatch(r'<iframe srcdoc="([^"]*)" sandbox="allow-scripts" style="[^"<]*"></iframe>', html)
    assert found
    assert unescape(found.group(1)) == some.to_html()
    assert "ended without closing its tag" in some.to_html()
    assert not re.search("[<>]", found.group(1))
    html.encode("utf-8")


def test_reprs_are_one_short_line() -> None:
    long = reading(*(position(i, "x" * 300, ("words\n" * 300, 0.1), ("more", 0.1)) for i in range(200)))
    parts = (long, long[0], long[0].explanations[0], long[0].scores[0], BASELINE, long.site)
    for shown in map(repr, parts):
        assert len(shown) <= 250
        assert "\n" not in shown
    assert repr(SMALL) == "Reading('pocket' at resid_post:5, 3 positions x 2, FVE 0.250, '<|bos|>The sea\\n')"
    assert repr(SMALL[1]) == "ReadPosition(1, 'The', FVE 0.000, 'An article.\\nA noun is next.' and 1 more)"
    assert repr(SMALL[2].explanations[0]) == "ScoredExplanation('A place.', cut, 1 tokens, FVE 0.750)"


def test_every_explanation_has_its_score() -> None:
    assert [e.score.fve for e in SMALL[1].explanations] == [0.5, -0.5]
    assert SMALL[1].scores == tuple(e.score for e in SMALL[1].explanations)


def test_a_data_frame_has_a_row_for_each_position_and_sample() -> None:
    table = SMALL.to_pandas()
    assert table["position"].tolist() == [0, 1, 1, 2]
    assert table["sample"].tolist() == [0, 0, 1, 0]
    assert table["explanation"].tolist()[2] == "Another sample."
    assert table["fve"].tolist() == [-2.0, 0.5, -0.5, 0.75]
    assert table["special"].tolist() == [True, False, False, False]
    assert table.attrs == {"pair": "pocket", "site": "resid_post:5", "baseline": str(BASELINE)}
    assert reading().to_pandas().columns.tolist() == table.columns.tolist()


def test_without_pandas_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        SMALL.to_pandas()


@pytest.mark.parametrize(
    ("value", "width", "expected"),
    [(0.0, 4, "····"), (1.0, 4, "████"), (0.5, 4, "██··"), (-3.0, 4, "····"), (7.0, 4, "████"), (0.125, 4, "▌···")],
)
def test_bar(value: float, width: int, expected: str) -> None:
    assert show.bar(value, width) == expected


def test_figures_round_to_a_plain_zero_and_stay_narrow() -> None:
    values = (0.421, -0.004, -0.31, -31.7, -5e6, float("nan"))
    assert [show.figure(value) for value in values] == [" 0.42", " 0.00", "-0.31", "  -32", "<-999", "  n/a"]


@given(st.floats(max_value=1))
def test_a_figure_is_five_characters_and_a_bar_as_wide_as_asked(value: float) -> None:
    assert len(show.figure(value)) == 5
    assert len(show.bar(value)) == show.BAR
