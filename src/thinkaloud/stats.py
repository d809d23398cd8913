"""Estimates of statistics, with 95 % intervals and p-values, from rows in clusters: documents, texts or problems.

A `Statistic` is a function of sums over rows, so only sums by cluster are resampled; `intervals.py` says how.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import stats

from thinkaloud import intervals
from thinkaloud.errors import UserError
from thinkaloud.intervals import ENOUGH, NAN, REPLICATES, Scale

Values = Sequence[Any] | np.ndarray
OPPOSED = "not pooled"
"""The `method` of a whole without a number, as parts of it contradict each other."""


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
            found = intervals.of_share(sums[:, 0], sums[:, 1])
        elif statistic.shares == "difference":
            found = intervals.of_difference(sums)
        else:
            found = intervals.studentised(statistic.of, statistic.scale, sums, replicates, seed)
        low, high = found.bounds()
        p = NAN if null is None else found.p(null)
    note = found.note if few >= ENOUGH else f"from {few} documents or problems, fewer than {ENOUGH}"
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
        note = f"{OPPOSED}: above zero in {above}, below in {below}"
        return replace(whole, value=NAN, low=NAN, high=NAN, p=NAN, method=OPPOSED, note=note)
    return whole


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
