"""Training losses: pure functions on tensors."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from thinkaloud.pair.scores import direction_mse


def response_cross_entropy(logits: Float[Tensor, "m v"], targets: Int[Tensor, " m"]) -> Float[Tensor, ""]:
    """Summed cross-entropy (nats) of response tokens; divide by the step's token count, whatever the micro-batches."""
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")


def reconstruction_loss(pred: Float[Tensor, "n d"], target: Float[Tensor, "n d"]) -> Float[Tensor, ""]:
    """Summed direction MSE; divide by the step's row count."""
    return direction_mse(pred, target).sum()
