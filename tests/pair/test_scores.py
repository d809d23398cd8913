"""Cosine, direction MSE, V and FVE are what their definitions say, held against numpy in float64."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.pair.scores import Score, Scores, cosine, direction_mse, fve, text_mse


def pair(n: int, d: int, seed: int, noise: float, offset: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Targets around a common direction, and noisy copies of another size."""
    generator = torch.Generator().manual_seed(seed)
    target = torch.randn(n, d, generator=generator) + offset
    return 3.0 * (target + noise * torch.randn(n, d, generator=generator)), target


def to_root_d(x: np.ndarray) -> np.ndarray:
    """Rows scaled to norm √d."""
    return x / np.linalg.norm(x, axis=1, keepdims=True) * math.sqrt(x.shape[1])


@settings(max_examples=60)
@given(st.integers(1, 20), st.integers(2, 40), st.integers(0, 2**31), st.floats(0, 10), st.floats(-3, 3))
def test_the_definitions(n: int, d: int, seed: int, noise: float, offset: float) -> None:
    pred, target = pair(n, d, seed, noise, offset)
    p, t = to_root_d(pred.double().numpy()), to_root_d(target.double().numpy())
    mse = ((p - t) ** 2).mean(axis=1)
    cos = (p * t).sum(axis=1) / d
    np.testing.assert_allclose(direction_mse(pred, target).numpy(), mse, atol=2e-6)
    np.testing.assert_allclose(cosine(pred, target).numpy(), cos, atol=2e-6)
    np.testing.assert_allclose(mse, 2 * (1 - cos), atol=1e-9)
    v = ((t - t.mean(axis=0)) ** 2).sum(axis=1).mean() / d
    baseline = Baseline.of(target.numpy(), range(n), "test")
    assert baseline.v == pytest.approx(v, abs=1e-6)
    scores = Scores.of(pred, target, baseline)
    assert scores.mse == pytest.approx(mse.mean(), abs=2e-6)
    assert scores.cos == pytest.approx(cos.mean(), abs=2e-6)
    if v > 0.01:
        assert scores.fve == pytest.approx(1 - mse.mean() / v, abs=1e-3)


@pytest.mark.parametrize(("factor", "mse"), [(1.0, 0.0), (250.0, 0.0), (-1.0, 4.0)])
def test_size_does_not_count(factor: float, mse: float) -> None:
    _, target = pair(5, 16, 0, 0.0)
    torch.testing.assert_close(direction_mse(factor * target, target), torch.full((5,), mse))


def test_orthogonal_is_two() -> None:
    assert direction_mse(torch.eye(4)[:1], torch.eye(4)[1:2]).item() == 2.0


def test_always_the_mean_direction_has_fve_near_zero_not_zero() -> None:
    """V compares with the mean that is not rescaled, which no prediction of norm √d can reach."""
    _, target = pair(400, 32, 1, 0.0, 0.5)
    t = to_root_d(target.double().numpy())
    mean = torch.from_numpy(t.mean(axis=0, keepdims=True)).float().expand(400, -1)
    baseline = Baseline.of(target.numpy(), range(400), "test")
    assert Scores.of(mean, target, baseline).fve < 0


def test_rescaling_the_mean_would_inflate_fve() -> None:
    """On directions like a released checkpoint's (V near 0.73) the wrong V flatters by about ten points."""
    pred, target = pair(2000, 64, 2, 0.6, 0.6)
    t = to_root_d(target.double().numpy())
    mean = t.mean(axis=0)
    wrong = ((t - mean / np.linalg.norm(mean) * math.sqrt(64)) ** 2).sum(axis=1).mean() / 64
    baseline = Baseline.of(target.numpy(), range(2000), "test")
    assert baseline.v == pytest.approx(0.73, abs=0.03)
    mse = float(direction_mse(pred, target).mean())
    inflation = (1 - mse / wrong) - fve(mse, baseline)
    print(f"V {baseline.v:.3f}, with the mean rescaled {wrong:.3f}: FVE {fve(mse, baseline):.3f}, {inflation:+.3f}")
    assert wrong > baseline.v
    assert 0.05 < inflation < 0.15


@settings(max_examples=30)
@given(st.integers(1, 40), st.integers(0, 2**31), st.integers(1, 7))
def test_v_does_not_depend_on_blocks_or_sizes(n: int, seed: int, block: int) -> None:
    _, target = pair(n, 12, seed, 0.0, 1.0)
    sizes = torch.logspace(-3, 4, n)[:, None]
    rows = (target * sizes).numpy()
    whole = Baseline.of(target.numpy(), [0], "x")
    parts = Baseline.of_blocks((rows[i : i + block] for i in range(0, n, block)), [0], "x")
    assert parts.v == pytest.approx(whole.v, abs=1e-6)
    assert parts.n == n


def test_a_baseline_says_what_it_rests_on() -> None:
    baseline = Baseline.of(tiny.vectors(4).numpy(), ["a", "a", "b", "a"], "heldout")
    assert (baseline.n, baseline.n_docs, baseline.split) == (4, 2, "heldout")
    assert Baseline.from_dict(baseline.to_dict()) == baseline
    assert "4 vectors of 2 documents (heldout)" in str(baseline)
    many = Scores.of(tiny.vectors(4), tiny.vectors(4), baseline)
    assert str(baseline) in str(many)


@pytest.mark.parametrize("bad", [0.0, float("nan"), float("inf")])
def test_a_baseline_refuses_what_has_no_direction(bad: float) -> None:
    vectors = tiny.vectors(3).numpy()
    vectors[1] = bad
    with pytest.raises(UserError, match=r"a zero or non-finite vector cannot enter a baseline \(split 'train'\)"):
        Baseline.of(vectors, [0], "train")
    with pytest.raises(UserError, match="no vectors"):
        Baseline.of(vectors[:0], [], "train")


def test_a_single_direction_has_no_fve() -> None:
    vector = tiny.vectors(1)
    baseline = Baseline(0.0, 1, 1, "one")
    assert math.isnan(Scores.of(vector, vector, baseline).fve)


def test_scores_are_a_sequence() -> None:
    baseline = Baseline(0.5, 10, 2, "x")
    pred, target = pair(4, 8, 3, 0.5)
    scores = Scores.of(pred, target, baseline)
    assert len(scores) == 4
    assert isinstance(scores[0], Score)
    assert scores[1:3] == tuple(scores)[1:3]
    assert scores[0].fve == pytest.approx(1 - scores[0].mse / 0.5)
    assert scores[0].to_dict() == {"cos": scores[0].cos, "mse": scores[0].mse, "fve": scores[0].fve}
    assert math.isnan(Scores((), baseline).fve)


def test_empty_texts_have_no_error_and_are_never_reconstructed() -> None:
    seen: list[str] = []

    def reconstruct(texts: Sequence[str]) -> torch.Tensor:
        seen.extend(texts)
        return torch.ones(len(texts), 4)

    found = text_mse(reconstruct, ["", "a", " \n"], torch.tensor([[1.0] * 4, [-1.0] * 4, [1.0] * 4]))
    assert found.tolist() == pytest.approx([math.nan, 4.0, math.nan], nan_ok=True)
    assert seen == ["a"]
    assert text_mse(reconstruct, [""], torch.ones(1, 4)).isnan().all()
