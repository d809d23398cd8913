"""Text statistics of explanations: repetition, repeated list items, script, quotation."""

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import pairwise

from thinkaloud.evals.explained import Explained, evaluation
from thinkaloud.stats import Estimate, estimate, mean

_WORD = re.compile(r"\w+")
QUOTED = re.compile(r'"[^"\n]*"|“[^”\n]*”')

# What parts a line into lists, and a list into its items; quotations are whole.
_PARTS = re.compile(r'"[^"\n]*"|“[^”\n]*”|[;:.]+(?=\s|$)|,|[^\s,;:.“"]+(?:[:.]+[^\s,;:.“"]+)*')
_LIST_ENDS = frozenset(";:.")
_JOINED = frozenset([",", "and", "or"])
_DETERMINER = re.compile(
    r"(a|an|the|this|that|these|those|his|her|its|my|your|our|their|each|every|some|any|no|another|of|in|on)\Z",
    re.IGNORECASE,
)
_HEDGE = re.compile(r"(next|is|almost|surely|very|likely|perhaps|open|say)\Z")
# A word three times, a few words twice, or a piece three times inside a word.
_STUTTER = re.compile(
    r"(?<!\w)(?:(\w+)(?:\W+\1){2,}|(\w+(?:\W+\w+){1,3})(?:\W+\2)+)(?!\w)|(?<![^\W\d_])[^\W\d_]*?([^\W\d_]{2,12}?)\3{2,}",
    re.IGNORECASE,
)


def repetition(text: str) -> float:
    """Share of a text's pairs of neighbouring words that stood in it before; 0 for fewer than two words."""
    words = [word.lower() for word in _WORD.findall(text)]
    pairs = list(pairwise(words))
    return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0


def repeated_items(text: str) -> int:
    """How many items of a text's lists stood in the same list before: topics by any content word, others as a whole.

    "about the sea, his sea and Laura" has one, and so has 'next is "paper", or "paper"'.
    """
    return sum(_repeated(items) for line in text.splitlines() for items in _lists(line))


def stutters(text: str) -> int:
    """How many stretches say a word three times in a row, a few words twice, or a piece three times inside a word."""
    return sum(1 for _ in _STUTTER.finditer(text))


def _lists(line: str) -> Iterator[list[list[str]]]:
    """The lists of a line, their items as lists of words; what stands before "about" or "next" is no item."""
    items: list[list[str]] = [[]]
    for part in _PARTS.findall(line):
        if part[0] in _LIST_ENDS:
            yield items
            items = [[]]
        elif part in _JOINED:
            items.append([])
        elif part in ("about", "next"):
            items = [[part]]
        else:
            items[-1].append(part)
    yield items


def _repeated(items: Sequence[Sequence[str]]) -> int:
    topics = items[0][:1] == ["about"]
    expected = items[0][:2] == ["next", "is"]
    said: set[str] = set()
    again = 0
    for item in items:
        words = [word for word in item if not _DETERMINER.match(word) and word not in ("about", "naming")]
        if expected:
            # Of 'next is very likely "paper"' the token is the item; a mark is named in words: "a full stop".
            quotations = [word for word in words if word[0] in '"“']
            words = quotations or [word for word in words if not _HEDGE.match(word)]
        keys = {word.lower() for word in words} if topics else {" ".join(words)} - {""}
        again += not said.isdisjoint(keys)
        said |= keys
    return again


def non_latin(text: str) -> float:
    """Share of a text's letters that are of another script than Latin; 0 for a text without letters."""
    letters = [char for char in text if char.isalpha()]
    return sum(not _is_latin(char) for char in letters) / len(letters) if letters else 0.0


def matched(pattern: re.Pattern[str], text: str) -> float:
    """Share of a text's characters that stand in matches of a pattern; 0 for an empty text."""
    return sum(len(match.group()) for match in pattern.finditer(text)) / len(text) if text else 0.0


def quoted(text: str) -> float:
    """Share of a text's characters that stand in double quotes, the quotes included."""
    return matched(QUOTED, text)


def quotations(text: str) -> list[str]:
    """What stands in double quotes, without them; nothing of empty ones."""
    return [said for said in (match.group()[1:-1].strip() for match in QUOTED.finditer(text)) if said]


def without_quotations(text: str) -> str:
    """The text with what stands in double quotes replaced by an ellipsis, the quotes kept."""
    return QUOTED.sub('"…"', text)


def measures(texts: Sequence[str]) -> dict[str, float]:
    """The mean of each share over texts; `repeating` is the share of texts with a list that names an item again."""
    return {name: sum(map(of, texts)) / len(texts) for name, of in MEASURES.items()}


@evaluation
def text_stats(found: Explained) -> dict[str, Estimate]:
    """The mean of each share over explanations, with intervals over documents."""
    said, docs = found.column("explanation"), found.column("doc_id")
    return {name: estimate(mean([float(of(text)) for text in said]), docs) for name, of in MEASURES.items()}


MEASURES: dict[str, Callable[[str], float]] = {
    "repetition": repetition,
    "repeating": lambda text: repeated_items(text) > 0,
    "non_latin": non_latin,
    "quoted": quoted,
}


@cache
def _is_latin(char: str) -> bool:
    return unicodedata.name(char, "").startswith(("LATIN", "FEMININE", "MASCULINE"))
