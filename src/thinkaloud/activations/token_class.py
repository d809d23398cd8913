"""Token classes: whitespace, punctuation, words, word pieces, numbers and others."""

import unicodedata
from collections.abc import Collection, Sequence

from thinkaloud.activations.tokens import Reader

CLASSES: tuple[str, ...] = (
    "whitespace", "punctuation", "whole word", "word piece", "number", "symbol", "special", "byte piece",
)  # fmt: skip


def token_class(ids: Sequence[int], i: int, reader: Reader, special: Collection[int]) -> str:
    """The class of the ith of some tokens, between those beside it; a special token's letters are no word."""
    texts = [reader.token(k) if k not in special else "" for k in (*ids[:i][-1:], *ids[i : i + 2])]
    before, text, after = [*[""] * (i == 0), *texts, *[""] * (i == len(ids) - 1)]
    return "special" if ids[i] in special else class_of(text, before, after)


def class_of(text: str, before: str = "", after: str = "") -> str:
    """The class of a token that writes `text` between two others; U+FFFD is a part of a character.

    A letter makes it a word: whole if no letter goes on over either of its borders. Scripts without spaces between
    words therefore give word pieces.
    """
    if "\ufffd" in text:
        return "byte piece"
    core = text.strip()
    if not core:
        return "whitespace" if text else "symbol"
    kinds = {unicodedata.category(char)[0] for char in core}
    if "L" in kinds:
        begun = _is_letter(before[-1:]) and (_is_letter(text[0]) or (text[0] in "'’" and _is_letter(text[1:2])))
        return "word piece" if begun or (_is_letter(text[-1]) and _is_letter(after[:1])) else "whole word"
    return "number" if "N" in kinds else "punctuation" if kinds == {"P"} else "symbol"


def _is_letter(char: str) -> bool:
    return bool(char) and unicodedata.category(char)[0] in "LM"
