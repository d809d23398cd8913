"""The plain statements of an explanation are held against the text and M, and nothing else is."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thinkaloud.pair import checks

TOKENS = ["Anna", " had", " 12", " boats", "."]
NEXT = [(" She", 0.5), ("\n", 0.25), (" cap", 0.125)]


def wrong(make_reading: Any, said: str, at: int = 3, tokens: list[str] = TOKENS, coming: Any = NEXT) -> dict[str, str]:
    """What is found wrong in a sample, with the reason."""
    reading = make_reading(tokens, {at: [(said, 0.1)]}, coming={at: coming})
    lines = checks.checked(reading[0], checks.text_until(reading, reading[0]))[0]
    return {piece.text: piece.note for line in lines for piece in line if piece.note}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ('Ends on "boats", a noun.', {}),
        ('Ends on "Boats"; nothing else.', {}),
        ('Ends on "ships", a noun.', {'"ships"': 'the token is "boats"'}),
        ("Ends on a comma after boats.", {"a comma": 'the token is "boats"'}),
        ("The final token “ship” is a noun.", {"“ship”": 'the token is "boats"'}),
        ("Ends on something else altogether.", {}),
    ],
)
def test_the_final_token(make_reading: Any, said: str, found: dict[str, str]) -> None:
    assert wrong(make_reading, said) == found


@pytest.mark.parametrize(
    ("tokens", "said"),
    [
        (["A", " walk", "ing"], 'Ends on "-ing", a piece finishing the verb walking.'),
        (["A", " walk", "ing"], 'Ends on "walking", a verb.'),
        (["So", " it", "."], "Ends on a full stop after it."),
        (["So", " it", "\n"], "Ends on a line break."),
        (["So", "\n", "\n"], "Ends on a paragraph break."),
        (["Hi", " you", "<|end|>"], "Ends on the end of the turn."),
    ],
)
def test_every_way_to_name_a_token_is_known(make_reading: Any, tokens: list[str], said: str) -> None:
    assert wrong(make_reading, said, 2, tokens) == {}
    assert wrong(make_reading, said, 0, ["Nothing", *tokens]) != {}


def test_what_comes_next_is_held_against_ms_own_tokens(make_reading: Any) -> None:
    said = 'Ends on "boats"; next is perhaps "she", or a line break, "captain", "they", a comma.'
    note = "not among M's 3 likeliest next tokens"
    assert wrong(make_reading, said) == {'"they"': note, "a comma": note}
    assert wrong(make_reading, said, coming=[]) == {}


def test_quotations_numbers_and_names_are_held_against_the_text_so_far(make_reading: Any) -> None:
    said = 'Third-person narrative, about Anna, Bob and 13 boats.\nMidway: "Anna had 12 ships and they sank"'
    assert wrong(make_reading, said) == {
        "Bob": "not in the text so far",
        "13": "not in the text so far",
        "ships and they sank": "quoted, and not in the text so far",
    }
    assert "boats" in wrong(make_reading, '"Anna had 12 boats"', at=2), "what comes later is not there yet"


def test_what_is_quoted_states_nothing_itself(make_reading: Any) -> None:
    said = 'Midway: "Anna ends on boats", "next is had"; next is "she".'
    assert set(wrong(make_reading, said)) == {"ends on", "next is"}


def test_a_character_in_two_tokens_hides_no_word(make_reading: Any) -> None:
    assert wrong(make_reading, '"Zoë"', 1, ["Zo", "\ufffd", "\ufffd"]) == {}


def test_without_the_texts_tokens_the_text_is_not_checked(make_reading: Any) -> None:
    reading = make_reading(["x"], {0: [('"Anna" and Bob and 13', 0.1)]})
    assert [[piece.note for piece in line] for line in checks.checked(reading[0], None)[0]] == [[""]]


def test_agreement_counts_content_words_of_half_the_samples(make_reading: Any) -> None:
    samples = ["A story of the sea.", "The sea and a captain.", "The captain, in a story.", "The sea again; 7."]
    reading = make_reading(["x"], {0: [(text, 0.1) for text in samples]})
    assert checks.agreement(reading[0]) == {"sea": 3, "captain": 2, "story": 2}
    pieces = checks.checked(reading[0], None)[1][0]
    assert [(piece.text, piece.agreed) for piece in pieces] == [
        ("The ", 0), ("sea", 3), (" and a ", 0), ("captain", 2), (".", 0),
    ]  # fmt: skip
    assert checks.agreement(make_reading(["x"], {0: [("The sea.", 0.1)]})[0]) == {}, "one sample agrees with nobody"


def test_words_of_every_position_are_form_and_no_agreement(make_reading: Any) -> None:
    said = {i: [(f"Prose about topic{i}.", 0.1), (f"Prose, topic{i}.", 0.1)] for i in range(6)}
    reading = make_reading(["x"] * 6, said)
    form = checks.form_words(reading)
    assert form == {"prose"}
    assert checks.agreement(reading[2], form) == {"topic2": 2}
    few = make_reading(["x"], {0: [("Prose.", 0.1), ("Prose.", 0.1)]})
    assert checks.form_words(few) == frozenset(), "one position cannot tell form from content"


def test_each_of_ms_tokens_is_named_by_so_many_samples(make_reading: Any) -> None:
    said = [('Next is "she", or a line break.', 0.1), ('"She" is a word; next is "he".', 0.1)]
    reading = make_reading(TOKENS, {4: said}, coming={4: NEXT})
    assert checks.naming(reading[0]) == [1, 1, 0]


ANYTHING = st.text(st.sampled_from('ab "“”.,\n12AB’-') | st.characters(), max_size=60)


@given(ANYTHING, ANYTHING)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_marks_change_no_character(make_reading: Any, said: str, token: str) -> None:
    said = f'Ends on "{said}"; next is {said}\n{said}'
    reading = make_reading([token], {0: [(said, 0.1)] * 2}, text=token or "x", coming={0: [(token, 0.5)]})
    for sample in checks.checked(reading[0], checks.text_until(reading, reading[0])):
        assert "\n".join("".join(piece.text for piece in line) for line in sample) == said
