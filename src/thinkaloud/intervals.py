"""Intervals over clusters: bootstrap-t, shares at their effective sample size, differences of two shares.

share       Wilson's at the effective sample size p(1 − p) ∕ Var, Var by the jackknife over clusters; it lies between
            the number of rows and that of clusters (Kish's, (Σm)² ∕ Σm²). After Korn and Graubard, Survey Methodology
            24, 1998. None or all: exact (Clopper and Pearson), each cluster as one trial.
difference  of two shares, also within rows (−1, 0, 1): from the intervals of both and their covariance. MOVER, Zou and
            Donner, Statistics in Medicine 27, 2008.
others      bootstrap-t over clusters: replicates studentised by the delta method, and the jackknife's standard error;
            ratios on a log scale, correlations on Fisher's. Davison and Hinkley, Bootstrap Methods, 1997, section 5.2.
            Below ENOUGH clusters, where replicates run wild, and from MANY on, where they are not needed, Student's t.

All of them are wider where few clusters add most of the variance: by Student's t at the degrees of freedom of that
variance, over t with one less than the clusters. Yet none holds the truth as often as it says however long the tail is
(Bahadur and Savage, Annals of Mathematical Statistics 27, 1956), nor where a share is so rare that none is common:
`note` says where it may be so. docs/log.md has how often each holds it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from scipy import optimize, stats

ENOUGH = 20
"""Clusters (of a comparison: on each side) below which an interval is marked and no verdict is given."""
MANY, REPLICATES = 500, 1999
REACH = 5.0
"""Standard errors beyond which no bound lies: where few clusters are not alike, replicates without them run wild."""
LEVEL = 0.95
LONG_TAIL, RARE = 4.0, 5
"""What is noted: a variance of fewer degrees of freedom, and a share that fewer clusters have, or have not."""
NAN = float("nan")

Scale = Literal["plain", "log", "z"]


@dataclass(frozen=True)
class Interval:
    """An interval as its `bounds` at any level; `p` is where a bound meets the null value."""

    method: str
    at: Callable[[float], tuple[float, float]]
    tail: Callable[[float], float]
    """The two-sided p of a null value."""
    note: str = ""

    def bounds(self) -> tuple[float, float]:
        low, high = self.at(1 - LEVEL)
        return float(low), float(high)

    def p(self, null: float) -> float:
        return float(np.clip(self.tail(null), 0, 1))


def studentised(
    of: Callable[[np.ndarray], Any], scale: Scale, sums: np.ndarray, replicates: int = REPLICATES, seed: int = 0
) -> Interval:
    """Bootstrap-t on the statistic's scale, or Student's t."""
    count, total = len(sums), sums.sum(axis=0)
    value = of(total)
    plain = scale == "plain" or (scale == "log" and value <= 0)
    to, back = (lambda v: v, lambda v: v) if plain else _SCALES[scale]
    centre, (error, df) = to(value), _jackknife(to(of(total - sums)))
    if not error > 1e-12 * max(1.0, abs(centre)):
        return Interval("", lambda alpha: (NAN, NAN), lambda null: NAN)
    wider = stats.t.isf(0.025, df) / stats.t.isf(0.025, count - 1)
    note, df = "rests on few documents or problems, as with a long tail" if df < LONG_TAIL else "", count - 1
    if not ENOUGH <= count < MANY:
        return Interval(
            "t",
            lambda alpha: tuple(back(centre + side * wider * error * stats.t.isf(alpha / 2, df)) for side in (-1, 1)),
            lambda null: 2 * stats.t.sf(abs(centre - to(null)) / (wider * error), df),
            note,
        )
    draws = _draws(count, replicates, seed)
    drawn = draws @ sums
    products = (draws @ (sums[:, :, None] * sums[:, None, :]).reshape(count, -1)).reshape(len(draws), *2 * [len(total)])
    step = 1e-20 * np.maximum(np.abs(total), 1e-12)
    moved = drawn[:, None, :] + 1j * np.diag(step)[None]
    gradient = np.imag(to(of(moved))) / step
    spread = np.sqrt(np.einsum("bp,bpq,bq->b", gradient, products, gradient) * count / df)
    t = (to(of(drawn)) - centre) / spread
    t = np.clip(wider * t[np.isfinite(t)], -REACH, REACH)

    def at(alpha: float) -> tuple[float, float]:
        low, high = np.quantile(t, [alpha / 2, 1 - alpha / 2])
        return back(centre - high * error), back(centre - low * error)

    def tail(null: float) -> float:
        found = (centre - to(null)) / error
        beyond = min((t >= found).sum(), (t <= found).sum()) if abs(found) < REACH else 0
        p = 2 * (1 + beyond) / (1 + len(t))
        # Beyond all replicates, of which hardly any ran wild, their number is no measure of it.
        return p if beyond or (abs(t) >= REACH).mean() > 0.01 else min(p, 2 * stats.t.sf(abs(found) / wider, df))

    return Interval("bootstrap-t", at, tail, note)


def of_share(ones: np.ndarray, counts: np.ndarray) -> Interval:
    """Wilson's interval of a share at its effective sample size; exact over clusters where it is 0 or 1."""
    clusters, rows, share = len(counts), counts.sum(), ones.sum() / counts.sum()
    note = "rare or nearly all: wider than need be" if min((ones > 0).sum(), (ones < counts).sum()) < RARE else ""
    if share in (0, 1):

        def exact(alpha: float) -> tuple[float, float]:
            edge = (alpha / 2) ** (1 / clusters)
            return (edge, 1.0) if share else (0.0, 1 - edge)

        return Interval("exact", exact, lambda null: 2 * (null if share else 1 - null) ** clusters, note)
    error, df = _jackknife((ones.sum() - ones) / (rows - counts))
    errors = error * stats.t.isf(0.025, [clusters - 1, df]) / stats.norm.isf(0.025)
    sizes = np.clip(share * (1 - share) / errors**2, rows**2 / (counts @ counts), rows)
    # Towards 0 or 1 the variance only shrinks; how well it is known matters on the other side.
    sizes = sizes if share < 0.5 else sizes[::-1]

    def at(alpha: float) -> tuple[float, float]:
        z = stats.norm.isf(alpha / 2) * np.array([-1, 1])
        half = z * np.sqrt(share * (1 - share) / sizes + (z / (2 * sizes)) ** 2)
        low, high = (share + z * z / (2 * sizes) + half) / (1 + z * z / sizes)
        return low, high

    def tail(null: float) -> float:
        return 2 * stats.norm.sf(abs(share - null) / np.sqrt(null * (1 - null) / sizes[int(null > share)]))

    return Interval("Wilson", at, tail, note)


def of_difference(sums: np.ndarray) -> Interval:
    """The difference of two shares from both intervals and the correlation of what clusters add to each."""
    one, other = ((sums[:, i], sums[:, i + 1]) for i in (0, 2))
    parts = [of_share(ones[counts > 0], counts[counts > 0]) for ones, counts in (one, other)]
    p, q = (ones.sum() / counts.sum() for ones, counts in (one, other))
    e, f = ((ones - share * counts) / counts.sum() for (ones, counts), share in zip((one, other), (p, q), strict=True))
    scale = np.sqrt((e @ e) * (f @ f))
    r = float(e @ f / scale) if scale > 0 else 0.0

    def at(alpha: float) -> tuple[float, float]:
        (a, b), (c, d) = (part.at(alpha) for part in parts)
        down, up = ((p - a), (d - q)), ((b - p), (q - c))
        reach = [np.sqrt(max(0.0, x * x + y * y - 2 * r * x * y)) for x, y in (down, up)]
        return p - q - reach[0], p - q + reach[1]

    def tail(null: float) -> float:
        def beyond(alpha: float) -> float:
            low, high = at(alpha)
            return low - null if p - q > null else null - high

        if p - q == null or beyond(1 - 1e-9) < 0:
            return 1.0
        return 1e-12 if beyond(1e-12) > 0 else float(optimize.brentq(beyond, 1e-12, 1 - 1e-9, xtol=1e-10))

    method = " and ".join(dict.fromkeys(part.method for part in parts)) + ", MOVER"
    return Interval(method, at, tail, parts[0].note or parts[1].note)


_SCALES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "log": (np.log, np.exp),
    "z": (lambda v: 0.5 * np.log((1 + v) / (1 - v)), np.tanh),
}


def _jackknife(left: np.ndarray) -> tuple[float, float]:
    """The standard error from the statistic without each cluster in turn, and its degrees of freedom by kurtosis.

    Those of a variance of values whose excess kurtosis is g (estimated without bias): 2n ∕ (2 + g).
    """
    left = left[np.isfinite(left)]
    n = len(left)
    if n < 2:
        return NAN, NAN
    added = left - left.mean()
    error = np.sqrt(added @ added * (n - 1) / n)
    if n < 4:  # of so few there is no unbiased kurtosis
        return float(error), float(n - 1)
    fourth = (added**4).mean() / (added**2).mean() ** 2
    excess = np.nan_to_num((n - 1) * ((n + 1) * (fourth - 3) + 6) / ((n - 2) * (n - 3)))
    return float(error), float(np.clip(2 * n / max(2 + excess, 1e-9), 1, n - 1))


@lru_cache(maxsize=16)
def _draws(count: int, replicates: int, seed: int) -> np.ndarray:
    """How often each cluster is in each resample."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates).astype(float)
