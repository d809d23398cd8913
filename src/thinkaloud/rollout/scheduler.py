"""Continuous batching: requests of different prompts, vectors, sampling and prefixes share the rows of one engine."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import torch

from thinkaloud.rollout.base import Engine, Request, Row

_PREFILL_TOKENS = 16384  # read at once


class Scheduler(Engine):
    """The queue of an engine that decodes at most `rows` responses at once.

    Live rows stand together at the front. Rows that have ended make room, and prompts that wait are let in when an
    eighth of the rows is free, as reading a prompt holds up those that are being decoded.
    """

    def __init__(self, model: Any, tokenizer: Any, rows: int = 256, dtype: torch.dtype | None = None) -> None:
        super().__init__(model, tokenizer, rows, dtype)
        self.live: list[Row] = []

    @abstractmethod
    def admit(self, rows: Sequence[Row], wanted: int, places: int) -> None:
        """Read the prompts of these rows, which are of the same token ids, behind the live ones; draw a first token.

        `wanted` rows of `places` tokens will be needed for all that is known of.
        """

    @abstractmethod
    def decode(self) -> None:
        """At least one token for every live row."""

    @abstractmethod
    def compact(self) -> None:
        """Drop the live rows that have ended, and move the others together."""

    def cancel(self, request: Request) -> None:
        super().cancel(request)
        for row in self.live:
            row.ended |= row.request is request
        with self.running():
            self.compact()

    def advance(self) -> list[Row]:
        if new := self._next():
            here = len(self.live) + len(new)
            wait = sum(request.n * (request.prompt.n - request.admitted) for request in self.waiting)
            requests = {row.request for row in [*self.live, *new]}.union(self.waiting)
            places = max(request.prompt.length + request.sampling.max_tokens for request in requests)
            self.admit(new, max(here, min(self.rows, here + wait)), places)
            self.live += new
        elif self.live:
            self.decode()
        ended = [self.finish(row) for row in self.live if row.ended]
        if ended:
            self.compact()
        return ended

    def _next(self) -> list[Row]:
        """Rows of waiting prompts with the same token ids, taken from the queue as far as there is room for them."""
        rows: list[Row] = []
        free, tokens = self.rows - len(self.live), _PREFILL_TOKENS
        if self.live and self.waiting and free - free % self.waiting[0].n < self.rows // 8:
            return rows
        while self.waiting:
            request = self.waiting[0]
            prompt, n = request.prompt, request.n
            fits = n <= free or not (self.live or rows)
            if not fits or (rows and (prompt.length > tokens or prompt.shared != rows[0].request.prompt.shared)):
                break
            free, tokens = free - n, tokens - prompt.length
            rows += request.rows(request.admitted)
            request.admitted += 1
            if request.admitted == prompt.n:
                self.waiting.popleft()
        return rows
