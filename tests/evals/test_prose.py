"""The statistics of texts: what they count in texts that fall apart, and that shares stay between 0 and 1."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkaloud.evals.prose import measures, non_latin, quoted, repeated_items, repetition, stutters


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


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("A friendly chat, about the sea, the shore and Laura.", 0),
        ("A friendly chat, about the sea, his sea and the Sea.", 2),
        ("Plain prose, about Laura Osnes, naming Laura.", 1),
        ("Plain prose, about Captain and captain.", 1),
        ('Ends on "x"; next is perhaps "paper", or "paper", "paper".', 2),
        ('next is open, say "The", or "the", "-the".', 0),
        ('Ends on a comma; next is likely a comma, or "a", a comma.', 1),
        ("next is likely a full stop, or a full stop closing the quote.", 0),
        ('In speech, early in a main clause: "the sea, the sea, the sea"', 0),
        ("", 0),
    ],
)
def test_items_a_list_has_named_before(text: str, items: int) -> None:
    assert repeated_items(text) == items


@pytest.mark.parametrize(
    ("text", "stretches"),
    [
        ("EndsEndsEnds", 1),
        ("x = 2.3 = 2.3", 1),
        ("theirs theirs theirs", 1),
        ("the Prince of the Prince of a king", 1),
        ("Haha! no no, very good, Mississippi, banana", 0),
        ("", 0),
    ],
)
def test_stretches_said_over_and_over(text: str, stretches: int) -> None:
    assert stutters(text) == stretches


@settings(max_examples=200)
@given(
    st.text()
    | st.text('ab ,."\n')
    | st.lists(st.sampled_from(["about", "next", "is", "the", "sea", ",", "and", '"a"', ";"])).map(" ".join)
)
def test_any_text_can_be_counted(text: str) -> None:
    assert repeated_items(text) >= 0
    assert stutters(text) >= 0


@settings(max_examples=200)
@given(st.text() | st.text("ab \"“”\n.潮é🌊'"))
def test_every_measure_is_a_share(text: str) -> None:
    found = measures([text])
    shares = {"repetition": repetition, "non_latin": non_latin, "quoted": quoted}
    assert found == {name: of(text) for name, of in shares.items()} | {"repeating": repeated_items(text) > 0}
    assert all(0 <= share <= 1 for share in found.values())


def test_measures_are_means_over_texts() -> None:
    found = measures(["storm storm storm", '"море"', "", "sea"])
    assert found == pytest.approx({"repetition": 1 / 8, "repeating": 0, "non_latin": 1 / 4, "quoted": 1 / 4})
