"""An explanation's claims are told apart by kind, whatever it looks like."""

import pytest

from thinkaloud.studies.positions.claims import KINDS, claims, content_words, words

POCKET = (
    "A word problem, worked, about the hotel, guests and the snow.\n"
    'Opening a new paragraph: "in the hotel now? 22 - 2 ="\n'
    'Ends on "=", an equals sign; next is likely "2", or "1".'
)


def held(text: str) -> dict[str, set[str]]:
    """The kinds that hold something."""
    return {kind: set(found) for kind, found in claims(text).items() if found}


def test_every_kind_of_a_whole_explanation() -> None:
    assert held(POCKET) == {
        "kind of text": {"a word problem, worked"},
        "topic": {"hotel", "guests", "snow"},
        "place in sentence": {"opening a new paragraph"},
        "quotation": {"hotel"},
        "number": {"22", "2"},
        "last token": {'ends on "=", an equals sign'},
        "next token": {'next is likely "2"'},
    }


def test_what_the_rules_say_in_phrases_of_their_own_is_no_topic() -> None:
    text = (
        "Third-person narrative, plain wording, past tense, about the hotel, naming Vera.\n"
        "Asked how many guests, two numbers, last 22, subject captain, verb put, object pipe.\n"
        'In speech, opening a new paragraph: "in the hotel now"\n'
        'Ends on "now", an adverb; next is likely a question mark.'
    )
    found = held(text)
    assert found["kind of text"] == {"third-person narrative"}
    assert found["wording"] == {"plain wording", "past tense"}
    assert found["topic"] == {"hotel", "vera"}
    before = {"asked how many guests", "two numbers", "last 22", "subject captain", "verb put", "object pipe"}
    assert found["what came before"] == before
    assert found["place in sentence"] == {"in speech", "opening a new paragraph"}
    assert held("Prose about rain.\nThe answer is no, subject to rain.\nA comma.")["topic"] == {
        "rain",
        "answer",
        "subject",
    }


def test_the_order_of_kinds_is_the_one_stated() -> None:
    assert tuple(claims(POCKET)) == KINDS
    assert tuple(claims("")) == KINDS


@pytest.mark.parametrize("text", ["", "  \n\n ", "\n"])
def test_an_empty_explanation_claims_nothing(text: str) -> None:
    assert held(text) == {}


def test_one_sentence_is_an_opening_and_no_statement_of_the_last_token() -> None:
    assert held("A news article about the mayor of Riga.") == {
        "kind of text": {"a news article"},
        "topic": {"mayor", "riga"},
    }
    assert held("Plain prose, its topic still open.") == {"kind of text": {"plain prose"}}


def test_sentences_stand_for_lines_where_there_is_one_line_and_quotations_do_not_end_them() -> None:
    found = held('A sermon about grief. Quoted: "He left. She stayed" here. Ends on "stayed. And"; next is "so".')
    assert found["kind of text"] == {"a sermon"}
    assert found["quotation"] == {"left", "stayed"}
    assert found["last token"] == {'ends on "stayed. and"'}
    assert found["next token"] == {'next is "so"'}


def test_an_opening_without_about_is_the_kind_as_a_whole_and_holds_topics() -> None:
    assert held("Recipe for apple cake. The list goes on. Final token is a comma.") == {
        "kind of text": {"recipe for apple cake"},
        "topic": {"list", "goes"},
        "last token": {"final token is a comma"},
    }


def test_a_quotation_that_is_cut_ends_with_its_line() -> None:
    found = held('Prose about rain.\nMidway: "the heavy rain\nEnds on "rain')
    assert found["quotation"] == {"heavy", "rain"}
    assert found["last token"] == {'ends on "rain'}


def test_curly_quotation_marks_count() -> None:
    assert held("Prose about rain.\nMidway: “a grey cloud”\nEnds on “cloud”.")["quotation"] == {"grey", "cloud"}


def test_numbers_are_numbers_in_words_too() -> None:
    assert held("Prose about twelve men and 1,200 ships.\nEnds on 7.")["number"] == {"12", "1200"}


def test_words_are_lower_case_without_the_possessive() -> None:
    assert words("Olga's CAT doesn't eat 3 fish") == ["olga", "cat", "doesn't", "eat", "fish"]
    assert content_words("The cat and I sat on x") == ["cat", "sat"]
