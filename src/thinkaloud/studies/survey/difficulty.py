"""Reconstruction by class, frequency and position of the token."""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from thinkaloud.stats import Estimate, correlation, difference, estimate, mean
from thinkaloud.studies.survey.form import Columns, by_kind, present
from thinkaloud.studies.survey.tokens import CLASSES

ENOUGH = 30  # positions of a class, below which nothing is said of it
POSITIONS = (4, 8, 16, 32, 64, 128, 256, 512)


def scored(columns: Columns) -> dict[str, np.ndarray]:
    """The rows that have a reconstruction."""
    known = np.isfinite(columns["fve"])
    return {name: values[known] for name, values in columns.items()}


def by_class(columns: Columns, seed: int) -> list[dict[str, Any]]:
    """Every class that occurs: its share of positions, FVE, FVE by kind, and FVE less that of all others."""
    out: list[dict[str, Any]] = []
    for name in CLASSES:
        here = columns["token_class"] == name
        if not here.any():
            continue
        own = {key: values[here] for key, values in columns.items()}
        record: dict[str, Any] = {
            "class": name,
            "positions": int(here.sum()),
            "FVE": estimate(mean(own["fve"]), own["doc"], seed=seed),
        }
        kinds = by_kind(own["fve"], own, seed)
        record |= {f"FVE, {kind}s": kinds.get(f"{kind}s") for kind in present(columns)}
        record["FVE less the others'"] = estimate(difference(columns["fve"], here), columns["doc"], seed=seed)
        out.append(record)
    return out


def deciles(columns: Columns) -> list[dict[str, Any]]:
    """Positions in ten equal parts by their error, 1 the best rebuilt: the share of each class in each part."""
    order = np.argsort(np.argsort(columns["mse"], kind="stable"), kind="stable")
    part = order * 10 // len(order) + 1
    out: list[dict[str, Any]] = []
    for k in range(1, 11):
        own = columns["token_class"][part == k]
        if len(own):
            mse = columns["mse"][part == k]
            shares = {name: float((own == name).mean()) for name in CLASSES if (columns["token_class"] == name).any()}
            out.append({"decile of error": k, "MSE": f"{mse.min():.3f} to {mse.max():.3f}", **shares})
    return out


def contrasts(columns: Columns, hard: tuple[str, ...], seed: int) -> dict[str, Estimate]:
    """FVE of the classes `hard` together, less that of each other class with enough positions."""
    of_hard = np.isin(columns["token_class"], hard)
    out: dict[str, Estimate] = {}
    if of_hard.sum() < ENOUGH:
        return out
    for name in CLASSES:
        other = columns["token_class"] == name
        if name not in hard and other.sum() >= ENOUGH:
            both = of_hard | other
            statistic = difference(columns["fve"][both], of_hard[both])
            out[name] = estimate(statistic, columns["doc"][both], seed=seed)
    return out


def by_frequency(columns: Columns, parts: int = 5, seed: int = 0) -> list[dict[str, Any]]:
    """Positions in about equal parts by how often their token occurs in the documents, rare to frequent."""
    count = columns["frequency"]
    inner = np.unique(np.quantile(count, np.arange(1, parts) / parts))
    part = np.searchsorted(inner, count, side="right")
    out = []
    for k in np.unique(part):
        here = part == k
        name = f"{int(count[here].min()):,} to {int(count[here].max()):,}"
        out.append(_bin("times in the documents", name, columns, here, seed))
    return out


def by_position(columns: Columns, seed: int = 0) -> list[dict[str, Any]]:
    """Positions by how far into their document they are."""
    where = columns["position"]
    edges = [*POSITIONS, int(max(where.max() + 1, POSITIONS[-1] + 1))]
    out = []
    for low, high in pairwise(edges):
        here = (where >= low) & (where < high)
        if here.any():
            out.append(_bin("position", f"{low} to {high - 1}", columns, here, seed))
    return out


def trend(columns: Columns, name: str, seed: int) -> dict[str, Estimate]:
    """Spearman's correlation of FVE with a column, by kind."""
    out: dict[str, Estimate] = {}
    for kind in present(columns):
        here = columns["kind"] == kind
        statistic = correlation(columns[name][here], columns["fve"][here])
        out[f"{kind}s"] = estimate(statistic, columns["doc"][here], seed=seed)
    return out


def _bin(label: str, name: str, columns: Columns, here: np.ndarray, seed: int) -> dict[str, Any]:
    own: Mapping[str, np.ndarray] = {key: columns[key][here] for key in ("fve", "doc", "kind")}
    kinds = by_kind(own["fve"], own, seed)
    return {
        label: name,
        "positions": int(here.sum()),
        "FVE": estimate(mean(own["fve"]), own["doc"], seed=seed),
        **{f"FVE, {kind}s": kinds.get(f"{kind}s") for kind in present(columns)},
    }
