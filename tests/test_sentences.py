"""Sentences keep quotations, brackets, abbreviations and numbers whole; real prose leaves no quotation half open."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud.sentences import spans

ONE = [
    "Dr. Lee met Mr. and Mrs. Vane at St. Mary's.",
    "It costs 2.50 at No. 5, i.e. less than Fig. 3 says (cf. p. 12).",
    "J. R. R. Tolkien and George W. Bush were not at the U.S. Senate.",
    "At 5 p.m. they left; at 6 a.m. they were back.",
    "Smith Jr., Brown Inc., etc. are gone by Jan. 5.",
    "3. Beat the eggs.",
    "(a) Two of them.",
    "- iv. The fourth.",
    '"No! Never!" he cried.',
    "Alas! poor man.",
    "When he turned... there was nobody.",
    '"I see. You are right. Go on."',
    "“She said ‘Go. Now.’ and left. So did I.”",
    'He read: "the boy said "no. Not now" and" to her.',
    "The bird (a crow. Or a rook.) was gone.",
    "\"He told me: 'Go home. Stay there.' So I went.\"",
    "«Oui. C'est vrai.»",
    'Ends on ".", a full stop; next is likely a space.',
]
MORE = [
    ('In a clause: "the sea. The boy said"\nEnds on it', ['In a clause: "the sea. The boy said"', "Ends on it"]),
    ("He was on Main Rd. The rain fell. It fell.", ["He was on Main Rd.", "The rain fell.", "It fell."]),
    (
        "So do I. You know. He bought A, B, etc. Then left.",
        ["So do I.", "You know.", "He bought A, B, etc.", "Then left."],
    ),
    ("He lives in the U.S. The other does not.", ["He lives in the U.S.", "The other does not."]),
    ('He said "no." Then he left.', ['He said "no."', "Then he left."]),
    ('"Who?" "You." He left!', ['"Who?"', '"You."', "He left!"]),
    ("the cat sat. the dog ran.", ["the cat sat.", "the dog ran."]),
    ("It's the boys' ball. They're late.", ["It's the boys' ball.", "They're late."]),
    ('A 5" nail. A 6" nail.', ['A 5" nail.', 'A 6" nail.']),
    ('"An opening that is not closed. It ends here.', ['"An opening that is not closed.', "It ends here."]),
    ("18 + 9 = 27.\n#### 27", ["18 + 9 = 27.", "#### 27"]),
    ("He pays $2.50. She pays 1.5 times as much.", ["He pays $2.50.", "She pays 1.5 times as much."]),
    ("**Bold.** Plain? Yes", ["**Bold.**", "Plain?", "Yes"]),
    ("Is it 5? 6 is too much… Or not.", ["Is it 5?", "6 is too much…", "Or not."]),
]


def split(text: str) -> list[str]:
    return [text[start:end] for start, end in spans(text)]


@pytest.mark.parametrize("text", ONE)
def test_what_is_one_sentence(text: str) -> None:
    assert split(text) == [text]
    assert split(f"{text} Another one stands here.") == [text, "Another one stands here."]


@pytest.mark.parametrize(("text", "sentences"), MORE)
def test_where_sentences_end(text: str, sentences: list[str]) -> None:
    assert split(text) == sentences


@given(st.lists(st.sampled_from([*ONE, *(one for _, some in MORE for one in some if one[0] != '"')]), max_size=5))
def test_lines_are_split_each_for_itself(lines: list[str]) -> None:
    assert split("\n".join(lines)) == [sentence for line in lines for sentence in split(line)]


def test_real_texts_leave_hardly_a_quotation_open() -> None:
    files = [path for path in Path("texts").iterdir() if path.suffix in (".txt", ".md")]
    lines = [
        line for path in files for line in path.read_text(encoding="utf-8").splitlines() if line.count('"') % 2 == 0
    ]
    quoting = [sentence for line in lines for sentence in split(line) if '"' in sentence]
    assert len(quoting) > 100
    assert sum(sentence.count('"') % 2 for sentence in quoting) <= 0.01 * len(quoting)
