"""Templates of paragraphs: fixed words in order with slots between, mined so that few of them cover many paragraphs.

Quotations count as one word, numbers as one; other words are fixed only where many paragraphs hold them. A template is
grown word by word as long as it explains more: how many paragraphs hold its words in order, times their weight. Those
paragraphs are set aside, and the next template is grown on the others.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from thinkaloud.writers.wordlists import FUNCTION

QUOTATION = re.compile(r'"[^"\n]*"|“[^”\n]*”|(?<!\w)‘[^’\n]*’(?!\w)')
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|[…#]")
SLOT, QUOTED, NUMBER = "_", "…", "#"
COMMON = 0.02  # share of paragraphs that hold a word of a template
LEAST = 0.01  # share of paragraphs that a template covers
LIGHT = 0.1  # weight of a function word or a mark of a slot: it stands everywhere


@dataclass(frozen=True)
class Template:
    """Words in order, the paragraphs (indices) that hold them so and no earlier template, and its text with slots."""

    words: tuple[str, ...]
    members: tuple[int, ...]
    text: str


def mine(paragraphs: Sequence[str], most: int = 12) -> list[Template]:
    """At most `most` templates, those that explain most first; a paragraph belongs to the first that it fits."""
    found = [_words(paragraph) for paragraph in paragraphs]
    holding = Counter(word for words in found for word in set(words))
    common = {word for word, n in holding.items() if n >= max(2, COMMON * len(found))}
    left: dict[tuple[str, ...], list[int]] = {}
    for i, words in enumerate(found):
        left.setdefault(tuple(word if word in common else SLOT for word in words), []).append(i)
    out: list[Template] = []
    while left and len(out) < most:
        words = _grown({shape: len(rows) for shape, rows in left.items()})
        fitting = [shape for shape in left if _fits(words, shape)]
        members = sorted(row for shape in fitting for row in left.pop(shape))
        if not words or len(members) < max(2, LEAST * len(found)):
            break
        out.append(Template(words, tuple(members), _shown(words, [found[i] for i in members])))
    return out


def openings(texts: Sequence[str], words: int) -> list[str]:
    """The first words of each text, without the mark that ends them."""
    return [" ".join(text.split()[:words]).rstrip(",.;:") for text in texts]


def _words(text: str) -> list[str]:
    return [w.lower() for w in _TOKEN.findall(_NUMBER.sub(NUMBER, QUOTATION.sub(QUOTED, text)))]


def _weight(word: str) -> float:
    return LIGHT if word in FUNCTION or word in (QUOTED, NUMBER) else 1.0


def _grown(shapes: dict[tuple[str, ...], int]) -> tuple[str, ...]:
    """The template that explains most of these shapes, grown greedily: covered paragraphs × weight of its words."""
    words: tuple[str, ...] = ()
    worth = 0.0
    while True:
        gains: Counter[tuple[int, str]] = Counter()
        for shape, n in shapes.items():
            gains.update(dict.fromkeys(_insertions(words, shape), n))
        sofar = sum(map(_weight, words))
        best = max(gains, key=lambda at: (gains[at] * (sofar + _weight(at[1])), at), default=None)
        if best is None or gains[best] * (sofar + _weight(best[1])) <= worth:
            return words
        worth = gains[best] * (sofar + _weight(best[1]))
        words = (*words[: best[0]], best[1], *words[best[0] :])
        shapes = {shape: n for shape, n in shapes.items() if _fits(words, shape)}


def _insertions(words: tuple[str, ...], shape: tuple[str, ...]) -> set[tuple[int, str]]:
    """Where (before which word) another word could stand in the template so that the shape still fits it."""
    first = list(_earliest(words, shape))
    if len(first) < len(words):
        return set()
    last = [len(shape) - 1 - at for at in _earliest(words[::-1], shape[::-1])][::-1]
    lows, highs = [-1, *first], [*last, len(shape)]
    return {
        (k, word)
        for k, (low, high) in enumerate(zip(lows, highs, strict=True))
        for word in shape[low + 1 : high]
        if word != SLOT
    }


def _earliest(words: Sequence[str], shape: Sequence[str]) -> Iterator[int]:
    """Where the words of a template first stand in order, as far as they do."""
    at = -1
    for word in words:
        try:
            at = shape.index(word, at + 1)
        except ValueError:
            return
        yield at


def _fits(words: tuple[str, ...], shape: Sequence[str]) -> bool:
    return sum(1 for _ in _earliest(words, shape)) == len(words)


def _shown(words: tuple[str, ...], members: Sequence[list[str]]) -> str:
    """The template with a slot wherever most of its paragraphs have words between two of its own."""
    gaps: Counter[int] = Counter()
    for found in members:
        at = [-1, *_earliest(words, found), len(found)]
        gaps.update(k for k in range(len(words) + 1) if at[k + 1] - at[k] > 1)
    often = [gaps[k] * 2 > len(members) for k in range(len(words) + 1)]
    return " ".join(part for k, slot in enumerate(often) for part in ((SLOT,) * slot + words[k : k + 1]))
