"""Persistence of claims and vectors k positions on, against other texts.

The share of a position's claims that stand k positions on, and by chance: how often another text's explanation at that
distance from its own start holds them. Everything is summed by text, as whole texts are resampled.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Float

from thinkaloud.stats import Estimate, Statistic, estimate
from thinkaloud.studies.positions.claims import KINDS, claims
from thinkaloud.studies.positions.read_texts import Said

VECTOR = "vector (cosine)"
CURVES = (*KINDS, VECTOR)

Sums = dict[tuple[str, str, int], defaultdict[str, float]]


def claims_kept(said: Sequence[Said], reach: int) -> list[dict[str, Any]]:
    """For each text, kind of claim and distance k: sums over its positions of the share kept and of its chance levels.

    kept     the share of a position's claims of a kind that the same text's explanation k positions on holds
    chance   that share, on average over the explanations of other texts at that position
    kin      the same over other texts of the same family

    `n_kept` and so on count the positions summed: those with a claim of the kind, and with something to compare;
    `own_chance` and `own_kin` are `kept` summed over the same positions as these. With several samples, k = 0 compares
    two samples of one position, k > 0 samples of one number.
    """
    samples = 1 + max((one.sample for one in said), default=0)
    held = {(one.id, one.position, one.sample): claims(one.text) for one in said}
    family = {one.id: one.family for one in said}
    totals = _Totals()
    for (text, position, _), found in held.items():
        totals.count(text, family[text], position, found)
    sums: Sums = defaultdict(lambda: defaultdict(float))
    for (text, position, sample), found in held.items():
        for k in range(0 if samples > 1 else 1, reach + 1):
            later = held.get((text, position + k, (sample + (k == 0)) % samples))
            if later is None:
                continue
            for kind, mine in found.items():
                if not mine:
                    continue
                _add(
                    sums[text, kind, k],
                    len(mine & later[kind]) / len(mine),
                    totals.share(mine, kind, text, None, position + k),
                    totals.share(mine, kind, text, family[text], position + k),
                )
    return _records(sums, family)


def vectors_kept(
    keys: Sequence[tuple[str, str, int]], vectors: Float[np.ndarray, "n d"], reach: int
) -> list[dict[str, Any]]:
    """The same for the vectors at (text, family, position): cosines k positions apart, the mean of all taken off."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    at = {(text, position): row for row, (text, _, position) in enumerate(keys)}
    groups: dict[tuple[str | None, int], list[int]] = defaultdict(list)
    for row, (_, kin, position) in enumerate(keys):
        groups[None, position].append(row)
        groups[kin, position].append(row)
    total = {group: unit[rows].sum(axis=0) for group, rows in groups.items()}
    sums: Sums = defaultdict(lambda: defaultdict(float))
    for row, (text, kin, position) in enumerate(keys):
        for k in range(1, reach + 1):
            later = at.get((text, position + k))
            if later is None:
                continue
            levels = []
            for group in ((None, position + k), (kin, position + k)):
                others = len(groups[group]) - 1
                levels.append(float(unit[row] @ (total[group] - unit[later])) / others if others else float("nan"))
            _add(sums[text, VECTOR, k], float(unit[row] @ unit[later]), *levels)
    return _records(sums, {text: kin for text, kin, _ in keys})


def kept(records: Sequence[Mapping[str, Any]], of: str = "kept", seed: int = 0) -> Estimate:
    """The mean of `of` over all positions of these records (one kind, one k); texts are what is resampled."""
    sums, counts = _column(records, of), _column(records, f"n_{of}")
    return _estimate(records, of, lambda w: _ratio(w @ sums, w @ counts), seed)


def above(records: Sequence[Mapping[str, Any]], of: str = "chance", seed: int = 0) -> Estimate:
    """The share kept less a chance level, over the positions that have one."""
    more, counts = _column(records, f"own_{of}") - _column(records, of), _column(records, f"n_{of}")
    return _estimate(records, of, lambda w: _ratio(w @ more, w @ counts), seed)


def half_life(records: Sequence[Mapping[str, Any]], reach: int, seed: int = 0) -> Estimate:
    """The distance at which what is kept beyond chance (other texts) is half of what it is one token on (one kind).

    Between whole distances it is interpolated; `reach` where it stays above half, and the bounds are cut there too. NaN
    where nothing is known to be kept beyond chance one token on.
    """
    if above([record for record in records if record["k"] == 1], seed=seed).sign < 1:
        return Estimate(float("nan"), float("nan"), float("nan"), 0, 0)
    texts = sorted({record["id"] for record in records})
    row = {text: i for i, text in enumerate(texts)}
    shape = (len(texts), reach + 1)
    held = {name: np.zeros(shape) for name in ("own_chance", "chance", "n_chance")}
    for record in records:
        for name, values in held.items():
            values[row[record["id"]], record["k"]] += record[name]

    def of(w: np.ndarray) -> float:
        with np.errstate(invalid="ignore", divide="ignore"):
            beyond = (w @ (held["own_chance"] - held["chance"])) / (w @ held["n_chance"])
        return _halved(beyond[1:])

    return replace(estimate(of, texts, seed=seed), n=int(held["n_chance"].sum()))


class _Totals:
    """How many explanations at a position hold a claim: of all texts, of a family, and of one text to leave out."""

    def __init__(self) -> None:
        self._claims: dict[Any, Counter[tuple[str, str]]] = defaultdict(Counter)
        self._n: Counter[Any] = Counter()

    def count(self, text: str, family: str, position: int, found: Mapping[str, frozenset[str]]) -> None:
        for group in ((None, position), (("family", family), position), (("text", text), position)):
            self._n[group] += 1
            self._claims[group].update((kind, claim) for kind, some in found.items() for claim in some)

    def share(self, mine: frozenset[str], kind: str, text: str, family: str | None, position: int) -> float:
        """The share of these claims in an average explanation of another text, of `family` if one is given."""
        group = (None if family is None else ("family", family), position)
        own = (("text", text), position)
        n = self._n[group] - self._n[own]
        if not n:
            return float("nan")
        held = sum(self._claims[group][kind, claim] - self._claims[own][kind, claim] for claim in mine)
        return held / (n * len(mine))


def _add(sums: defaultdict[str, float], own: float, chance: float, kin: float) -> None:
    sums["kept"] += own
    sums["n_kept"] += 1
    for name, level in (("chance", chance), ("kin", kin)):
        if np.isfinite(level):
            sums[name] += level
            sums[f"own_{name}"] += own
            sums[f"n_{name}"] += 1


def _records(sums: Sums, family: Mapping[str, str]) -> list[dict[str, Any]]:
    names = ("kept", "chance", "kin", "own_chance", "own_kin", "n_kept", "n_chance", "n_kin")
    return [
        {"id": text, "family": family[text], "claim": kind, "k": k} | {name: held[name] for name in names}
        for (text, kind, k), held in sums.items()
    ]


def _halved(curve: np.ndarray) -> float:
    """Where a curve over 1, 2, 3 … first reaches half of its start; its last place where it does not."""
    if not (np.isfinite(curve).all() and curve[0] > 0):
        return float("nan")
    half = curve[0] / 2
    below = np.flatnonzero(curve <= half)
    if not len(below):
        return float(len(curve))
    i = int(below[0])
    return i + float((curve[i - 1] - half) / (curve[i - 1] - curve[i]))


def _estimate(records: Sequence[Mapping[str, Any]], of: str, statistic: Statistic, seed: int) -> Estimate:
    found = estimate(statistic, [record["id"] for record in records], seed=seed)
    return replace(found, n=int(sum(record[f"n_{of}"] for record in records)))


def _column(records: Sequence[Mapping[str, Any]], name: str) -> np.ndarray:
    return np.array([record[name] for record in records], dtype=np.float64)


def _ratio(a: Any, b: Any) -> float:
    return float(a / b) if b else float("nan")
