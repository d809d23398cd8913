"""Stopping criteria of a response: end token, closing tag or cap."""

from collections.abc import Sequence
from typing import Any

from thinkaloud import families
from thinkaloud.contract import CLOSE
from thinkaloud.explanation import Explanation

_TAIL = 16  # tokens decoded to look for the closing tag; it is never longer than this


class Ending:
    """Where responses of this model end, in the tokens of `tokenizer`."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        self.context = families.context_length(model)
        self.closers = closing_tokens(tokenizer)
        self.tokens = frozenset(families.end_ids(model, tokenizer))

    def at(self, ids: Sequence[int], cap: int) -> bool:
        """Whether the last token of `ids` ends the response."""
        closed = ids[-1] in self.closers and CLOSE in self.tokenizer.decode(ids[-_TAIL:])
        return closed or ids[-1] in self.tokens or len(ids) == cap

    def explanation(self, ids: Sequence[int], logprobs: Sequence[float], cap: int) -> Explanation:
        """What a response that has ended says."""
        is_end = ids[-1] in self.tokens
        raw = self.tokenizer.decode(ids[:-1] if is_end else ids)
        return Explanation.parse(raw, tuple(ids), tuple(logprobs), cut=len(ids) == cap and not is_end)

    def within(self, ids: Sequence[int]) -> bool:
        """Whether a response that begins with `ids` has ended already."""
        return bool(self.tokens.intersection(ids)) or CLOSE in self.tokenizer.decode(ids)


def closing_tokens(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that can end the closing tag: those whose text holds its last character."""
    return frozenset(index for token, index in tokenizer.get_vocab().items() if CLOSE[-1] in token)
