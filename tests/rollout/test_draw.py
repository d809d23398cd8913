"""The next token is the one that inverting the distribution at u gives, in vocabularies of any length."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from thinkaloud.rollout.draw import draw

ALMOST_1 = 1 - 2.0**-53
SIZES = [1, 2, 127, 128, 129, 256, 300, 5003]


def random_logits(n: int, v: int, seed: int = 0) -> Tensor:
    return 3 * torch.randn(n, v, generator=torch.Generator().manual_seed(seed))


def probabilities(logits: Tensor, temperature: float) -> np.ndarray:
    scores = logits.double().numpy() / temperature
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_distribution(temperature: float) -> None:
    logits = random_logits(1, 7)
    n = 7000
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    ids, _ = draw(logits.expand(n, 7), temperature, u)
    share = torch.bincount(ids, minlength=7).double() / n
    torch.testing.assert_close(share.numpy(), probabilities(logits, temperature)[0], atol=1.01 / n, rtol=0)


@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.7])
@pytest.mark.parametrize("v", SIZES)
def test_a_draw_inverts_the_distribution(v: int, temperature: float) -> None:
    n = 400
    logits, u = random_logits(n, v), np.random.default_rng(v).random(n)
    ids, logprobs = draw(logits, temperature, torch.from_numpy(u))
    wanted = probabilities(logits, temperature)
    edges = wanted.cumsum(axis=1)
    exact = (edges <= u[:, None]).sum(axis=1).clip(max=v - 1)
    clear = np.abs(edges - u[:, None]).min(axis=1) > 1e-6  # single precision decides nothing nearer to an edge
    assert clear.mean() > 0.9
    assert np.array_equal(ids.numpy()[clear], exact[clear])
    torch.testing.assert_close(
        logprobs.numpy(), np.log(wanted[np.arange(n), ids]), atol=1e-5, rtol=0, check_dtype=False
    )


@settings(max_examples=100)
@given(
    st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=9),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=5),
)
def test_a_draw_inverts_extreme_distributions(logits: list[float], us: list[float]) -> None:
    rows = torch.tensor([logits] * len(us))
    ids, _ = draw(rows, 1.0, torch.tensor(us, dtype=torch.float64))
    exact = probabilities(rows, 1.0)[0]
    edges = np.cumsum(exact)
    for u, token in zip(us, ids.tolist(), strict=True):
        below = edges[token - 1] if token else 0.0
        assert below - 1e-5 <= u <= edges[token] + 1e-5
        assert exact[token] > 0


@pytest.mark.parametrize("v", SIZES)
def test_the_ends_of_the_unit_interval_are_the_ends_of_the_vocabulary(v: int) -> None:
    logits = random_logits(2, v).clamp_min(-3.0)
    ids, _ = draw(logits, 1.0, torch.tensor([0.0, ALMOST_1], dtype=torch.float64))
    assert ids.tolist() == [0, v - 1]


@pytest.mark.parametrize("impossible", [-torch.inf, -1e4])
@pytest.mark.parametrize("v", SIZES)
def test_the_only_possible_token_is_drawn(v: int, impossible: float) -> None:
    places = sorted({place for place in (0, 1, 127, 128, 255, v // 2, v - 1) if place < v})
    us = [0.0, 1e-300, 0.5, ALMOST_1]
    logits = torch.full((len(places) * len(us), v), impossible)
    wanted = torch.tensor(places).repeat_interleave(len(us))
    logits[torch.arange(len(wanted)), wanted] = 2.5
    ids, logprobs = draw(logits, 1.0, torch.tensor(us * len(places), dtype=torch.float64))
    assert torch.equal(ids, wanted)
    assert torch.equal(logprobs, torch.zeros(len(wanted)))


@settings(max_examples=150)
@given(st.integers(1, 520), st.integers(0, 2**31), st.sampled_from([0.01, 0.1, 0.6]), st.sampled_from([1.0, 30.0]))
def test_an_impossible_token_is_never_drawn(v: int, seed: int, share: float, spread: float) -> None:
    """At the very edges between tokens too, where u falls on the running sum itself."""
    generator = torch.Generator().manual_seed(seed)
    logits = spread * torch.randn(1, v, generator=generator)
    possible = torch.rand(1, v, generator=generator) < share
    possible[0, torch.randint(0, v, (1,), generator=generator)] = True
    logits[~possible] = -torch.inf
    edges = probabilities(logits, 1.0)[0].cumsum()
    u = torch.from_numpy(np.concatenate([[0.0, ALMOST_1], edges, edges.astype(np.float32)])).clamp(0.0, ALMOST_1)
    ids, logprobs = draw(logits.expand(len(u), v), 1.0, u)
    assert possible[0, ids].all()
    assert torch.isfinite(logprobs).all()


@pytest.mark.parametrize("v", SIZES)
def test_greedy_takes_the_likeliest(v: int) -> None:
    logits = random_logits(50, v)
    ids, logprobs = draw(logits, 0.0, None)
    wanted = probabilities(logits, 1.0)
    assert ids.tolist() == logits.numpy().argmax(axis=1).tolist()
    torch.testing.assert_close(logprobs.numpy(), np.log(wanted.max(axis=1)), atol=1e-5, rtol=0, check_dtype=False)


def test_logits_of_half_the_precision_are_summed_in_full() -> None:
    logits = random_logits(100, 1000).bfloat16()
    u = torch.rand(100, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for found, wanted in zip(draw(logits, 0.7, u), draw(logits.float(), 0.7, u), strict=True):
        assert torch.equal(found, wanted)
    assert torch.equal(draw(logits, 0.0, None)[1], draw(logits.float(), 0.0, None)[1])


def test_the_logits_are_left_alone() -> None:
    logits = random_logits(4, 300)
    kept = logits.clone()
    draw(logits, 1.0, torch.full((4,), 0.5, dtype=torch.float64))
    assert torch.equal(logits, kept)
