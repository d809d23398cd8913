"""Numbers in texts are read as numbers, and put otherwise, every instance of them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud.numbers import numbers, parse, without

_WORDS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen"""
ONES = _WORDS.split()
TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]


def in_words(n: int) -> str:
    """A whole number below a thousand million in English words."""
    if n < 20:
        return ONES[n]
    if n < 100:
        return TENS[n // 10 - 2] + (f"-{ONES[n % 10]}" if n % 10 else "")
    for size, name in ((1_000_000, "million"), (1_000, "thousand"), (100, "hundred")):
        if n >= size:
            rest = n % size
            joint = " and " if size == 100 else " "
            return f"{in_words(n // size)} {name}" + (f"{joint}{in_words(rest)}" if rest else "")
    raise AssertionError


@given(st.integers(0, 10**12), st.sampled_from(["{}", "{:,}", "${:,}", "{}.0", "{}.00"]))
def test_digits_are_read_with_and_without_separators(n: int, form: str) -> None:
    assert numbers(f"It comes to {form.format(n)}, says he.") == {Decimal(n)}


@given(st.integers(0, 999_999_999))
def test_words_are_read(n: int) -> None:
    assert parse(in_words(n)) == n
    assert numbers(f"There are {in_words(n)} of them.") == {Decimal(n)}
    assert numbers(in_words(n).capitalize() + ".") == {Decimal(n)}


@given(st.decimals(-10_000, 10_000, places=2))
def test_decimals_and_signs_are_read(value: Decimal) -> None:
    assert numbers(f"it is {value} now") == {value}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("120", {120}),
        ("12", {12}),
        ("He has 12.", {12}),
        ("1,200 and 1200.0", {1200}),
        ("12, 13, 14", {12, 13, 14}),
        ("7 - 3 = 4", {7, 3, 4}),
        ("minus is −5 here", {-5}),
        ("layer12 v2x", set()),
        ("someone, often, height, attend", set()),
        ("seven hundred and five", {705}),
        ("a thousand", {1000}),
        ('Ends on "7", a digit of 17', {7, 17}),
        ("", set()),
    ],
)
def test_what_a_text_names(text: str, found: set[int]) -> None:
    assert numbers(text) == {Decimal(n) for n in found}


@given(st.lists(st.sampled_from(["12", "120", "twelve", "1,200", "so", "12.", "is"]), max_size=12))
def test_every_instance_is_taken_out_and_no_other(words: list[str]) -> None:
    text = " , ".join(words)
    left = without(text, Decimal(12))
    assert Decimal(12) not in numbers(left)
    assert numbers(left) == numbers(text) - {Decimal(12)}


def test_a_number_taken_out_leaves_one_space() -> None:
    assert without("it is 12, or twelve and 120.", Decimal(12)) == "it is, or and 120."
    assert without("12", Decimal(12)) == ""
