"""Rollouts: prompts that hold vectors go in, sampled explanations come out, by whichever engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float
from torch import Tensor

from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation
from thinkaloud.injection import Injection

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


@runtime_checkable
class Rollout(Protocol):
    """An engine that samples responses. The same seed gives the same tokens on the same machine."""

    def generate(
        self,
        prompt: Prompt,
        n: int = 1,
        sampling: Sampling | None = None,
        prefixes: Prefixes | None = None,
        watch: Callable[[int], None] = lambda rows: None,
    ) -> list[list[Explanation]]:
        """`n` explanations for every prompt. `prefixes[i][j]` are token ids with which sample j of prompt i begins.

        `watch` is told how many rows have ended since it was last called.
        """
        ...


def uniforms(seed: int, row: int, sample: int, n: int) -> np.ndarray:
    """The `n` uniform numbers in [0, 1) that draw sample `sample` of row `row`, float64."""
    key = np.array([seed & (2**64 - 1), (row << 20) + sample], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).random(n)
