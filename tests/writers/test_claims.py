"""Claims are read back from what was written, from what earlier versions wrote, and from what nobody wrote."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud.writers.claims import DROPPED, KINDS, Claim, certainty, fit, parse, write

WHOLE = [
    Claim("genre", "Dialogue in fiction"),
    Claim("language", "Latin"),
    Claim("beginning", "near the"),
    Claim("register", "archaic"),
    Claim("tense", "past"),
    Claim("person", "she"),
    Claim("topic", "his harbour"),
    Claim("name", "Laura Osnes"),
    Claim("question", "how many boats"),
    Claim("answer", "listing item two"),
    Claim("quantity", "several numbers"),
    Claim("number", "1.5 as a price"),
    Claim("subject", "captain"),
    Claim("verb", "had put"),
    Claim("object", "pipe"),
    Claim("opening", "Then it was"),
    Claim("speaker", "assistant"),
    Claim("turn", "second"),
    Claim("container", "in a list item"),
    Claim("clause", "midway in a when-clause"),
    Claim("quotation", "well; he said: so, the boat. / And"),
    Claim("token", '"),."'),
    Claim("role", "a digit of 1,204"),
    Claim("certainty", "open, say"),
    Claim("next", "a full stop"),
    Claim("next", '"; or"'),
    Claim("next", '"orchid"'),
]


def test_all_kinds_at_once() -> None:
    text = write(WHOLE)
    assert text == (
        "Dialogue in fiction, in Latin, near the beginning, archaic wording, past tense, person she, "
        "about his harbour, naming Laura Osnes.\n"
        "Asked how many boats, answer listing item two, several numbers, last 1.5 as a price, "
        "subject captain, verb had put, object pipe, begins Then it was.\n"
        "The assistant, second turn, in a list item, midway in a when-clause: "
        '"well; he said: so, the boat. / And"\n'
        'Ends on "),.", a digit of 1,204; next is open, say a full stop, or "; or", "orchid".'
    )
    assert parse(text) == WHOLE
    assert {claim.kind for claim in WHOLE} == set(KINDS)


def test_spans_hold_the_words_and_how_they_are_introduced() -> None:
    text = write(WHOLE)
    said = {claim.kind: text[slice(*claim.span)] for claim in parse(text)[:-2]}
    assert said["topic"] == "about his harbour"
    assert said["quotation"] == '"well; he said: so, the boat. / And"'
    assert (said["question"], said["certainty"]) == ("Asked how many boats", "open, say")
    assert all(claim.value.lower() in text[slice(*claim.span)].lower() for claim in parse(text))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "token"])
def test_any_kind_can_be_missing(kind: str) -> None:
    rest = [claim for claim in WHOLE if claim.kind not in {kind, "certainty" if kind == "next" else kind}]
    if kind == "certainty":  # a next token is said with some certainty
        rest = [Claim("certainty", "likely") if claim.kind == "certainty" else claim for claim in WHOLE]
    found = parse(write(rest))
    assert found == rest


def test_what_is_least_useful_goes_first_where_room_is_short() -> None:
    long = [Claim("quotation", "x" * 150) if claim.kind == "quotation" else claim for claim in WHOLE]
    assert len(write(long)) > 420 >= len(write(fit(long)))
    kinds = [claim.kind for claim in fit(long)]
    gone = [kind for kind in DROPPED if kind not in kinds]
    assert gone == list(DROPPED[: len(gone)])
    assert fit(WHOLE, limit=1000) == WHOLE


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "A word problem, worked, about the hotel, naming Ivan.\nOpening a new paragraph, subject he, verb to come: "
            '"in the hotel now? 22 - 2 ="\nEnds on an equals sign after 2; next is likely "2", or "1".',
            {
                "genre": "A word problem, worked",
                "topic": "the hotel",
                "name": "Ivan",
                "clause": "opening a new paragraph",
                "subject": "he",
                "quotation": "in the hotel now? 22 - 2 =",
                "token": "an equals sign",
                "role": "after 2",
                "certainty": "likely",
                "next": '"2"',
            },
        ),
        ("Plain prose, its topic still open.", {"genre": "Plain prose"}),
        ("A sermon about grief", {"genre": "A sermon", "topic": "grief"}),
        ('Prose.\nIn speech: "cut o', {"genre": "Prose", "container": "in speech", "quotation": "cut o"}),
        ('It ends on "the"', {"token": '"the"'}),
        ('Ends on "the", an article; next might be a cat.', {"token": '"the"', "role": "an article"}),
        ("Ends on a comma after cat; what comes next is not known.", {"token": "a comma", "role": "after cat"}),
        ("", {}),
        ("…\n\n::,. ;\n", {"genre": "…"}),
    ],
)
def test_earlier_and_broken_texts_are_read_as_far_as_they_go(text: str, expected: dict[str, str]) -> None:
    found: dict[str, str] = {}
    for claim in parse(text):
        found.setdefault(claim.kind, claim.value)
    assert found == expected


@given(st.text(alphabet=st.sampled_from('aAe \n\t,;.:"“-/') | st.characters(), max_size=120))
def test_any_text_is_read_and_spans_lie_within_it(text: str) -> None:
    for claim in parse(text):
        start, end = claim.span
        assert 0 <= start <= end <= len(text)
        assert claim.kind in KINDS


def test_certainty_follows_the_probability() -> None:
    assert [certainty(p) for p in (0.95, 0.3, 0.0)] == ["almost surely", "likely", "open, say"]
