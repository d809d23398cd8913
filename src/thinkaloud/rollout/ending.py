"""Stopping criteria of a response: end token, closing tag or cap."""

from collections.abc import Sequence
from typing import Any

from thinkaloud import families
from thinkaloud.contract import CLOSE
from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation
from thinkaloud.rollout.base import Request

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

    def check(self, request: Request) -> None:
        """Refuse a request that does not fit into the context, or a prefix that nothing can follow."""
        prompt, n, cap, prefixes = request.prompt, request.n, request.sampling.max_tokens, request.prefixes
        if n < 1:
            raise UserError(f"samples must be 1 or more, found {n}")
        if prompt.length + cap > self.context:
            room = self.context - prompt.length
            raise UserError(f"max tokens {cap} do not fit behind the prompt: the context leaves {room}")
        if prefixes is None:
            return
        if len(prefixes) != prompt.n or any(len(row) != n for row in prefixes):
            raise UserError(f"expected {n} prefixes for each of {prompt.n} prompts")
        for i, row in enumerate(prefixes):
            for ids in row:
                if len(ids) >= cap:
                    raise UserError(f"a prefix of prompt {i} has {len(ids)} tokens: the cap of {cap} leaves no room")
                if self.tokens.intersection(ids) or CLOSE in self.tokenizer.decode(ids):
                    raise UserError(f"a prefix of prompt {i} has ended already: nothing can follow it")


def closing_tokens(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that can end the closing tag: those whose text holds its last character."""
    return frozenset(index for token, index in tokenizer.get_vocab().items() if CLOSE[-1] in token)
