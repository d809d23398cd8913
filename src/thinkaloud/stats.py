"""Cluster bootstrap: estimates with intervals that resample whole documents.

A statistic is a function of a weight for each row: with all weights 1 it is the estimate, with the weights of a
resample one of its replicates. So a mean, a difference, a correlation or a slope are all bootstrapped alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thinkaloud.errors import UserError

Statistic = Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval, from `n` rows of `clusters` documents; NaN where nothing is known."""

    value: float
    low: float
    high: float
    n: int
    clusters: int

    def __str__(self) -> str:
        if not np.isfinite(self.value):
            return "–"
        bounds = f" ({self.low:.3f} to {self.high:.3f})" if np.isfinite(self.low) and np.isfinite(self.high) else ""
        return f"{self.value:.3f}{bounds}"

    @property
    def sign(self) -> int:
        """1 or −1 where the interval lies above or below zero, else 0."""
        return 1 if self.low > 0 else -1 if self.high < 0 else 0


def estimate(
    statistic: Statistic, clusters: Sequence[Any] | np.ndarray, n: int = 1000, level: float = 0.95, seed: int = 0
) -> Estimate:
    """`statistic` at weights 1, and its percentile interval over `n` resamples of whole clusters with replacement.

    Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8. The bounds are NaN for fewer than
    two clusters.
    """
    if not 0 < level < 1:
        raise UserError(f"level must lie between 0 and 1, found {level}")
    codes = np.asarray(clusters)
    ids = np.unique(codes if codes.dtype.kind in "iuU" else codes.astype(str), return_inverse=True)[1]
    count = int(ids.max(initial=-1)) + 1
    value = low = high = float("nan")
    with np.errstate(invalid="ignore", divide="ignore"):
        if count > 0:
            value = float(statistic(np.ones(len(ids))))
        if count > 1:
            draws = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=n)
            replicates = np.array([statistic(draw[ids].astype(np.float64)) for draw in draws])
            if np.isfinite(replicates).any():
                known = replicates[np.isfinite(replicates)]
                low, high = map(float, np.quantile(known, [(1 - level) / 2, (1 + level) / 2]))
    return Estimate(value, low, high, len(ids), count)


def mean(values: Sequence[float] | np.ndarray) -> Statistic:
    """The weighted mean; rows that are NaN are left out."""
    x = _numbers(values)
    known = np.isfinite(x)
    filled = np.where(known, x, 0.0)
    return lambda w: _ratio(w @ filled, w @ known)


def difference(values: Sequence[float] | np.ndarray, where: Sequence[bool] | np.ndarray) -> Statistic:
    """The mean of the rows where `where` is true less that of the others."""
    yes, no = _means(values, where)
    return lambda w: yes(w) - no(w)


def ratio(values: Sequence[float] | np.ndarray, where: Sequence[bool] | np.ndarray) -> Statistic:
    """The mean of the rows where `where` is true over that of the others."""
    yes, no = _means(values, where)
    return lambda w: _ratio(yes(w), no(w))


def _means(values: Sequence[float] | np.ndarray, where: Sequence[bool] | np.ndarray) -> tuple[Statistic, Statistic]:
    """The means of the rows where `where` is true, and of the others."""
    x, here = _numbers(values), np.asarray(where, dtype=bool)
    return mean(np.where(here, x, np.nan)), mean(np.where(here, np.nan, x))


def correlation(x: Sequence[float] | np.ndarray, y: Sequence[float] | np.ndarray, ranks: bool = True) -> Statistic:
    """The correlation of two columns: Spearman's with `ranks` (of all rows, ties shared), else Pearson's."""
    from scipy.stats import rankdata

    a, b = _numbers(x), _numbers(y)
    if len(a) != len(b):
        raise UserError(f"a correlation needs two columns of one length, found {len(a)} and {len(b)}")
    keep = np.isfinite(a) & np.isfinite(b)
    p, q = np.zeros(len(a)), np.zeros(len(a))
    if keep.any():
        p[keep], q[keep] = (rankdata(a[keep]), rankdata(b[keep])) if ranks else (a[keep], b[keep])

    def of(w: np.ndarray) -> float:
        v = w * keep
        total = v.sum()
        if total == 0:
            return float("nan")
        pc, qc = p - v @ p / total, q - v @ q / total
        return _ratio(v @ (pc * qc), np.sqrt((v @ pc**2) * (v @ qc**2)))

    return of


def _numbers(values: Sequence[float] | np.ndarray) -> np.ndarray:
    found = np.asarray(values, dtype=np.float64)
    if found.ndim != 1:
        raise UserError(f"expected one number a row, found shape {found.shape}")
    return found


def _ratio(a: Any, b: Any) -> float:
    return float(a / b) if b else float("nan")
