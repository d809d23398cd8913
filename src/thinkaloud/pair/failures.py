"""Failed explanations: those that do not close or that the AR cannot read, and the direction MSE they count with."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from thinkaloud.explanation import Explanation
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.scores import direction_mse


def valid_explanations(said: Sequence[Explanation], reconstructor: Reconstructor) -> Bool[Tensor, " n"]:
    """Which explanations the AR is asked about: closed by their tag, and not refused by its prompt."""
    readable = reconstructor.readable([one.text for one in said])
    return torch.tensor([one.finish == "closed" and fits for one, fits in zip(said, readable, strict=True)])


def explanation_mse(
    said: Sequence[Explanation],
    valid: Bool[Tensor, " n"],
    vectors: Float[Tensor, "n d"],
    reconstruct: Callable[[Sequence[str]], Tensor],
    fail_mse: float,
) -> Float[Tensor, " n"]:
    """Direction MSE of each explanation; those that are not valid have `fail_mse`, whatever their text rebuilds."""
    mse = torch.full((len(said),), fail_mse)
    if valid.any():
        texts = [one.text for one, counts in zip(said, valid.tolist(), strict=True) if counts]
        mse[valid] = direction_mse(reconstruct(texts), vectors[valid])
    return mse
