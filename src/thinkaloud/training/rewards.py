"""Reward terms: reconstruction by the AR, live or frozen, of words masked or dropped; length, repetition; one's own.

A term of one's own is a function in any file, `reward_term` above it, and `--reward FILE.py:NAME=WEIGHT`:

    from thinkaloud.training.rewards import Rollouts, reward_term

    @reward_term("questions")
    def questions(rollouts: Rollouts) -> list[float]:
        return [-float(one.text.count("?")) for one in rollouts.said]
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from thinkaloud.config.train import RL
from thinkaloud.errors import UserError
from thinkaloud.evals.prose import repeated_items, stutters, without_quotations
from thinkaloud.explanation import Explanation
from thinkaloud.registry import Registry

DROPPED = 0.25  # share of an explanation's words that the term `dropped` leaves out


@dataclass(frozen=True)
class Rollouts:
    """The explanations of a step, a group for each vector end to end, and what a reward may depend on.

    `mse` is the direction MSE of the vectors that the AR rebuilds, `fail_mse` where an explanation is not `valid`.
    `contexts` are the texts up to the vectors, where a term asks for them. `mse_of` lets the AR read other explanations
    of the same vectors, or with `frozen` the AR as it was at the start; what it cannot read has `fail_mse`.
    """

    said: Sequence[Explanation]
    valid: Bool[Tensor, " n"]
    vectors: Float[Tensor, "n d"]
    mse: Float[Tensor, " n"]
    contexts: Sequence[str]
    config: RL
    mse_of: Callable[..., Tensor]


@dataclass(frozen=True)
class Term:
    """A term of the reward: a number for each explanation, the higher the better."""

    name: str
    of: Callable[[Rollouts], Tensor | Sequence[float]]
    contexts: bool


reward: Registry[Term] = Registry("reward term")


def reward_term(name: str, contexts: bool = False) -> Callable[[Any], Any]:
    """Register the function below as the reward term `name`; `contexts` says that it reads the texts up to vectors."""

    def register(of: Callable[[Rollouts], Tensor | Sequence[float]]) -> Callable[[Rollouts], Any]:
        if name in reward:
            raise UserError(f"there is a reward term {name} already: give this one another name")
        reward(Term(name, of, contexts))
        return of

    return register


def chosen(weights: Mapping[str, float]) -> list[tuple[float, Term]]:
    """The terms of these names, each with its weight. A name FILE.py:NAME is a term that the file registers."""
    return [(weight, reward.find(name)) for name, weight in weights.items()]


def total(terms: Sequence[tuple[float, Term]], rollouts: Rollouts) -> tuple[Float[Tensor, " n"], dict[str, float]]:
    """The reward of each explanation, and the mean of each term before its weight, as the log has it."""
    whole, means = torch.zeros(len(rollouts.said)), {}
    for weight, term in terms:
        values = torch.as_tensor(term.of(rollouts), dtype=torch.float32)
        if values.shape != whole.shape or not values.isfinite().all():
            found = f"{tuple(values.shape)}" if values.shape != whole.shape else "NaN or infinity"
            raise UserError(f"the reward term {term.name} gave {found}: expected {len(whole)} finite numbers")
        whole += weight * values
        means[f"reward/{term.name}"] = float(values.mean())
    return whole, means


def capped_mse(mse: Float[Tensor, " n"], valid: Bool[Tensor, " n"], fail_mse: float) -> Float[Tensor, " n"]:
    """Direction MSE of valid explanations; the others, whatever they say, have `fail_mse`.

    A direction MSE goes up to 4. Beyond `fail_mse` a valid explanation counts as `fail_mse` too: one that closes never
    earns less than one that fails, so ending badly is at no time the better choice.
    """
    return torch.where(valid, mse.clamp_max(fail_mse), torch.full_like(mse, fail_mse))


@reward_term("reconstruction")
def reconstruction(rollouts: Rollouts) -> Tensor:
    """Minus the direction MSE."""
    return -capped_mse(rollouts.mse, rollouts.valid, rollouts.config.reward.fail_mse)


@reward_term("log_reconstruction")
def log_reconstruction(rollouts: Rollouts) -> Tensor:
    """Minus the logarithm of the direction MSE."""
    return -capped_mse(rollouts.mse, rollouts.valid, rollouts.config.reward.fail_mse).clamp_min(1e-6).log()


@reward_term("unquoted")
def unquoted(rollouts: Rollouts) -> Tensor:
    """Minus the direction MSE when the AR reads the explanation with its quotations masked: copying earns nothing."""
    masked = [replace(one, text=without_quotations(one.text)) for one in rollouts.said]
    return -capped_mse(rollouts.mse_of(masked), rollouts.valid, rollouts.config.reward.fail_mse)


@reward_term("frozen")
def frozen(rollouts: Rollouts) -> Tensor:
    """Minus the direction MSE by the AR as it was at the start, which no habit of this AV has changed."""
    return -capped_mse(rollouts.mse_of(rollouts.said, frozen=True), rollouts.valid, rollouts.config.reward.fail_mse)


@reward_term("dropped")
def dropped(rollouts: Rollouts) -> Tensor:
    """Minus the direction MSE when the AR reads the explanation with one word in four dropped: what hangs on single
    words earns less than what is said plainly. The same text loses the same words.
    """
    thinned = [replace(one, text=_thinned(one.text)) for one in rollouts.said]
    return -capped_mse(rollouts.mse_of(thinned), rollouts.valid, rollouts.config.reward.fail_mse)


def _thinned(text: str) -> str:
    """The text without one word in four, drawn by the text itself; a text of one word stays."""
    parts = re.findall(r"\s*\S+", text)
    draw = random.Random(text)
    kept = [part for part in parts if draw.random() >= DROPPED]
    return "".join(kept or parts)


@reward_term("length")
def length(rollouts: Rollouts) -> Tensor:
    """Minus the tokens beyond `length_free` (0: linear, more: a hinge).

    What failed pays for the whole cap, lest ending early without the tag be cheaper than closing.
    """
    tokens = torch.tensor([len(one.token_ids) for one in rollouts.said]).where(
        rollouts.valid, rollouts.config.rollout.max_tokens
    )
    return -(tokens - rollouts.config.reward.length_free).clamp_min(0).float()


@reward_term("repetition")
def repetition(rollouts: Rollouts) -> list[float]:
    """Minus the items that a list of the explanation names again, and the stretches said over."""
    return [-float(repeated_items(one.text) + stutters(one.text)) for one in rollouts.said]
