"""Intervals hold the truth as often as they say, for every statistic, and whole clusters are what is resampled."""

import math
import time
from collections.abc import Callable
from itertools import product

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from thinkaloud.errors import UserError
from thinkaloud.stats import (
    Estimate,
    Statistic,
    contrast,
    correlation,
    difference,
    estimate,
    mean,
    pooled,
    ratio,
    weighted,
)

Draw = Callable[[np.random.Generator, np.ndarray], Statistic]

# How often an interval may hold the truth, and two kinds of statistics of which this cannot be had. A share so
# rare that none of few clusters may have it is held more often: from below it can hardly be missed, and how alike the
# rows of a cluster are is not known. The mean of a tail so long that most samples lack it is held less often.
COVERS, RARE, LONG_TAIL = (0.92, 0.97), (0.92, 0.995), (0.90, 0.97)


def sizes(g: np.random.Generator, clusters: int) -> np.ndarray:
    """The cluster of each row: 1 to about 40 rows each, 9 on average."""
    return np.repeat(np.arange(clusters), 1 + g.geometric(1 / 8, size=clusters))


def level(g: np.random.Generator, ids: np.ndarray, of_clusters: float = 0.7) -> np.ndarray:
    """Noise around 0 of which the rows of a cluster share a part."""
    return of_clusters * g.normal(size=ids.max() + 1)[ids] + g.normal(size=len(ids))


def skewed(g: np.random.Generator, ids: np.ndarray) -> np.ndarray:
    """Errors: positive, with a long tail, their mean shared within clusters."""
    return np.exp(0.4 * g.normal(size=ids.max() + 1))[ids] * g.gamma(2, size=len(ids))


def lognormal(g: np.random.Generator, ids: np.ndarray, between: float = 0.7, within: float = 0.7) -> np.ndarray:
    """Positive, of mean 1, with heavy skew between clusters and within them."""
    logs = between * g.normal(size=ids.max() + 1)[ids] + within * g.normal(size=len(ids))
    return np.exp(logs - (between**2 + within**2) / 2)


def zeros(g: np.random.Generator, ids: np.ndarray) -> np.ndarray:
    """Mostly zero, else lognormal; of mean 1."""
    return ones(g, ids, 0.2, 0.2) * lognormal(g, ids, 0.4, 0.5) / 0.2


def counts(g: np.random.Generator, ids: np.ndarray) -> np.ndarray:
    """Counts of mean 2, their rate another in each cluster."""
    return g.poisson(g.gamma(0.8, 2 / 0.8, size=ids.max() + 1)[ids]).astype(float)


def ones(g: np.random.Generator, ids: np.ndarray, share: np.ndarray | float, alike: float = 0.15) -> np.ndarray:
    """Zeros and ones with an intraclass correlation `alike`."""
    a = (1 - alike) / alike
    u, share = g.random(ids.max() + 1)[ids], np.broadcast_to(share, len(ids))
    return (g.random(len(ids)) < stats.beta.ppf(u, share * a, (1 - share) * a)).astype(float)


def pair(g: np.random.Generator, ids: np.ndarray, r: float) -> tuple[np.ndarray, np.ndarray]:
    x, y = level(g, ids), level(g, ids)
    return x, r * x + math.sqrt(1 - r * r) * y


def between(g: np.random.Generator, ids: np.ndarray) -> np.ndarray:
    """Half of the clusters."""
    return ids % 2 == 0


def within(g: np.random.Generator, ids: np.ndarray) -> np.ndarray:
    """Two fifths of the rows."""
    return g.random(len(ids)) < 0.4


def share_difference(p: float, q: float, side: Callable[..., np.ndarray]) -> Draw:
    def draw(g: np.random.Generator, ids: np.ndarray) -> Statistic:
        here = side(g, ids)
        return difference(ones(g, ids, np.where(here, p, q)), here)

    return draw


def mean_difference(side: Callable[..., np.ndarray], of: Callable[..., np.ndarray] = level) -> Draw:
    def draw(g: np.random.Generator, ids: np.ndarray) -> Statistic:
        here = side(g, ids)
        return difference(of(g, ids) + 0.5 * here, here)

    return draw


def error_ratio(side: Callable[..., np.ndarray], of: Callable[..., np.ndarray] = skewed) -> Draw:
    def draw(g: np.random.Generator, ids: np.ndarray) -> Statistic:
        here = side(g, ids)
        return ratio(of(g, ids) * (1 + 0.3 * here), here)

    return draw


def in_weights(g: np.random.Generator, ids: np.ndarray) -> Statistic:
    weights = g.integers(0, 6, size=len(ids))
    return weighted(lognormal(g, ids, 0.4, 0.8) * weights, weights)


def in_ranks(r: float) -> Draw:
    def draw(g: np.random.Generator, ids: np.ndarray) -> Statistic:
        x, y = pair(g, ids, r)
        return correlation(np.exp(x), y)

    return draw


# By name: the truth, clusters for each of 20 that an interval needs, and what is drawn.
KINDS: dict[str, tuple[float, int, Draw]] = {
    "mean": (0.0, 1, lambda g, ids: mean(level(g, ids))),
    "mean of sums by row": (0.0, 1, lambda g, ids: weighted(level(g, ids), np.ones(len(ids)))),
    "mean, skewed": (2 * math.exp(0.08), 1, lambda g, ids: mean(skewed(g, ids))),
    "share 0.05 less chance": (0.04, 1, lambda g, ids: mean(ones(g, ids, 0.05) - 0.02 * g.random(len(ids)))),
    "difference between clusters": (0.5, 2, mean_difference(between)),
    "difference within clusters": (0.5, 1, mean_difference(within)),
    "ratio between clusters": (1.3, 2, error_ratio(between)),
    "ratio within clusters": (1.3, 1, error_ratio(within)),
    "correlation 0": (0.0, 1, lambda g, ids: correlation(*pair(g, ids, 0.0), ranks=False)),
    "correlation 0.5": (0.5, 1, lambda g, ids: correlation(*pair(g, ids, 0.5), ranks=False)),
    "correlation 0.9": (0.9, 1, lambda g, ids: correlation(*pair(g, ids, 0.9), ranks=False)),
    "correlation of ranks 0": (0.0, 1, in_ranks(0.0)),
    "correlation of ranks 0.5": (6 / math.pi * math.asin(0.25), 1, in_ranks(0.5)),
    "correlation of ranks 0.9": (6 / math.pi * math.asin(0.45), 1, in_ranks(0.9)),
    "mean, heavy skew": (1.0, 1, lambda g, ids: mean(lognormal(g, ids))),
    "mean, FVE with heavy skew": (0.0, 1, lambda g, ids: mean(1 - lognormal(g, ids))),
    "mean, long tail, rows of a cluster alike": (1.0, 1, lambda g, ids: mean(lognormal(g, ids, 1.0, 0.0))),
    "mean, tails of t with 3 df": (
        0.0,
        1,
        lambda g, ids: mean(g.standard_t(3, size=ids.max() + 1)[ids] + level(g, ids)),
    ),
    "mean, mostly zero": (1.0, 1, lambda g, ids: mean(zeros(g, ids))),
    "mean of counts": (2.0, 1, lambda g, ids: mean(counts(g, ids))),
    "mean, long tail": (1.0, 1, lambda g, ids: mean(lognormal(g, ids, 1.0, 0.5))),
    "weighted mean, skewed": (1.0, 1, in_weights),
    "difference between clusters, heavy skew": (0.5, 2, mean_difference(between, lognormal)),
    "difference within clusters, heavy skew": (0.5, 1, mean_difference(within, lognormal)),
    "difference of counts between clusters": (0.5, 2, mean_difference(between, counts)),
    "ratio between clusters, heavy skew": (1.3, 2, error_ratio(between, lognormal)),
    "ratio within clusters, heavy skew": (1.3, 1, error_ratio(within, lognormal)),
    "ratio of counts between clusters": (1.3, 2, error_ratio(between, counts)),
    "correlation 0, heteroscedastic": (0.0, 1, lambda g, ids: correlation(x := level(g, ids), x * x, ranks=False)),
    "share 0.01": (0.01, 1, lambda g, ids: mean(ones(g, ids, 0.01))),
    "share 0.1, alike": (0.1, 1, lambda g, ids: mean(ones(g, ids, 0.1, 0.3))),
    "share 0.2, hardly alike": (0.2, 1, lambda g, ids: mean(ones(g, ids, 0.2, 0.02))),
    "difference of shares 0.05 and 0.01 within clusters": (0.04, 1, share_difference(0.05, 0.01, within)),
    "paired shares 0.3 and 0.2": (0.1, 1, lambda g, ids: contrast(ones(g, ids, 0.3) - ones(g, ids, 0.2))),
    "share 0.02": (0.02, 1, lambda g, ids: mean(ones(g, ids, 0.02))),
    "share 0.05": (0.05, 1, lambda g, ids: mean(ones(g, ids, 0.05))),
    "share 0.2": (0.2, 1, lambda g, ids: mean(ones(g, ids, 0.2))),
    "share 0.5": (0.5, 1, lambda g, ids: mean(ones(g, ids, 0.5))),
    "share 0.97": (0.97, 1, lambda g, ids: mean(ones(g, ids, 0.97))),
    "difference of shares 0.05 and 0.05 between clusters": (0.0, 2, share_difference(0.05, 0.05, between)),
    "difference of shares 0.3 and 0.1 between clusters": (0.2, 2, share_difference(0.3, 0.1, between)),
    "difference of shares 0.3 and 0.1 within clusters": (0.2, 1, share_difference(0.3, 0.1, within)),
    "difference of shares 0.95 and 0.9 within clusters": (0.05, 1, share_difference(0.95, 0.9, within)),
}
RARELY = ("share 0.01", "share 0.02", "share 0.97", "difference of shares 0.05 and 0.01 within clusters")
QUICK = ("mean", "difference between clusters", "ratio within clusters", "correlation of ranks 0.5", "share 0.05")


def covered(name: str, clusters: int, simulations: int) -> tuple[float, float, float]:
    """How often the interval holds the truth, how often the truth lies below it, and how often above."""
    truth, factor, draw = KINDS[name]
    below = above = 0
    for seed in range(simulations):
        g = np.random.default_rng([seed, clusters])
        ids = sizes(g, clusters * factor)
        found = estimate(draw(g, ids), ids, replicates=999)
        below, above = below + (truth < found.low), above + (truth > found.high)
    return 1 - (below + above) / simulations, below / simulations, above / simulations


@pytest.mark.parametrize("name", QUICK)
def test_intervals_hold_the_truth_at_about_the_nominal_rate(name: str) -> None:
    rate, _, _ = covered(name, 20, 300)
    assert COVERS[0] - 0.025 <= rate <= COVERS[1] + 0.02  # two standard errors of 300 simulations


@pytest.mark.slow
@pytest.mark.parametrize(("clusters", "name"), list(product((20, 40), KINDS)))
def test_every_interval_covers(clusters: int, name: str) -> None:
    rate, below, above = covered(name, clusters, 1000)
    print(f"| {name} | {clusters} | {rate:.3f} | {below:.3f} | {above:.3f} |")
    low, high = LONG_TAIL if "long" in name else RARE if name in RARELY else COVERS
    assert low - 0.01 <= rate <= high + 0.01


def test_an_interval_over_rows_does_not_cover() -> None:
    held = 0
    for seed in range(200):
        g = np.random.default_rng(seed)
        ids = sizes(g, 80)  # so many rows that no replicates are drawn
        found = estimate(mean(level(g, ids, 1.0)), np.arange(len(ids)))
        held += found.low <= 0 <= found.high
    assert held / 200 < 0.75


@pytest.mark.parametrize("name", ["mean", "difference between clusters", "ratio within clusters", "correlation 0"])
def test_p_is_small_as_often_as_it_says_where_there_is_no_effect(name: str) -> None:
    truth, factor, draw = KINDS[name]
    ps = []
    for seed in range(300):
        g = np.random.default_rng([seed, 7])
        ids = sizes(g, 25 * factor)
        found = estimate(draw(g, ids), ids, null=truth, replicates=999)
        ps.append(found.p)
        if min(abs(truth - found.low), abs(truth - found.high)) > 1e-2 * (found.high - found.low):
            assert (found.p < 0.05) == (not found.low <= truth <= found.high), "p and the interval agree"
    assert 0.02 <= np.mean(np.array(ps) < 0.05) <= 0.09
    assert 0.4 <= np.mean(np.array(ps) < 0.5) <= 0.6


def test_a_planted_effect_is_found() -> None:
    g = np.random.default_rng(1)
    ids = sizes(g, 40)
    x, here = level(g, ids), ids % 2 == 0
    assert estimate(mean(x - 2), ids).sign == -1
    assert estimate(difference(x + 2 * here, here), ids).p < 0.01
    assert estimate(mean(x + 2), ids).p < 1e-4, (
        "below what replicates can count, so that a correction leaves some of it"
    )
    assert estimate(correlation(x, level(g, ids) - x), ids).sign == -1
    assert estimate(ratio(np.exp(0.1 * x) * (1 + here), here), ids).low > 1.5
    assert estimate(difference(x > -1 + 2 * here, here), ids).sign == -1


def test_values_are_the_plain_statistics() -> None:
    g = np.random.default_rng(2)
    x, y, ids = g.normal(size=50), g.integers(0, 5, size=50).astype(float), np.arange(50)
    here = y > 2

    def value(statistic: Statistic) -> float:
        return estimate(statistic, ids).value

    assert value(mean(x)) == pytest.approx(x.mean())
    assert value(weighted(x, y)) == pytest.approx(x[y > 0].sum() / y.sum())
    assert value(difference(x, here)) == pytest.approx(x[here].mean() - x[~here].mean())
    weights = g.integers(0, 4, size=50)
    weighed = np.average(x[here], weights=weights[here]) - np.average(x[~here], weights=weights[~here])
    assert value(difference(x, here, weights)) == pytest.approx(weighed)
    assert value(ratio(np.exp(x), here)) == pytest.approx(np.exp(x)[here].mean() / np.exp(x)[~here].mean())
    assert value(correlation(x, y)) == pytest.approx(stats.spearmanr(x, y).statistic)
    assert value(correlation(x, y, ranks=False)) == pytest.approx(stats.pearsonr(x, y).statistic)
    assert value(mean(np.sign(y - 2))) == pytest.approx(np.sign(y - 2).mean())


def test_bootstrap_t_is_that_of_a_plain_loop() -> None:
    g = np.random.default_rng(3)
    ids = sizes(g, 25)
    x = skewed(g, ids)
    found = estimate(mean(x), ids, seed=4)
    sums, counts = np.bincount(ids, x), np.bincount(ids)
    left = (sums.sum() - sums) / (counts.sum() - counts)
    error = math.sqrt(24 / 25 * ((left - left.mean()) ** 2).sum())
    df = 2 * 25 / (2 + pd.Series(left).kurt())
    wider = stats.t.isf(0.025, min(df, 24)) / stats.t.isf(0.025, 24)
    ts = []
    for drawn in np.random.default_rng(9).integers(25, size=(4000, 25)):
        m = sums[drawn].sum() / counts[drawn].sum()
        spread = math.sqrt(25 / 24 * ((sums[drawn] - m * counts[drawn]) ** 2).sum()) / counts[drawn].sum()
        ts.append((m - x.mean()) / spread)
    high, low = np.quantile(ts, [0.025, 0.975])
    assert (found.low, found.high) == pytest.approx(
        (x.mean() - low * wider * error, x.mean() - high * wider * error), abs=0.12 * wider * error
    )


def test_none_and_all_have_exact_bounds() -> None:
    ids = np.repeat(np.arange(30), 2)
    none, every = estimate(mean([0] * 60), ids), estimate(mean([True] * 60), ids, null=0.5)
    exact = stats.binomtest(0, 30).proportion_ci()
    assert (none.low, none.high, none.method) == (0, pytest.approx(exact.high), "exact")
    assert (every.low, every.high) == (pytest.approx(1 - exact.high), 1)
    assert every.p == pytest.approx(stats.binomtest(30, 30).pvalue)
    apart = estimate(difference([0] * 60, ids % 2 == 0), ids)
    assert (apart.value, apart.p) == (0, 1)
    assert apart.low == pytest.approx(-stats.binomtest(0, 15).proportion_ci().high)
    gained = estimate(contrast(np.where(ids == 0, 1.0, 0.0)), ids)
    assert gained.p == pytest.approx(1, abs=0.5)
    assert gained.low < 0 < gained.high, "that of a contrast, which may be negative, not of a share"
    never = estimate(mean(np.zeros(60) - (ids == 0)), ids)
    assert never.low < never.value < 0 < never.high < 0.15, "a paired contrast of zeros and ones is one of shares"


def test_with_rows_of_their_own_a_share_has_the_interval_of_wilson() -> None:
    found = estimate(mean(np.arange(400) < 120), np.arange(400), null=0.2)
    wilson = stats.binomtest(120, 400).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=1e-3)
    assert found.p < 1e-4
    edge = estimate(mean(np.arange(400) < 120), np.arange(400), null=found.low)
    assert edge.p == pytest.approx(0.05)


def test_an_estimate_says_where_its_interval_may_not_hold() -> None:
    x, ids = np.random.default_rng(8).normal(size=60), np.arange(60)
    assert estimate(mean(x), ids).note == ""
    assert (
        estimate(mean(np.where(ids == 0, 100, x)), ids).note
        == "rests on few documents or problems, as with a long tail"
    )
    assert estimate(mean(ids < 4), ids).note == "rare or nearly all: wider than need be"
    assert estimate(mean(ids > 3), ids).note == "rare or nearly all: wider than need be"
    assert estimate(mean(ids < 5), ids).note == ""
    assert estimate(difference(ids % 30 < 2, ids < 30), ids).note == "rare or nearly all: wider than need be"


def test_rows_that_are_not_known_are_left_out() -> None:
    nan, ids = float("nan"), [1, 2, 3]
    found = estimate(mean([1.5, nan, 3.5]), ids)
    assert (found.value, found.n, found.clusters) == (2.5, 2, 2)
    assert estimate(difference([1.5, nan, 3.5], [True, True, False]), ids).value == -2.0
    assert estimate(correlation([1.0, 2.0, nan, 3.0], [1.0, 2.0, 9.0, 3.0]), range(4)).value == pytest.approx(1.0)
    assert math.isnan(estimate(mean([nan]), [1]).value)


def test_copies_of_rows_make_no_interval_narrower() -> None:
    x = np.random.default_rng(3).normal(size=30)
    once, copied = estimate(mean(x), range(30)), estimate(mean(np.repeat(x, 10)), np.repeat(np.arange(30), 10))
    assert (copied.low, copied.high) == pytest.approx((once.low, once.high))


def test_what_cannot_be_known_is_not_said() -> None:
    one = estimate(mean([1.0, 3.0]), ["a", "a"])
    assert (one.value, one.n, one.clusters, one.sign, one.few) == (2.0, 2, 1, 0, True)
    assert math.isnan(one.low)
    assert str(one) == "2.000"
    assert "one document or problem" in one.note
    none = estimate(mean([]), [])
    assert (str(none), none.n, none.sign) == ("–", 0, 0)
    alike = estimate(mean([2.5] * 40), range(40))
    assert (alike.value, alike.note) == (2.5, "no interval: all alike")
    few = estimate(mean([1.0, 2.0, 4.0]), list("abc"))
    assert few.few
    assert few.note == "from 3 documents or problems, fewer than 20"


def test_of_a_comparison_the_side_with_fewer_clusters_counts() -> None:
    g = np.random.default_rng(5)
    ids = np.repeat(np.arange(40), 5)
    found = estimate(difference(g.normal(size=200), ids < 7), ids)
    assert (found.clusters, found.n, found.few) == (7, 200, True)


def test_groups_of_opposite_signs_have_no_common_number() -> None:
    up, down, unclear = Estimate(1, 0.5, 1.5, 9, 30), Estimate(-1, -1.5, -0.5, 9, 30), Estimate(0, -1, 1, 9, 30)
    whole = Estimate(0.25, 0.2, 0.3, 27, 90)
    assert pooled(whole, {"a": up, "b": unclear}) == whole
    refused = pooled(whole, {"a": up, "b": down, "c": unclear})
    assert (str(refused), refused.n, refused.note) == ("–", 27, "not pooled: above zero in a, below in b")


def test_the_same_seed_gives_the_same_interval() -> None:
    x = np.random.default_rng(4).normal(size=30)
    assert estimate(mean(x), range(30), seed=3) == estimate(mean(x), range(30), seed=3)
    assert estimate(mean(x), range(30), seed=3) != estimate(mean(x), range(30), seed=4)


def test_it_reads_as_a_value_with_bounds() -> None:
    found = Estimate(0.5, -0.25, 1.25, 10, 5)
    assert str(found) == "0.500 (-0.250 to 1.250)"
    assert str(Estimate(12.25, 3.5, 21, 10, 5)) == "12.2 (3.5 to 21.0)"


def test_a_hundred_thousand_rows_take_a_fraction_of_a_second() -> None:
    g = np.random.default_rng(6)
    x, ids = g.normal(size=100_000), g.integers(400, size=100_000)
    estimate(mean(x), ids)
    began = time.process_time()
    estimate(difference(x, ids % 2 == 0), ids)
    assert time.process_time() - began < 0.5


def test_columns_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UserError, match="two columns of one length, found 2 and 3"):
        correlation([1.0, 2.0], [1.0, 2.0, 3.0])
    with pytest.raises(UserError, match=r"one number a row, found shape \(1, 2\)"):
        mean(np.ones((1, 2)))
    with pytest.raises(UserError, match="a cluster for each of 2 rows, found 1"):
        estimate(mean([1.0, 2.0]), ["a"])


def test_of_two_or_three_clusters_the_interval_is_students() -> None:
    for values in ([1.0, 2.0], [1.0, 2.0, 4.0], [0.1, 0.7, 0.2]):
        found = estimate(mean(values), range(len(values)))
        half = stats.t.isf(0.025, len(values) - 1) * stats.sem(values)
        assert [found.low, found.high] == pytest.approx([np.mean(values) - half, np.mean(values) + half])
