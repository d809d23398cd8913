"""Is it still prose? Measures of a text that fall apart before its score does: repetition, script, quotation."""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from itertools import pairwise

_WORD = re.compile(r"\w+")
_QUOTED = re.compile(r'"[^"\n]*"|“[^”\n]*”')


def repetition(text: str) -> float:
    """Share of a text's pairs of neighbouring words that stood in it before; 0 for fewer than two words."""
    words = [word.lower() for word in _WORD.findall(text)]
    pairs = list(pairwise(words))
    return 1 - len(set(pairs)) / len(pairs) if pairs else 0.0


def non_latin(text: str) -> float:
    """Share of a text's letters that are of another script than Latin; 0 for a text without letters."""
    letters = [char for char in text if char.isalpha()]
    return sum(not _is_latin(char) for char in letters) / len(letters) if letters else 0.0


def quoted(text: str) -> float:
    """Share of a text's characters that stand in double quotes, the quotes included."""
    return sum(len(match.group()) for match in _QUOTED.finditer(text)) / len(text) if text else 0.0


def measures(texts: Sequence[str]) -> dict[str, float]:
    """The mean of each measure over texts."""
    named = {"repetition": repetition, "non_latin": non_latin, "quoted": quoted}
    return {name: sum(map(of, texts)) / len(texts) for name, of in named.items()}


@cache
def _is_latin(char: str) -> bool:
    return unicodedata.name(char, "").startswith(("LATIN", "FEMININE", "MASCULINE"))
