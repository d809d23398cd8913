"""Intervals hold the truth as often as they say, for every statistic, and whole clusters are what is resampled."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from thinkaloud.errors import UserError
from thinkaloud.stats import Estimate, Statistic, correlation, difference, estimate, mean, ratio

DOCUMENTS, ROWS, SIMULATIONS = 40, 6, 100


def noise(generator: np.random.Generator) -> np.ndarray:
    """Values around 0 of which the rows of a document share most."""
    return np.repeat(generator.normal(size=DOCUMENTS), ROWS) + 0.3 * generator.normal(size=DOCUMENTS * ROWS)


IDS = np.repeat(np.arange(DOCUMENTS), ROWS)
# Half of the documents, so that the two groups differ by what documents differ by.
GROUP = IDS % 2 == 0

NO_EFFECT: dict[str, Callable[[np.random.Generator], Statistic]] = {
    "mean": lambda g: mean(noise(g)),
    "difference": lambda g: difference(noise(g), GROUP),
    "correlation of ranks": lambda g: correlation(noise(g), noise(g)),
    "correlation": lambda g: correlation(noise(g), noise(g), ranks=False),
}


@pytest.mark.parametrize("name", NO_EFFECT)
def test_where_there_is_no_effect_the_interval_holds_zero_at_about_the_nominal_rate(name: str) -> None:
    generator = np.random.default_rng(11)
    found = [estimate(NO_EFFECT[name](generator), IDS, n=150, seed=s) for s in range(SIMULATIONS)]
    assert 85 <= sum(one.sign == 0 for one in found) <= 99
    rows = [estimate(NO_EFFECT[name](generator), range(len(IDS)), n=150, seed=s) for s in range(SIMULATIONS)]
    assert sum(one.sign == 0 for one in rows) < 80  # as if rows were independent, the rate is far off


def test_a_planted_effect_is_found() -> None:
    generator = np.random.default_rng(1)
    x = noise(generator)
    assert estimate(mean(x - 2), IDS, n=200).sign == -1
    assert estimate(difference(x + 2 * GROUP, GROUP), IDS, n=200).sign == 1
    assert estimate(correlation(x, noise(generator) - x), IDS, n=200).sign == -1
    assert estimate(ratio(np.exp(0.1 * x) * (1 + GROUP), GROUP), IDS, n=200).low > 1.5


def test_at_weights_one_they_are_the_plain_statistics() -> None:
    generator = np.random.default_rng(2)
    x, y = generator.normal(size=50), generator.integers(0, 5, size=50).astype(float)
    ones, where = np.ones(50), y > 2
    assert mean(x)(ones) == pytest.approx(x.mean())
    assert difference(x, where)(ones) == pytest.approx(x[where].mean() - x[~where].mean())
    assert ratio(x, where)(ones) == pytest.approx(x[where].mean() / x[~where].mean())
    assert correlation(x, y)(ones) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert correlation(x, y, ranks=False)(ones) == pytest.approx(stats.pearsonr(x, y).statistic)


@pytest.mark.parametrize("ranks", [True, False])
def test_weights_are_counts_of_rows(ranks: bool) -> None:
    x, y, w = np.array([1.0, 2, 3, 4]), np.array([2.0, 1, 5, 3]), np.array([2, 0, 1, 3])
    again = np.repeat(np.arange(4), w)
    assert mean(x)(w) == pytest.approx(x[again].mean())
    where = np.array([True, False, False, True])
    assert difference(x, where)(w) == pytest.approx(difference(x[again], where[again])(np.ones(6)))
    p, q = (stats.rankdata(x), stats.rankdata(y)) if ranks else (x, y)  # ranks are of all rows, whatever the weights
    assert correlation(x, y, ranks)(w) == pytest.approx(np.corrcoef(p[again], q[again])[0, 1])


def test_rows_that_are_not_known_are_left_out() -> None:
    nan = float("nan")
    assert mean([1.0, nan, 3.0])(np.ones(3)) == 2.0
    assert difference([1.0, nan, 3.0], [True, True, False])(np.ones(3)) == -2.0
    assert correlation([1.0, 2.0, nan, 3.0], [1.0, 2.0, 9.0, 3.0])(np.ones(4)) == pytest.approx(1.0)
    assert math.isnan(mean([nan])(np.ones(1)))


def test_copies_of_rows_make_no_interval_narrower() -> None:
    x = np.random.default_rng(3).normal(size=30)
    once, ids = estimate(mean(x), range(30)), np.repeat(np.arange(30), 10)
    copied = estimate(mean(np.repeat(x, 10)), ids)
    by_rows = estimate(mean(np.repeat(x, 10)), range(300))
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))
    assert copied.high - copied.low > 2.5 * (by_rows.high - by_rows.low)  # √10 apart, but for chance


def test_what_cannot_be_known_is_not_said() -> None:
    one = estimate(mean([1.0, 3.0]), ["a", "a"])
    assert (one.value, one.n, one.clusters, one.sign) == (2.0, 2, 1, 0)
    assert math.isnan(one.low)
    assert math.isnan(one.high)
    assert str(one) == "2.000"
    none = estimate(mean([]), [])
    assert math.isnan(none.value)
    assert (str(none), none.n, none.sign) == ("–", 0, 0)


def test_the_same_seed_gives_the_same_interval() -> None:
    x = np.random.default_rng(4).normal(size=20)
    assert estimate(mean(x), range(20), seed=3) == estimate(mean(x), range(20), seed=3)
    assert estimate(mean(x), range(20), seed=3) != estimate(mean(x), range(20), seed=4)


def test_it_reads_as_a_value_with_bounds() -> None:
    assert str(Estimate(0.5, -0.25, 1.25, 10, 5)) == "0.500 (-0.250 to 1.250)"


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="two columns of one length, found 2 and 3"):
        correlation([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(UserError, match=r"one number a row, found shape \(1, 2\)"):
        mean(np.ones((1, 2)))


def interval(values: Sequence[float] | np.ndarray, clusters: Sequence[Any] | np.ndarray, **how: Any) -> Any:
    """The interval of a mean."""
    found = estimate(mean(values), clusters, **how)
    return found.low, found.high


def clustered(generator: np.random.Generator, documents: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Values around 0 in which a document's rows share most of what they deviate by."""
    ids = np.repeat(np.arange(documents), rows)
    return generator.normal(size=documents)[ids] + 0.3 * generator.normal(size=documents * rows), ids


def test_it_covers_the_true_mean_and_an_interval_by_rows_does_not() -> None:
    generator = np.random.default_rng(0)
    by_document = by_row = 0
    for seed in range(300):
        values, ids = clustered(generator, documents=40, rows=8)
        low, high = interval(values, ids, n=400, seed=seed)
        by_document += low <= 0 <= high
        low, high = interval(values, np.arange(len(values)), n=400, seed=seed)
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
    assert interval(values, ids, n=4000) == pytest.approx(np.quantile(means, [0.025, 0.975]), abs=0.05)


def test_documents_of_unequal_size_weigh_by_their_rows() -> None:
    values, ids = [0.0] * 99 + [1.0], [0] * 99 + [1]
    low, high = interval(values, ids)
    assert (low, high) == (0.0, 1.0)  # a replicate of the small document alone has mean 1
    assert interval([2.5] * 10, list(range(10))) == (2.5, 2.5)


def test_one_document_tells_nothing_of_others() -> None:
    assert all(math.isnan(bound) for bound in interval([1.0, 2.0], ["a", "a"]))


def test_same_seed_same_interval() -> None:
    values, ids = clustered(np.random.default_rng(3), 10, 2)
    assert interval(values, ids, seed=5) == interval(values, ids, seed=5)


@pytest.mark.parametrize("level", [0.0, 1.0, -0.5])
def test_a_level_lies_between_0_and_1(level: float) -> None:
    with pytest.raises(UserError, match="level must lie between 0 and 1"):
        estimate(mean([1.0, 2.0]), ["a", "b"], level=level)
