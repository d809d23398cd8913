"""Cluster bootstrap: confidence intervals of a mean where the rows of one document are not independent."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from thinkaloud.errors import UserError


def cluster_bootstrap(
    values: np.ndarray | Sequence[float],
    clusters: Sequence[Any] | np.ndarray,
    n: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of the mean of `values` [m], resampling whole clusters (documents), not rows.

    Each of `n` replicates draws as many clusters as there are, with replacement; its mean is over all rows drawn
    (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8). NaN where there is one cluster
    alone: then nothing is known of how documents differ.
    """
    rows = np.asarray(values, dtype=np.float64)
    if rows.ndim != 1 or len(rows) != len(clusters) or not len(rows):
        raise UserError(f"expected a value and a cluster for each row, found {rows.shape} and {len(clusters)}")
    if not 0 < level < 1:
        raise UserError(f"level must lie between 0 and 1, found {level}")
    ids = np.unique(np.asarray([str(cluster) for cluster in clusters]), return_inverse=True)[1]
    sums, counts = np.bincount(ids, weights=rows), np.bincount(ids)
    if len(counts) < 2:
        return float("nan"), float("nan")
    generator = np.random.default_rng(seed)
    draws = generator.multinomial(len(counts), np.full(len(counts), 1 / len(counts)), size=n)
    means = (draws @ sums) / (draws @ counts)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
