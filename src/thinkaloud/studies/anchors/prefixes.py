"""Prefixes of whole sentences: where the sentences of a text end among its tokens, and texts without one of them."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from thinkaloud.contract import CLOSE, OPEN
from thinkaloud.sentences import spans


class Sentence(NamedTuple):
    """A sentence `text[start:end]` of a text, and how many of the text's tokens it takes to have said it."""

    start: int
    end: int
    tokens: int


def sentence_ends(text: str, ids: Sequence[int], tokenizer: Any) -> list[Sentence]:
    """The sentences of a text that stands in the tokens `ids`; what ends within another's last token is left out."""
    grown = [len(tokenizer.decode(ids[: i + 1])) for i in range(len(ids))]
    before, found = max(0, tokenizer.decode(ids).find(text)), list[Sentence]()
    for start, end in spans(text):
        tokens = next((k + 1 for k, length in enumerate(grown) if length >= before + end), None)
        if tokens is not None and (not found or tokens > found[-1].tokens):
            found.append(Sentence(start, end, tokens))
    return found


def first_sentence(raw: str) -> tuple[str, str]:
    """The first sentence of what follows a prefix, empty where the text ends there, and what stands behind it."""
    body = raw.replace(OPEN, "").split(CLOSE, 1)[0]
    start, end = next(spans(body), (0, 0))
    return body[start:end], body[end:]


def without(text: str, sentences: Sequence[str], i: int) -> str:
    """A text with its ith sentence and the white space behind it taken out; −1 leaves it whole."""
    if i < 0:
        return text
    at = 0
    for sentence in sentences[:i]:
        at = text.index(sentence, at) + len(sentence)
    start = text.index(sentences[i], at)
    return (text[:start] + text[start + len(sentences[i]) :].lstrip()).strip()
