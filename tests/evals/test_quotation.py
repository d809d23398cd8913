"""Quotations are counted as they stand, and an AR that reads them alone is found out."""

import pytest
import torch
from known_pairs import WIDTH, bench, direction, results

from thinkaloud.evals.prose import QUOTED, quotations
from thinkaloud.evals.quotation import Quotation, verbatim


def by_quotations(text: str) -> torch.Tensor:
    return direction("|".join(quotations(text))) if quotations(text) else torch.ones(WIDTH)


def by_the_rest(text: str) -> torch.Tensor:
    return direction("".join(QUOTED.sub("", text).split()))


def test_an_ar_that_reads_quotations_alone_needs_nothing_else() -> None:
    found = results(Quotation(), bench(by_quotations))
    assert found["those that quote, whole"]["FVE"].value == pytest.approx(1)
    assert found["quotations alone"]["FVE lost"].value == pytest.approx(0, abs=1e-6)
    assert found["without quotations"]["FVE"].high < 0.5
    assert found["quotations masked"]["FVE"].high < 0.5


def test_what_is_left_without_quotations_is_all_to_an_ar_that_skips_them() -> None:
    found = results(Quotation(), bench(by_the_rest))
    assert found["without quotations"]["FVE lost"].value == pytest.approx(0, abs=1e-6)
    assert found["quotations masked"]["FVE lost"].value == pytest.approx(0, abs=1e-6)
    assert found["quotations alone"]["FVE"].value < 0.5


def test_shares_are_those_of_a_plain_count() -> None:
    texts = ['Says "The captain number 0 the" here', "says nothing", 'an "open sea" and "the"', 'only "x"'] * 5
    found = results(Quotation(), bench(direction, texts=texts, docs=5))
    assert found["explanations that quote"]["share"].value == pytest.approx(3 / 4)
    assert found["words that are quoted"]["share"].value == pytest.approx(9 / 16)
    two = found["quotations of two words or more, verbatim in the text"]["share"]
    assert (two.value, two.n) == (pytest.approx(1 / 10), 10)  # of the first row alone


def test_a_quotation_is_verbatim_letter_by_letter() -> None:
    assert verbatim("on a  boat", "He was on a\nboat at sea")
    assert verbatim("-ing", "sailing")
    assert not verbatim("On a boat", "He was on a boat")
    assert quotations('a "b" and “c d” and "" and " "') == ["b", "c d"]


@pytest.mark.parametrize(
    ("texts", "finish", "row"),
    [
        (["no quotation"] * 8, "closed", "FVE by parts is not to be had: no explanation quotes"),
        (
            ["no", 'a "b"', "no", "no"] * 2,
            "closed",
            "FVE by parts is not to be had: none of every 4th explanation quotes",
        ),
        (['a "b"'] * 8, "cut", "no explanation closes and can be read"),
    ],
)
def test_what_cannot_be_had_says_why(texts: list[str], finish: str, row: str) -> None:
    found = results(Quotation(), bench(direction, texts=texts, finish=finish, docs=4))
    assert set(found[row].values()) == {None}
    assert list(found)[-1] == row


def test_one_document_has_no_chance_row_and_no_intervals() -> None:
    found = results(Quotation(), bench(direction, docs=1))
    assert not any("another document" in name for name in found)
    assert found["quotations alone"]["FVE"].note == "no interval: from one document or problem"
