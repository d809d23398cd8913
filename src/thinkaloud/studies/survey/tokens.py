"""Token classes: whitespace, punctuation, words, word pieces, numbers and others."""

import unicodedata
from typing import Any

from thinkaloud.activations.positions import special_ids
from thinkaloud.activations.tokens import Reader

CLASSES: tuple[str, ...] = (
    "whitespace", "punctuation", "whole word", "word piece", "number", "symbol", "special", "byte piece",
)  # fmt: skip


class TokenClasses:
    """The classes of a tokenizer's tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self.reader, self._special = Reader(tokenizer), set(special_ids(tokenizer).tolist())

    def of(self, token_id: int, before: int | None = None, after: int | None = None) -> str:
        """The class of a token between the tokens `before` and `after`."""
        if token_id in self._special:
            return "special"
        return class_of(self.reader.token(token_id), self._beside(before), self._beside(after))

    def _beside(self, token_id: int | None) -> str:
        return "" if token_id is None or token_id in self._special else self.reader.token(token_id)


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
    if "N" in kinds:
        return "number"
    return "punctuation" if kinds == {"P"} else "symbol"


def _is_letter(char: str) -> bool:
    return bool(char) and unicodedata.category(char)[0] in "LM"
