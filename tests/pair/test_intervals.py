"""Does the interval cover the truth as often as it says, and does it treat documents as documents?"""

import math

import numpy as np
import pytest

from thinkaloud.errors import UserError
from thinkaloud.pair.intervals import cluster_bootstrap


def clustered(generator: np.random.Generator, documents: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Values around 0 in which a document's rows share most of what they deviate by."""
    ids = np.repeat(np.arange(documents), rows)
    return generator.normal(size=documents)[ids] + 0.3 * generator.normal(size=documents * rows), ids


def test_it_covers_the_true_mean_and_an_interval_by_rows_does_not() -> None:
    generator = np.random.default_rng(0)
    by_document = by_row = 0
    for seed in range(300):
        values, ids = clustered(generator, documents=40, rows=8)
        low, high = cluster_bootstrap(values, ids, n=400, seed=seed)
        by_document += low <= 0 <= high
        low, high = cluster_bootstrap(values, np.arange(len(values)), n=400, seed=seed)
        by_row += low <= 0 <= high
    assert 0.90 <= by_document / 300 <= 0.98
    assert by_row / 300 < 0.7


def test_it_agrees_with_resampling_documents_one_by_one() -> None:
    values, ids = clustered(np.random.default_rng(1), documents=12, rows=3)
    generator = np.random.default_rng(2)
    means = []
    for _ in range(4000):
        drawn = generator.integers(12, size=12)
        means.append(np.concatenate([values[ids == d] for d in drawn]).mean())
    assert cluster_bootstrap(values, ids, n=4000) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.05)


def test_documents_of_unequal_size_weigh_by_their_rows() -> None:
    values, ids = [0.0] * 99 + [1.0], [0] * 99 + [1]
    low, high = cluster_bootstrap(values, ids)
    assert (low, high) == (0.0, 1.0)  # a replicate of the small document alone has mean 1
    assert cluster_bootstrap([2.5] * 10, range(10)) == (2.5, 2.5)


def test_one_document_tells_nothing_of_others() -> None:
    assert all(math.isnan(bound) for bound in cluster_bootstrap([1.0, 2.0], ["a", "a"]))


def test_same_seed_same_interval() -> None:
    values, ids = clustered(np.random.default_rng(3), 10, 2)
    assert cluster_bootstrap(values, ids, seed=5) == cluster_bootstrap(values, ids, seed=5)


@pytest.mark.parametrize(
    ("values", "ids", "level"), [([], [], 0.95), ([1.0], ["a", "b"], 0.95), ([1.0, 2.0], "ab", 1.0)]
)
def test_what_is_no_sample_is_refused(values: list[float], ids: list[str], level: float) -> None:
    with pytest.raises(UserError):
        cluster_bootstrap(values, ids, level=level)
