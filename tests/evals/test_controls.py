"""Controls compare what they say they compare."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.evals import controls

BASELINE = Baseline(0.8, 100, 10, "heldout")


def vectors(n: int, d: int = 16, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed))


@given(st.lists(st.integers(0, 4), min_size=2, max_size=40), st.integers(0, 100))
def test_foreign_pairs_are_of_another_text(groups: list[int], seed: int) -> None:
    if len(set(groups)) < 2:
        with pytest.raises(UserError, match="need 2 of them or more"):
            controls.foreign_pairs(vectors(len(groups)), vectors(len(groups)), groups, BASELINE, seed)
        return
    # One direction a group: a pair of the same group would have cosine 1, of another group 0.
    x = torch.eye(5)[groups]
    assert max(s.cos for s in controls.foreign_pairs(x, x, groups, BASELINE, seed)) == 0.0


def test_foreign_pairs_reach_every_other_row() -> None:
    x, groups = torch.eye(6), [0, 1, 1, 2, 2, 2]
    for j in range(1, 6):  # every prediction is row j, so the first score is 1 where row 0 was paired with j
        cosines = [controls.foreign_pairs(x[[j] * 6], x, groups, BASELINE, seed)[0].cos for seed in range(60)]
        assert max(cosines) == 1.0


def test_the_nearest_neighbour_is_the_best_of_the_other_documents() -> None:
    x = vectors(30)
    groups = [f"doc-{i % 4}" for i in range(30)]
    scores = controls.nearest_neighbour(x, groups, BASELINE, block=7)
    unit = (x / x.norm(dim=1, keepdim=True)).numpy()
    for i in range(30):
        best = max(float(unit[i] @ unit[j]) for j in range(30) if groups[j] != groups[i])
        assert scores[i].cos == pytest.approx(best, abs=1e-5)
    with pytest.raises(UserError, match="2 documents or more"):
        controls.nearest_neighbour(x, ["a"] * 30, BASELINE)


def test_random_directions_keep_the_norms_and_nothing_else() -> None:
    x = vectors(400, 64) * torch.linspace(0.1, 30, 400)[:, None]
    noise = controls.random_directions(x, seed=1)
    torch.testing.assert_close(noise.norm(dim=1), x.norm(dim=1))
    cosines = torch.nn.functional.cosine_similarity(noise, x)
    assert abs(float(cosines.mean())) < 4 / np.sqrt(400 * 64)
    assert torch.equal(noise, controls.random_directions(x, seed=1))
    assert not torch.equal(noise, controls.random_directions(x, seed=2))
