"""Oddments: the same from the same seed, whichever are asked for, and called what they are by the writer."""

from collections import Counter

from thinkaloud.pocket.oddments import KINDS, oddments
from thinkaloud.writers import Context, explain_context

GENRES = ("Program code", "Structured data", "A table", "A message with emoji", "Text in another script", "Columns of")


def test_any_of_them_can_be_made_alone() -> None:
    many = list(oddments(0, 40))
    assert list(oddments(17, 3)) == many[17:20]
    assert len({document["id"] for document in many}) == 40
    assert next(oddments(0, 1, seed=1))["text"] != many[0]["text"]


def test_the_writer_tells_most_of_them_from_prose() -> None:
    texts = [document["text"] for document in oddments(0, 20 * len(KINDS))]
    ends = [text[: len(text) * 3 // 4] for text in texts]
    said = [explain_context(Context(end, end[-1:])).split(",")[0] for end in ends]
    known = sum(genre.startswith(GENRES) for genre in said)
    assert known >= 0.7 * len(said), Counter(said)
