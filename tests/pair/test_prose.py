"""Do the measures of prose tell what falls apart, and never leave the range from 0 to 1?"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkaloud.pair.prose import measures, non_latin, quoted, repetition


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0),
        ("storm", 0),
        ("a storm at sea", 0),
        ("storm storm", 0),
        ("storm storm storm", 1 / 2),
        ("Storm, storm. STORM!", 1 / 2),
        ("at sea, at sea, at sea", 3 / 5),
        ("so it goes and so it went", 1 / 6),
        ("no " * 101, 99 / 100),
        ("… 🌊 🌊 🌊 !", 0),
        ("潮 潮 潮", 1 / 2),
    ],
)
def test_pairs_of_words_that_stood_there_before(text: str, share: float) -> None:
    assert repetition(text) == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0),
        ("1984 – 🌊!", 0),
        ("Über naïve cœurs, 2ª", 0),
        ("море", 1),
        ("sea море", 4 / 7),
        ("the tide (潮) rose", 1 / 12),
        ("שלום abcd", 1 / 2),
    ],
)
def test_letters_of_another_script(text: str, share: float) -> None:
    assert non_latin(text) == pytest.approx(share)


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("", 0),
        ("the sailor's 'word'", 0),
        ('"a"', 1),
        ('ab "cd"', 4 / 7),
        ("“ab” cd “e”", 7 / 11),
        ('one " alone', 0),
        ("“open", 0),
        ("closed”", 0),
        ('"a" b "c', 3 / 8),
        ('"a\nb"', 0),
        ('""', 1),
        ("“🌊”.", 3 / 4),
    ],
)
def test_characters_between_double_quotes(text: str, share: float) -> None:
    assert quoted(text) == pytest.approx(share)


@settings(max_examples=200, deadline=None)
@given(st.text() | st.text("ab \"“”\n.潮é🌊'"))
def test_every_measure_is_a_share(text: str) -> None:
    found = measures([text])
    assert found == {"repetition": repetition(text), "non_latin": non_latin(text), "quoted": quoted(text)}
    assert all(0 <= share <= 1 for share in found.values())


def test_measures_are_means_over_texts() -> None:
    found = measures(["storm storm storm", '"море"', "", "sea"])
    assert found == pytest.approx({"repetition": 1 / 8, "non_latin": 1 / 4, "quoted": 1 / 4})
