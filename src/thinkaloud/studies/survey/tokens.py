"""Token classes: whitespace, punctuation, words, word pieces, numbers and others.

Vocabularies spell bytes in two ways: byte-level ones write each byte as a printable character (Ġ is a space),
sentencepiece ones write ▁ for a space and <0x0A> for a byte that they have no other token for.
"""

import re
import unicodedata
from functools import cache
from typing import Any

from thinkaloud.activations.positions import special_ids

CLASSES: tuple[str, ...] = (
    "whitespace", "punctuation", "whole word", "word piece", "number", "symbol", "special", "byte piece",
)  # fmt: skip
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class TokenClasses:
    """The classes of a tokenizer's tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.byte_level = is_byte_level(tokenizer)
        self._special = set(special_ids(tokenizer).tolist())
        self._added = {i: token.content for i, token in tokenizer.added_tokens_decoder.items()}

    def text(self, token_id: int) -> str | None:
        """What the token alone writes; None for a part of a character."""
        if token_id in self._added:
            return self._added[token_id]
        return spelled(self.tokenizer.convert_ids_to_tokens(token_id), self.byte_level)

    def of(self, token_id: int, before: int | None = None, after: int | None = None) -> str:
        """The class of a token between the tokens `before` and `after`."""
        if token_id in self._special:
            return "special"
        return class_of(self.text(token_id), self._beside(before), self._beside(after))

    def _beside(self, token_id: int | None) -> str:
        return "" if token_id is None or token_id in self._special else self.text(token_id) or ""


def class_of(text: str | None, before: str = "", after: str = "") -> str:
    """The class of a token that writes `text` between two others; None is a part of a character.

    A letter makes it a word: whole if no letter goes on over either of its borders. Scripts without spaces between
    words therefore give word pieces.
    """
    if text is None:
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


def spelled(token: str, byte_level: bool) -> str | None:
    """The text a vocabulary's token stands for; None where it holds a part of a character."""
    if byte_level:
        alphabet = _alphabet()
        if not alphabet.keys() >= set(token):
            return token
        raw = bytes(alphabet[char] for char in token)
    elif match := _BYTE.fullmatch(token):
        raw = bytes([int(match.group(1), 16)])
    else:
        return token.replace("▁", " ")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return None


def is_byte_level(tokenizer: Any) -> bool:
    """Whether the vocabulary writes every byte as a printable character."""
    decoder = getattr(getattr(tokenizer, "backend_tokenizer", None), "decoder", None)
    return decoder is not None and b'"ByteLevel"' in decoder.__getstate__()


def _is_letter(char: str) -> bool:
    return bool(char) and unicodedata.category(char)[0] in "LM"


@cache
def _alphabet() -> dict[str, int]:
    """The byte that each character of a byte-level vocabulary stands for (Radford et al., GPT-2, 2019)."""
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    return {char: byte for byte, char in bytes_to_unicode().items()}
