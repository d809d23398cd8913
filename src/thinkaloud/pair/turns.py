"""The messages of a chat as ranges of its tokens."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

TAG = re.compile(r"</?[^\s<>]+>|\[/?[A-Z_]+\]")


@dataclass(frozen=True)
class Turn:
    """Tokens `start` to `end` (half open), with the tags around the message. `role` is empty for a plain text."""

    role: str
    start: int
    end: int


def turns(tokens: Sequence[str], text: str | Sequence[Mapping[str, str]]) -> list[Turn]:
    """The messages of a chat as spans of its tokens, in order and without gaps; one span for a plain text.

    Messages are found in the tokens in order, by their ASCII characters alone: a token that holds half a character
    reads as a replacement sign. Where a message cannot be found (a template may rewrite it) the chat stays whole.
    """
    whole = [Turn("", 0, len(tokens))]
    if isinstance(text, str) or not text:
        return whole
    ends, joined = [], ""
    for token in tokens:
        joined += _ascii(token)
        ends.append(len(joined))
    spans, at = [], 0
    for message in text:
        content = _ascii(message["content"]).strip()
        start = joined.find(content, at) if content else -1
        if start < 0:
            return whole
        at = start + len(content)
        first = next(i for i, end in enumerate(ends) if end > start)
        last = next(i for i, end in enumerate(ends) if end >= at)
        spans.append((first, last + 1))
    cuts = [0, *(_cut(tokens, left[1], right[0]) for left, right in pairwise(spans)), len(tokens)]
    return [Turn(m["role"], cuts[i], cuts[i + 1]) for i, m in enumerate(text)]


def _cut(tokens: Sequence[str], start: int, stop: int) -> int:
    """Where the gap between two messages is cut: behind the tag that closes the first, if two tags stand there."""
    tags = [i for i in range(start, stop) if TAG.fullmatch(tokens[i].strip())]
    return tags[0] + 1 if len(tags) > 1 else start


def _ascii(text: str) -> str:
    return "".join(c for c in text if c.isascii())
