"""Are rewards, advantages and divergences what their formulas say, also where a text failed or a group is all alike?"""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from thinkaloud.training.losses import advantages, full_kl, k3, length_penalty, policy_loss, rewards

NAN = float("nan")


def close(found: Tensor, wanted: list[float] | list[list[float]] | Tensor, atol: float = 1e-6) -> None:
    torch.testing.assert_close(found, torch.as_tensor(wanted, dtype=torch.float32), atol=atol, rtol=0)


def groups(data: st.DataObject) -> Tensor:
    """Rewards in 64ths: a shift of them is exact."""
    shape = data.draw(st.integers(1, 4)), data.draw(st.integers(2, 9))
    numbers = st.lists(st.integers(-256, 256), min_size=shape[0] * shape[1], max_size=shape[0] * shape[1])
    return torch.tensor(data.draw(numbers)).view(shape) / 64


def test_a_reward_is_minus_the_error_or_its_logarithm() -> None:
    mse, closed = torch.tensor([0.5, 1.0, 0.1]), torch.tensor([True, True, False])
    close(rewards(mse, closed, 2.0, False), [-0.5, -1.0, -2.0])
    close(rewards(mse, closed, 2.0, True), [math.log(2), 0.0, -math.log(2)])


@pytest.mark.parametrize("logarithm", [False, True])
def test_what_failed_counts_as_failed_whatever_was_measured(logarithm: bool) -> None:
    closed = torch.tensor([True, False, False, True, False])
    wanted = rewards(torch.full((5,), 0.3), closed, 1.5, logarithm)
    assert torch.equal(rewards(torch.tensor([0.3, NAN, torch.inf, 0.3, 0.0]), closed, 1.5, logarithm), wanted)
    assert set(wanted.tolist()) == {wanted[0].item(), wanted[1].item()}
    assert wanted[1] < wanted[0]


@settings(max_examples=200)
@given(
    st.lists(st.tuples(st.floats(0, 4, width=32), st.booleans()), min_size=1, max_size=9),
    st.floats(0.25, 4, width=32),
    st.booleans(),
)
def test_what_failed_never_earns_more_than_what_closed(
    drawn: list[tuple[float, bool]], fail_mse: float, logarithm: bool
) -> None:
    mse, valid = torch.tensor([value for value, _ in drawn]), torch.tensor([right for _, right in drawn])
    found = rewards(mse, valid, fail_mse, logarithm)
    failed = -math.log(fail_mse) if logarithm else -fail_mse
    close(found[~valid], [failed] * int((~valid).sum()))
    assert (found[valid] >= failed - 1e-6).all()
    better = valid & (mse < fail_mse)
    close(found[better], -mse[better].clamp_min(1e-6).log() if logarithm else -mse[better])


def test_a_perfect_text_has_a_finite_logarithm() -> None:
    close(rewards(torch.zeros(1), torch.tensor([True]), 2.0, True), [-math.log(1e-6)], 1e-5)


@pytest.mark.parametrize(("free", "wanted"), [(0, [0.1, 0.5, 1.0]), (5, [0.0, 0.0, 0.5]), (99, [0.0, 0.0, 0.0])])
def test_length_costs_beyond_what_is_free(free: int, wanted: list[float]) -> None:
    close(length_penalty(torch.tensor([1, 5, 10]), 0.1, free), wanted)


def test_advantages_by_hand() -> None:
    given_rewards = torch.tensor([[1.0, 2.0, 3.0], [0.0, 0.0, 3.0]])
    close(advantages(given_rewards, False), [[-1.0, 0.0, 1.0], [-1.0, -1.0, 2.0]])
    close(advantages(given_rewards, True), [[-1.0, 0.0, 1.0], [-1 / 3**0.5, -1 / 3**0.5, 2 / 3**0.5]], 5e-6)


@settings(max_examples=100)
@given(st.data(), st.booleans(), st.integers(-8, 8), st.sampled_from([0.25, 8.0]))
def test_advantages_sum_to_nothing_and_know_no_origin_nor_unit(
    data: st.DataObject, normalise: bool, shift: int, scale: float
) -> None:
    table = groups(data)
    found = advantages(table, normalise)
    assert found.dtype == torch.float32
    close(found.sum(dim=1), torch.zeros(len(table)), 1e-5)
    close(advantages(table + shift, normalise), found)
    wide = table.std(dim=1) > 0.1  # so that what is added to the deviation does not count
    scaled = advantages(scale * table, normalise)
    close(scaled[wide], (found if normalise else scale * found)[wide], 1e-3)
    if normalise:
        close(found[wide].square().sum(dim=1), torch.full((int(wide.sum()),), table.shape[1] - 1.0), 1e-2)


@settings(max_examples=100)
@given(st.floats(-4, 4, width=32), st.integers(2, 17), st.booleans())
def test_a_group_all_alike_teaches_nothing(value: float, size: int, normalise: bool) -> None:
    assert not advantages(torch.full((2, size), value), normalise).any()


@settings(max_examples=100)
@given(st.lists(st.tuples(st.floats(-30, 0), st.floats(-30, 0)), min_size=1, max_size=9), st.floats(0.01, 20))
def test_k3_is_its_formula_and_clamped_where_it_would_overflow(pairs: list[tuple[float, float]], clamp: float) -> None:
    policy, reference = torch.tensor(pairs).unbind(1)
    found = k3(policy, reference, clamp)
    r = np.minimum((reference - policy).numpy().astype(np.float64), clamp)
    np.testing.assert_allclose(found.numpy(), np.exp(r) - r - 1, rtol=1e-4, atol=1e-5)
    assert (found >= 0).all()
    assert not k3(policy, policy, clamp).any()
    assert k3(torch.tensor([-200.0]), torch.zeros(1), clamp).isfinite()


@pytest.mark.parametrize("r", [-40.0, -12.0, -1.0, 0.5, 9.0])
def test_k3_pulls_the_policy_back_however_far_it_went(r: float) -> None:
    """The gradient is that of the formula, also where the policy is e¹² times likelier than the reference."""
    policy = torch.tensor([-0.25], requires_grad=True)
    k3(policy, policy.detach() + r, 10.0).sum().backward()
    exact = torch.tensor([-0.25], dtype=torch.float64, requires_grad=True)
    (torch.exp(exact.detach() + r - exact) - (exact.detach() + r - exact) - 1).sum().backward()
    assert policy.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(policy.grad.double(), exact.grad, rtol=1e-5, atol=1e-6)
    assert abs(float(policy.grad)) > 0.3


def test_k3_of_near_equals_is_not_rounded_below_zero() -> None:
    near = torch.cat([torch.logspace(-9, 0, 5000), -torch.logspace(-9, 0, 5000)])
    found = k3(near, torch.zeros(len(near)), 10.0)
    assert (found >= 0).all()
    torch.testing.assert_close(found.double(), near.double().neg().expm1() + near.double(), rtol=1e-5, atol=1e-7)


def distributions(n: int = 1, seed: int = 0) -> tuple[Tensor, Tensor]:
    one, other = torch.randn(2, n, 11, generator=torch.Generator().manual_seed(seed))
    return one, other


def test_the_full_divergence_is_its_sum() -> None:
    logits, reference = distributions(5)
    for row, (one, other) in enumerate(zip(logits.double().numpy(), reference.double().numpy(), strict=True)):
        p, q = (np.exp(x) / np.exp(x).sum() for x in (one, other))
        assert float(full_kl(logits, reference)[row]) == pytest.approx((p * np.log(p / q)).sum(), rel=1e-5)
    assert (full_kl(logits, reference) > 0).all()
    assert not full_kl(logits, logits).any()
    close(full_kl(logits + 3.0, reference - 2.0), full_kl(logits, reference), 1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_k3_is_the_full_divergence_on_average(seed: int) -> None:
    logits, reference = distributions(seed=seed)
    log_p, log_q = logits[0].log_softmax(0), reference[0].log_softmax(0)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.multinomial(log_p.exp(), 100_000, replacement=True, generator=generator)
    each = k3(log_p[drawn], log_q[drawn], 10.0).double()
    error = float(each.std()) / len(each) ** 0.5
    assert error < 0.01
    assert float(each.mean()) == pytest.approx(float(full_kl(logits, reference)), abs=4 * error)


def test_the_policy_loss_by_hand() -> None:
    logprobs = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    worth, kl = torch.tensor([2.0, -1.0, 0.0]), torch.tensor([0.1, 0.0, 0.4])
    loss = policy_loss(logprobs, worth, kl, 0.5)
    assert loss.item() == pytest.approx(0.05 + 2.0 - 2.0 + 0.2)
    loss.backward()
    assert logprobs.grad is not None
    close(logprobs.grad, -worth)
