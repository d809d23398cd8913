"""What is a rollout? Prompts that hold vectors go in, sampled explanations come out, by whichever engine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from jaxtyping import Float
from torch import Tensor

from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation


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
    """`n` prompts as `inputs_embeds`: what stands before the first vector is the same for all of them.

    `own(rows)` gives what follows for a slice of them, `own_length` tokens with the vectors in place, and further
    keyword arguments of the forward call over it.
    """

    shared: Float[Tensor, "s d"]
    own: Callable[[slice], tuple[Float[Tensor, "m t d"], dict[str, Any]]]
    own_length: int
    n: int

    @property
    def length(self) -> int:
        """Tokens of a prompt."""
        return len(self.shared) + self.own_length


class Rollout(Protocol):
    """An engine that samples responses. The same seed gives the same tokens on the same machine."""

    def generate(
        self,
        prompt: Prompt,
        n: int = 1,
        sampling: Sampling | None = None,
        prefixes: Sequence[Sequence[Sequence[int]]] | None = None,
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
