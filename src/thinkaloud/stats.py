"""Estimates with 95 % intervals and p-values from rows that belong to clusters: documents, texts or problems.

A `Statistic` is a function of sums over rows, so only sums by cluster are resampled. What `estimate` takes:

share       Beta quantiles (Jeffreys) at the effective sample size p(1 − p) ∕ Var, Var by the jackknife over clusters,
            its degrees of freedom by the kurtosis of what clusters add. After Korn and Graubard, Survey Methodology 24,
            1998. None or all: exact (Clopper and Pearson), each cluster as one trial.
difference  of two shares, also within rows (−1, 0, 1): from the intervals of both and their covariance. MOVER, Zou and
            Donner, Statistics in Medicine 27, 2008.
others      bootstrap-t over clusters: replicates studentised by the delta method, and the jackknife's standard error;
            ratios on a log scale, correlations on Fisher's. Davison and Hinkley, Bootstrap Methods, 1997, section 5.2.
            Below ENOUGH clusters, where replicates run wild, and from MANY on, where they are not needed, Student's t.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from scipy import special, stats

from thinkaloud.errors import UserError

ENOUGH = 20
"""Clusters (of a comparison: on each side) below which an interval is marked and no verdict is given."""
MANY, REPLICATES = 500, 1999
REACH = 5.0
"""Standard errors beyond which no bound lies: where few clusters are not alike, replicates without them run wild."""
LEVEL = 0.95
NAN = float("nan")

Values = Sequence[Any] | np.ndarray
Scale = Literal["plain", "log", "z"]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, from `n` rows of `clusters` documents; NaN where nothing is known.

    Of a comparison `clusters` are those of the side that has fewer. `p` is two-sided, of the statistic's null value.
    `note` says what is to be said beside the number.
    """

    value: float
    low: float
    high: float
    n: int
    clusters: int
    method: str = ""
    p: float = NAN
    note: str = ""

    def __str__(self) -> str:
        if not np.isfinite(self.value):
            return "–"
        value, low, high = (
            f"{x:.3f}" if abs(self.value) < 10 else f"{x:.1f}" for x in (self.value, self.low, self.high)
        )
        return f"{value} ({low} to {high})" if np.isfinite(self.low) and np.isfinite(self.high) else value

    @property
    def sign(self) -> int:
        """1 or −1 where the interval lies above or below zero, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0

    @property
    def few(self) -> bool:
        """Whether it rests on fewer than ENOUGH clusters."""
        return self.clusters < ENOUGH

    def mapped(self, of: Callable[[float], float]) -> "Estimate":
        """A monotone function of it: FVE from an MSE."""
        low, high = sorted((of(self.low), of(self.high)))
        return replace(self, value=of(self.value), low=low, high=high)


@dataclass(frozen=True)
class Statistic:
    """`of` the sums of `rows` [n, p] is the statistic, for sums [..., p]; `sides` [n, s] are the rows of each side.

    `of` does not change when all sums are multiplied, and takes complex sums (its gradient is found so).
    """

    rows: np.ndarray
    of: Callable[[np.ndarray], Any]
    sides: np.ndarray
    scale: Scale = "plain"
    null: float | None = None
    shares: Literal["", "share", "difference"] = ""
    n: int | None = None
    """How many things it is of, where they are not rows."""


def estimate(
    statistic: Statistic, clusters: Values, replicates: int = REPLICATES, seed: int = 0, null: float | None = None
) -> Estimate:
    """The statistic with its interval over clusters; `null` is what `p` is of, in place of the statistic's own.

    The bounds are NaN for fewer than two clusters.
    """
    codes = _codes(clusters)
    if len(codes) != len(statistic.rows):
        raise UserError(f"expected a cluster for each of {len(statistic.rows)} rows, found {len(codes)}")
    known = statistic.sides.any(axis=1)
    sides = [np.unique(codes[side]) for side in statistic.sides.T]
    n, few = int(known.sum()) if statistic.n is None else statistic.n, min(map(len, sides))
    null = statistic.null if null is None else null
    ids = np.unique(codes[known], return_inverse=True)[1]
    sums = np.stack([np.bincount(ids, column) for column in statistic.rows[known].T], axis=1)
    with np.errstate(all="ignore"):
        value = float(statistic.of(sums.sum(axis=0))) if n else NAN
        if not np.isfinite(value) or few < 2:
            return Estimate(value, NAN, NAN, n, few, note="no interval: from one document or problem" if few else "")
        if statistic.shares == "share":
            found = _share(sums[:, 0], sums[:, 1])
        elif statistic.shares == "difference":
            found = _difference_of_shares(sums)
        else:
            found = _studentised(statistic, sums, replicates, seed)
        low, high = found.bounds()
        p = NAN if null is None else found.p(null)
    note = "" if few >= ENOUGH else f"from {few} documents or problems, fewer than {ENOUGH}"
    if not np.isfinite(low):
        note = "no interval: all alike"
    return Estimate(value, low, high, n, few, found.method, p, note)


def mean(values: Values) -> Statistic:
    """The mean; rows that are NaN are left out. Of 0 and 1 it is a share, of −1, 0 and 1 a `contrast`."""
    x, known = _numbers(values)
    if np.isin(x[known], (0, 1)).all():
        return Statistic(np.stack([x, known], axis=1), _mean, known[:, None], shares="share")
    return contrast(values)


def contrast(values: Values) -> Statistic:
    """The mean of paired differences, of null 0; where each is −1, 0 or 1, that of the shares of 1 and of −1."""
    x, known = _numbers(values)
    if np.isin(x[known], (-1, 0, 1)).all():
        rows = np.stack([x == 1, known, x == -1, known], axis=1).astype(float)
        return Statistic(rows, _difference, known[:, None], null=0.0, shares="difference")
    return Statistic(np.stack([x, known], axis=1), _mean, known[:, None], null=0.0)


def difference(values: Values, where: Values, weights: Values | None = None) -> Statistic:
    """The mean, perhaps weighted, of the rows where `where` is true less that of the others."""
    rows, sides, binary = _two(values, where, weights)
    return Statistic(rows, _difference, sides, null=0.0, shares="difference" if binary else "")


def ratio(values: Values, where: Values) -> Statistic:
    """The mean of the rows where `where` is true over that of the others."""
    rows, sides, _ = _two(values, where)
    return Statistic(rows, lambda s: _mean(s) / _mean(s[..., 2:]), sides, "log", null=1.0)


def weighted(sums: Values, counts: Values) -> Statistic:
    """Σ sums ∕ Σ counts: a mean over what is summed up in rows already."""
    (x, a), (y, b) = _numbers(sums), _numbers(counts)
    known = a & b & (y > 0)
    rows = np.stack([x, y], axis=1) * known[:, None]
    return Statistic(rows, _mean, known[:, None], null=0.0, n=round(rows[:, 1].sum()))


def correlation(x: Values, y: Values, ranks: bool = True) -> Statistic:
    """The correlation of two columns: Spearman's with `ranks` (of all rows, ties shared), else Pearson's."""
    (a, here), (b, there) = _numbers(x), _numbers(y)
    if len(a) != len(b):
        raise UserError(f"a correlation needs two columns of one length, found {len(a)} and {len(b)}")
    known = here & there
    p, q = (_standard(stats.rankdata(v[known]) if ranks else v[known]) for v in (a, b))
    rows = np.zeros((len(a), 6))
    rows[known] = np.stack([np.ones(len(p)), p, q, p * p, q * q, p * q], axis=1)
    return Statistic(rows, _pearson, known[:, None], "z", null=0.0)


def pooled(whole: Estimate, parts: Mapping[str, Estimate]) -> Estimate:
    """`whole`, or no number where parts of it lie clearly on opposite sides of zero: their mean is true of none."""
    signs = {name: part.sign for name, part in parts.items()}
    if {1, -1} <= set(signs.values()):
        above, below = (", ".join(name for name, sign in signs.items() if sign == side) for side in (1, -1))
        note = f"not pooled: above zero in {above}, below in {below}"
        return replace(whole, value=NAN, low=NAN, high=NAN, p=NAN, note=note)
    return whole


@dataclass(frozen=True)
class _Found:
    """An interval as its `bounds` at any level; `p` is where a bound meets the null value."""

    method: str
    at: Callable[[float], tuple[float, float]]
    tail: Callable[[float], float]
    """The two-sided p of a null value."""

    def bounds(self) -> tuple[float, float]:
        low, high = self.at(1 - LEVEL)
        return float(low), float(high)

    def p(self, null: float) -> float:
        return float(np.clip(self.tail(null), 0, 1))


def _studentised(statistic: Statistic, sums: np.ndarray, replicates: int, seed: int) -> _Found:
    """Bootstrap-t on the statistic's scale, or Student's t."""
    count, total = len(sums), sums.sum(axis=0)
    value = statistic.of(total)
    plain = statistic.scale == "plain" or (statistic.scale == "log" and value <= 0)
    to, back = (lambda v: v, lambda v: v) if plain else _SCALES[statistic.scale]
    centre, error = to(value), _jackknife(to(statistic.of(total - sums)))
    if not error > 1e-12 * max(1.0, abs(centre)):
        return _Found("", lambda alpha: (NAN, NAN), lambda null: NAN)
    df = count - 1
    if not ENOUGH <= count < MANY:
        return _Found(
            "t",
            lambda alpha: tuple(back(centre + side * error * stats.t.isf(alpha / 2, df)) for side in (-1, 1)),
            lambda null: 2 * stats.t.sf(abs(centre - to(null)) / error, df),
        )
    draws = _draws(count, replicates, seed)
    drawn = draws @ sums
    products = (draws @ (sums[:, :, None] * sums[:, None, :]).reshape(count, -1)).reshape(len(draws), *2 * [len(total)])
    step = 1e-20 * np.maximum(np.abs(total), 1e-12)
    moved = drawn[:, None, :] + 1j * np.diag(step)[None]
    gradient = np.imag(to(statistic.of(moved))) / step
    spread = np.sqrt(np.einsum("bp,bpq,bq->b", gradient, products, gradient) * count / df)
    t = (to(statistic.of(drawn)) - centre) / spread
    t = np.clip(t[np.isfinite(t)], -REACH, REACH)

    def at(alpha: float) -> tuple[float, float]:
        low, high = np.quantile(t, [alpha / 2, 1 - alpha / 2])
        return back(centre - high * error), back(centre - low * error)

    def tail(null: float) -> float:
        found = (centre - to(null)) / error
        return 2 * (1 + min((t >= found).sum(), (t <= found).sum())) / (1 + len(t))

    return _Found("bootstrap-t", at, tail)


def _share(ones: np.ndarray, counts: np.ndarray) -> _Found:
    """A share by Beta quantiles at the effective sample size; exact over clusters where it is 0 or 1."""
    clusters, rows, share = len(counts), counts.sum(), ones.sum() / counts.sum()
    if share in (0, 1):
        a, b, method = share * clusters, (1 - share) * clusters, "exact"
    else:
        left = (ones.sum() - ones) / (rows - counts)
        influence = left - left.mean()
        variance = influence @ influence * (clusters - 1) / clusters
        kurtosis = clusters * (influence**4).sum() / (influence @ influence) ** 2
        df = max(1.0, min(clusters - 1, 2 * clusters / max(kurtosis - 1, 1e-9)))
        size = min(share * (1 - share) / variance, rows) * (stats.norm.isf(0.025) / stats.t.isf(0.025, df)) ** 2
        a, b, method = share * size + 0.5, (1 - share) * size + 0.5, "beta"

    def at(alpha: float) -> tuple[float, float]:
        if method == "exact":
            edge = (alpha / 2) ** (1 / clusters)
            return (edge, 1.0) if share else (0.0, 1 - edge)
        return special.betaincinv(a, b, alpha / 2), special.betaincinv(a, b, 1 - alpha / 2)

    def tail(null: float) -> float:
        if method == "exact":
            return 2 * (null if share else 1 - null) ** clusters
        below = special.betainc(a, b, null)
        return 2 * min(below, 1 - below)

    return _Found(method, at, tail)


def _difference_of_shares(sums: np.ndarray) -> _Found:
    """The difference of two shares from both intervals and the correlation of what clusters add to each."""
    one, other = ((sums[:, i], sums[:, i + 1]) for i in (0, 2))
    parts = [_share(ones[counts > 0], counts[counts > 0]) for ones, counts in (one, other)]
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
        from scipy.optimize import brentq

        def beyond(alpha: float) -> float:
            low, high = at(alpha)
            return low - null if p - q > null else null - high

        if p - q == null or beyond(1 - 1e-9) < 0:
            return 1.0
        return 1e-12 if beyond(1e-12) > 0 else float(brentq(beyond, 1e-12, 1 - 1e-9, xtol=1e-10))

    return _Found(" and ".join(dict.fromkeys(part.method for part in parts)) + ", MOVER", at, tail)


_SCALES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "log": (np.log, np.exp),
    "z": (lambda v: 0.5 * np.log((1 + v) / (1 - v)), np.tanh),
}


def _jackknife(left: np.ndarray) -> float:
    """The standard error from the statistic without each cluster in turn."""
    left = left[np.isfinite(left)]
    if len(left) < 2:
        return NAN
    return float(np.sqrt(((left - left.mean()) ** 2).sum() * (len(left) - 1) / len(left)))


@lru_cache(maxsize=16)
def _draws(count: int, replicates: int, seed: int) -> np.ndarray:
    """How often each cluster is in each resample."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates).astype(float)


def _mean(sums: np.ndarray) -> Any:
    return sums[..., 0] / sums[..., 1]


def _difference(sums: np.ndarray) -> Any:
    return _mean(sums) - _mean(sums[..., 2:])


def _pearson(sums: np.ndarray) -> Any:
    n, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    return (xy - x * y / n) / np.sqrt((xx - x * x / n) * (yy - y * y / n))


def _standard(values: np.ndarray) -> np.ndarray:
    spread = values.std() if len(values) else 0.0
    return (values - values.mean()) / spread if spread > 0 else np.zeros(len(values))


def _two(values: Values, where: Values, weights: Values | None = None) -> tuple[np.ndarray, np.ndarray, bool]:
    """Sums and counts of the rows where `where` is true and of the others; whether they are plain zeros and ones."""
    x, known = _numbers(values)
    w = np.ones(len(x)) if weights is None else np.asarray(weights, dtype=float)
    here, known = np.asarray(where, dtype=bool), known & (w > 0)
    yes, no = known & here, known & ~here
    rows = np.stack([x * w * yes, w * yes, x * w * no, w * no], axis=1)
    return rows, np.stack([yes, no], axis=1), weights is None and bool(np.isin(x[known], (0, 1)).all())


def _numbers(values: Values) -> tuple[np.ndarray, np.ndarray]:
    """The numbers, with 0 for those that are none, and where they are some."""
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1:
        raise UserError(f"expected one number a row, found shape {found.shape}")
    known = np.isfinite(found)
    return np.where(known, found, 0.0), known


def _codes(clusters: Values) -> np.ndarray:
    """A whole number for each cluster."""
    codes = np.asarray(clusters)
    return np.unique(codes if codes.dtype.kind in "iuU" else codes.astype(str), return_inverse=True)[1]
