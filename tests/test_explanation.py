"""The parts of an explanation are exactly where their spans say, and nothing of it is lost."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from thinkaloud.contract import CLOSE, OPEN
from thinkaloud.explanation import Explanation, Part, split_parts, unwrap, wrap

# Text made of what splitting turns on, so that rare meetings are frequent.
PIECES = [
    "a",
    "Bc",
    " ",
    "  ",
    "\n",
    "\n\n",
    "\t",
    "\r\n",
    ".",
    "!",
    "?",
    "…",
    "...",
    '"',
    "”",
    ")",
    "’",
    "1.5",
    "é",
    "日",
    "\u2028",
    "\x0b",
]
TEXTS = st.one_of(st.lists(st.sampled_from(PIECES), max_size=30).map("".join), st.text(max_size=60))


def of(kind: str, text: str) -> list[str]:
    return [text[part.start : part.end] for part in split_parts(text) if part.kind == kind]


@given(TEXTS)
@example("One. Two.\n\nThree")
@example("a\n \nb")
@example("x\n\n")
@example("...")
def test_spans_are_exact_and_cover_everything(text: str) -> None:
    parts = split_parts(text)
    for kind in ("paragraph", "sentence"):
        spans = [(part.start, part.end) for part in parts if part.kind == kind]
        assert spans == sorted(spans)
        assert all(a[1] <= b[0] for a, b in pairwise(spans)), "parts of a kind do not overlap"
        for start, end in spans:
            assert 0 <= start < end <= len(text)
            assert text[start:end] == text[start:end].strip()
        covered = {i for start, end in spans for i in range(start, end)}
        assert all(text[i].isspace() for i in set(range(len(text))) - covered)


@given(TEXTS)
def test_sentences_stay_within_paragraphs(text: str) -> None:
    parts = split_parts(text)
    paragraphs = [part for part in parts if part.kind == "paragraph"]
    for sentence in (part for part in parts if part.kind == "sentence"):
        assert any(p.start <= sentence.start and sentence.end <= p.end for p in paragraphs)
    starts = [(part.start, part.kind == "sentence") for part in parts]
    assert starts == sorted(starts), "each paragraph before its first sentence"


@pytest.mark.parametrize(
    ("text", "paragraphs", "sentences"),
    [
        ("", [], []),
        (" \n ", [], []),
        ("One thing", ["One thing"], ["One thing"]),
        ("One. Two! Three?", ["One. Two! Three?"], ["One.", "Two!", "Three?"]),
        ('He said "no." Then left.', ['He said "no." Then left.'], ['He said "no."', "Then left."]),
        ("Of 1.5 metres. So", ["Of 1.5 metres. So"], ["Of 1.5 metres.", "So"]),
        ("line one\nline two", ["line one\nline two"], ["line one", "line two"]),
        ("first par.\n\nsecond\n \t\nthird", ["first par.", "second", "third"], ["first par.", "second", "third"]),
        ("So… (well.) Yes", ["So… (well.) Yes"], ["So…", "(well.)", "Yes"]),
        ("  indented. \n\n\n\n late ", ["indented.", "late"], ["indented.", "late"]),
    ],
)
def test_how_text_is_split(text: str, paragraphs: list[str], sentences: list[str]) -> None:
    assert of("paragraph", text) == paragraphs
    assert of("sentence", text) == sentences


def test_parts_are_in_reading_order() -> None:
    parts = Explanation("Aa. B?\n\nC", "", (), (), "closed").parts
    assert parts == (
        Part("paragraph", 0, 6),
        Part("sentence", 0, 3),
        Part("sentence", 4, 6),
        Part("paragraph", 8, 9),
        Part("sentence", 8, 9),
    )


@given(TEXTS)
def test_unwrapping_undoes_wrapping(text: str) -> None:
    assert unwrap(wrap(text)) == text.strip()


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (f"{OPEN}\nsaid\n{CLOSE}", "said"),
        (f"{OPEN}said", "said"),
        (f"said{CLOSE} and more", "said"),
        ("said", "said"),
        (f"preamble {OPEN} said {CLOSE} tail", "said"),
        (f"{OPEN}a{CLOSE}{OPEN}b{CLOSE}", "a"),
        (f"{OPEN}{CLOSE}", ""),
    ],
)
def test_unwrap(raw: str, text: str) -> None:
    assert unwrap(raw) == text


@given(TEXTS, st.booleans(), st.booleans())
def test_parsing_says_how_it_ended(text: str, cut: bool, closes: bool) -> None:
    raw = f"{OPEN}{text}{CLOSE}" if closes else f"{OPEN}{text}"
    explanation = Explanation.parse(raw, (1, 2), (-0.5, -1.5), cut)
    assert explanation.finish == ("closed" if closes else "cut" if cut else "eos")
    assert explanation.raw == raw
    assert explanation.text == text.strip()
    assert explanation.logprob == -2.0
