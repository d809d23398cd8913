"""Losses are what their formulas say, and so are their gradients."""

import math

import numpy as np
import torch

from thinkaloud.pair.scores import direction_mse
from thinkaloud.training.losses import response_cross_entropy


def test_cross_entropy_is_minus_the_log_of_the_softmax() -> None:
    rng = np.random.default_rng(0)
    logits, targets = rng.normal(size=(7, 11)) * 3, rng.integers(0, 11, 7)
    expected = sum(math.log(sum(math.exp(x) for x in row)) - row[t] for row, t in zip(logits, targets, strict=True))
    found = response_cross_entropy(torch.tensor(logits, dtype=torch.float32), torch.tensor(targets))
    assert math.isclose(float(found), expected, rel_tol=1e-6)


def test_reconstruction_is_two_less_two_cosines() -> None:
    rng = np.random.default_rng(1)
    pred, target = rng.normal(size=(5, 16)) * 7, rng.normal(size=(5, 16)) * 0.1
    cos = [p @ t / np.linalg.norm(p) / np.linalg.norm(t) for p, t in zip(pred, target, strict=True)]
    found = direction_mse(torch.tensor(pred, dtype=torch.float32), torch.tensor(target, dtype=torch.float32)).sum()
    assert math.isclose(float(found), sum(2 - 2 * c for c in cos), rel_tol=1e-5)


def test_reconstruction_gradient_is_that_of_finite_differences() -> None:
    rng = np.random.default_rng(2)
    pred, target = rng.normal(size=(3, 6)), rng.normal(size=(3, 6))

    def independent(p: np.ndarray) -> float:
        cos = (p * target).sum(1) / np.linalg.norm(p, axis=1) / np.linalg.norm(target, axis=1)
        return float((2 - 2 * cos).sum())

    numeric = np.zeros_like(pred)
    for at in np.ndindex(*pred.shape):
        step = np.zeros_like(pred)
        step[at] = 1e-5
        numeric[at] = (independent(pred + step) - independent(pred - step)) / 2e-5
    learning = torch.tensor(pred, dtype=torch.float32, requires_grad=True)
    direction_mse(learning, torch.tensor(target, dtype=torch.float32)).sum().backward()
    assert learning.grad is not None
    np.testing.assert_allclose(learning.grad.numpy(), numeric, atol=1e-5)
