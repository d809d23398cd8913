"""Templates of paragraphs: fixed words in order with slots between, mined so that few of them cover many paragraphs.

Quotations count as one word, numbers as one; other words are fixed only where many paragraphs hold them. A template is
grown word by word as long as it explains more: how many paragraphs hold its words in order, times their weight. Those
paragraphs are set aside, and the next template is grown on the others.
"""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from thinkaloud.writers.wordlists import FUNCTION

QUOTATION = re.compile(r'"[^"\n]*"|“[^”\n]*”|(?<!\w)‘[^’\n]*’(?!\w)')
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|[…#]")
SLOT, QUOTED, NUMBER = "_", "…", "#"
COMMON = 0.02  # share of paragraphs that hold a word of a template
LEAST = 0.01  # share of paragraphs that a template covers
LIGHT = 0.1  # weight of a function word or a mark of a slot: it stands everywhere

Words = tuple[str, ...]


class Template(NamedTuple):
    """Words in order with slots, and the paragraphs (indices) that hold them so and fit no earlier template."""

    text: str
    members: tuple[int, ...]


def mine(paragraphs: Sequence[str], most: int = 12) -> list[Template]:
    """At most `most` templates, those that explain most first; a paragraph belongs to the first that it fits."""
    found = [
        tuple(w.lower() for w in _TOKEN.findall(_NUMBER.sub(NUMBER, QUOTATION.sub(QUOTED, text))))
        for text in paragraphs
    ]
    holding = Counter(word for words in found for word in set(words))
    common = {word for word, n in holding.items() if n >= max(2, COMMON * len(found))}
    left: dict[Words, list[int]] = {}
    for i, words in enumerate(found):
        left.setdefault(tuple(word if word in common else SLOT for word in words), []).append(i)
    out: list[Template] = []
    while left and len(out) < most:
        words = _grown({shape: len(rows) for shape, rows in left.items()})
        fitting = [shape for shape in left if _earliest(words, shape) is not None]
        members = sorted(row for shape in fitting for row in left.pop(shape))
        if not words or len(members) < max(2, LEAST * len(found)):
            break
        out.append(Template(_shown(words, [found[i] for i in members]), tuple(members)))
    return out


def _grown(shapes: dict[Words, int]) -> Words:
    """The template that explains most of these shapes, grown greedily: covered paragraphs × weight of its words."""
    words, weight, worth = Words(), 0.0, 0.0
    while True:
        gains: Counter[tuple[int, str]] = Counter()
        for shape, n in shapes.items():
            gains.update(dict.fromkeys(_insertions(words, shape), n))
        new = {at: n * (weight + _weight(at[1])) for at, n in gains.items()}
        best = max(new, key=lambda at: (new[at], at), default=None)
        if best is None or new[best] <= worth:
            return words
        worth, weight = new[best], weight + _weight(best[1])
        words = (*words[: best[0]], best[1], *words[best[0] :])
        shapes = {shape: n for shape, n in shapes.items() if _earliest(words, shape) is not None}


def _weight(word: str) -> float:
    return LIGHT if word in FUNCTION or word in (QUOTED, NUMBER) else 1.0


def _insertions(words: Words, shape: Words) -> set[tuple[int, str]]:
    """Where (before which word) another word could stand in the template so that the shape still fits it."""
    first, back = _earliest(words, shape), _earliest(words[::-1], shape[::-1])
    if first is None or back is None:
        return set()
    highs = [*(len(shape) - 1 - at for at in reversed(back)), len(shape)]
    ranges = enumerate(zip([-1, *first], highs, strict=True))
    return {(k, word) for k, (low, high) in ranges for word in shape[low + 1 : high] if word != SLOT}


def _earliest(words: Words, shape: Words) -> list[int] | None:
    """Where the words of a template first stand in order; None where they do not."""
    found = [-1]
    try:
        for word in words:
            found.append(shape.index(word, found[-1] + 1))
    except ValueError:
        return None
    return found[1:]


def _shown(words: Words, members: Sequence[Words]) -> str:
    """The template with a slot wherever most of its paragraphs have words between two of its own."""
    gaps: Counter[int] = Counter()
    for found in members:
        at = [-1, *(_earliest(words, found) or ()), len(found)]
        gaps.update(k for k, (low, high) in enumerate(pairwise(at)) if high - low > 1)
    slots = [(SLOT,) * (gaps[k] * 2 > len(members)) for k in range(len(words) + 1)]
    return " ".join(part for k, slot in enumerate(slots) for part in (*slot, *words[k : k + 1]))
