"""Rollout engines: prompts that hold vectors go in, sampled explanations come out."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud import families
from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation
from thinkaloud.injection import Injection
from thinkaloud.registry import Registry
from thinkaloud.rollout.ending import Ending

Prefixes = Sequence[Sequence[Sequence[int]]]


@dataclass(frozen=True)
class Sampling:
    """How to sample: `temperature` 0 is greedy; `max_tokens` caps the response, a given prefix included."""

    temperature: float = 0.0
    max_tokens: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.temperature >= 0 and np.isfinite(self.temperature)):
            raise UserError(f"temperature must be 0 (greedy) or more, found {self.temperature}")
        if self.max_tokens < 1:
            raise UserError(f"max tokens must be 1 or more, found {self.max_tokens}")


@dataclass(frozen=True)
class Prompt:
    """Prompts of the same token `ids` that differ in their `vectors`, which `injection` puts at the `slots`.

    The vectors are at the norm they are injected with: `Verbalizer.prompt` makes them so.
    """

    ids: tuple[int, ...]
    slots: tuple[int, ...]
    vectors: Float[Tensor, "n s d"]
    injection: Injection

    @property
    def n(self) -> int:
        return len(self.vectors)

    @property
    def length(self) -> int:
        """Tokens of a prompt."""
        return len(self.ids)

    @property
    def shared(self) -> tuple[Any, ...]:
        """What prompts that are read together have in common."""
        return self.ids, self.slots, self.injection


@dataclass(eq=False)
class Request:
    """`n` responses to every prompt, asked of an engine: `done[i, j]` is sample j of prompt i once it has ended."""

    prompt: Prompt
    n: int
    sampling: Sampling
    prefixes: Prefixes | None = None
    done: dict[tuple[int, int], Explanation] = field(default_factory=dict)
    admitted: int = 0
    """Prompts that wait no more."""

    @property
    def left(self) -> int:
        """Responses that have not ended."""
        return self.prompt.n * self.n - len(self.done)

    def rows(self, prompt: int) -> "list[Row]":
        """The responses to a prompt, as they begin: with their prefixes, whose log-probabilities are nan."""
        given = [[] for _ in range(self.n)] if self.prefixes is None else map(list, self.prefixes[prompt])
        return [Row(self, prompt, j, ids, [float("nan")] * len(ids)) for j, ids in enumerate(given)]


@dataclass(eq=False)
class Row:
    """A response under way: sample `sample` of prompt `prompt` of its request."""

    request: Request
    prompt: int
    sample: int
    ids: list[int]
    logprobs: list[float]
    ended: bool = False

    @property
    def length(self) -> int:
        """Tokens of its prompt and its own."""
        return self.request.prompt.length + len(self.ids)


class Engine(ABC):
    """Samples responses to requests that share its batches. The same seed gives the same tokens on the same machine.

    `rows` bounds the responses decoded at once. An engine that keeps a copy of the weights keeps it in `dtype`.
    """

    name: str

    def __init__(self, model: Any, tokenizer: Any, rows: int = 256, dtype: torch.dtype | None = None) -> None:
        self.model, self.rows = model, rows
        self.dtype = dtype or families.embedding(model).weight.dtype
        self.ending = Ending(model, tokenizer)
        self.waiting: deque[Request] = deque()

    def refresh(self) -> None:  # noqa: B027
        """Sample from the model's weights as they are now, where the engine keeps others."""

    def submit(
        self, prompt: Prompt, n: int = 1, sampling: Sampling | None = None, prefixes: Prefixes | None = None
    ) -> Request:
        """Queue `n` responses a prompt; `prefixes[i][j]` are token ids with which sample j of prompt i begins."""
        request = Request(prompt, n, sampling or Sampling(), prefixes)
        self.check(request)
        if prompt.n:
            self.waiting.append(request)
        return request

    def check(self, request: Request) -> None:
        """Refuse a request that does not fit into the context, or a prefix that nothing can follow."""
        prompt, n, cap, prefixes = request.prompt, request.n, request.sampling.max_tokens, request.prefixes
        room = self.ending.context - prompt.length
        if n < 1:
            raise UserError(f"samples must be 1 or more, found {n}")
        if cap > room:
            raise UserError(f"max tokens {cap} do not fit behind the prompt: the context leaves {room}")
        if prefixes is None:
            return
        if len(prefixes) != prompt.n or any(len(row) != n for row in prefixes):
            raise UserError(f"expected {n} prefixes for each of {prompt.n} prompts")
        for i, row in enumerate(prefixes):
            for ids in row:
                if len(ids) >= cap:
                    raise UserError(f"a prefix of prompt {i} has {len(ids)} tokens: the cap of {cap} leaves no room")
                if self.ending.within(ids):
                    raise UserError(f"a prefix of prompt {i} has ended already: nothing can follow it")

    @abstractmethod
    def advance(self) -> list[Row]:
        """`step`, inside `running`."""

    def cancel(self, request: Request) -> None:
        """Forget what of the request has not ended; its rows are free at once."""
        if request in self.waiting:
            self.waiting.remove(request)

    def finish(self, row: Row) -> Row:
        """Note what a row that has ended says."""
        found = self.ending.explanation(row.ids, row.logprobs, row.request.sampling.max_tokens)
        row.request.done[row.prompt, row.sample] = found
        return row

    def running(self) -> AbstractContextManager[Any]:
        """What the engine needs around its steps."""
        return nullcontext()

    def step(self) -> list[Row]:
        """Go on with all requests by some tokens, and return what has ended."""
        with self.running():
            return self.advance()

    def generate(
        self,
        prompt: Prompt,
        n: int = 1,
        sampling: Sampling | None = None,
        prefixes: Prefixes | None = None,
        watch: Callable[[int], None] = lambda rows: None,
    ) -> list[list[Explanation]]:
        """`n` explanations for every prompt: one request, until it is done. Given tokens have log-probability nan.

        `watch` is told how many rows have ended since it was last called.
        """
        request = self.submit(prompt, n, sampling, prefixes)
        try:
            with self.running():
                while request.left:
                    ended = sum(one.request is request for one in self.advance())
                    if ended:
                        watch(ended)
        finally:
            if request.left:
                self.cancel(request)
        return [[request.done[i, j] for j in range(n)] for i in range(prompt.n)]


engine: Registry[type[Engine]] = Registry("engine", "thinkaloud.rollout")
"""Engines by name."""


def uniforms(seed: int, row: int, sample: int, n: int) -> np.ndarray:
    """The `n` uniform numbers in [0, 1) that draw sample `sample` of row `row`, float64."""
    key = np.array([seed & (2**64 - 1), (row << 20) + sample], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).random(n)
