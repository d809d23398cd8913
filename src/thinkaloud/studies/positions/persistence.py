"""Persistence of claims and vectors k positions on, against other texts.

The share of a position's claims that stand k positions on, and by chance: how often another text's explanation at that
distance from its own start holds them. Everything is summed by text, as whole texts are resampled.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy import sparse

from thinkaloud.stats import Statistic, weighted
from thinkaloud.studies.positions.claims import KINDS, claims

VECTOR = "vector (cosine)"
CURVES = (*KINDS, VECTOR)

Records = Sequence[Mapping[str, Any]]


def claims_kept(said: Records, reach: int) -> list[dict[str, Any]]:
    """For each text, kind of claim and distance k: sums over its positions of the share kept and of its chance level.

    kept     the share of a position's claims of a kind that the same text's explanation k positions on holds
    chance   that share, on average over the explanations of other texts at that position

    `n_kept` and `n_chance` count the positions summed: those with a claim of the kind, and with something to compare;
    `own_chance` is `kept` summed over the same positions as `chance`.
    """
    from sklearn.preprocessing import MultiLabelBinarizer

    found, out = [claims(one["text"]) for one in said], []
    for kind in KINDS:
        sets = [one[kind] for one in found]
        if any(sets):
            held = sparse.csr_array(MultiLabelBinarizer(sparse_output=True).fit_transform(sets), dtype=np.float64)
            out += _summed(said, kind, held, held.sum(axis=1), reach)
    return out


def vectors_kept(places: Records, vectors: Float[np.ndarray, "n d"], reach: int) -> list[dict[str, Any]]:
    """The same for the vectors at some places: cosines k positions apart, the mean of all taken off."""
    centred = vectors.astype(np.float64) - vectors.mean(axis=0, dtype=np.float64)
    unit = centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)
    return _summed(places, VECTOR, unit, np.ones(len(unit)), reach)


def _summed(said: Records, claim: str, held: Any, sizes: np.ndarray, reach: int) -> list[dict[str, Any]]:
    """Sums by text and distance of products of rows of `held`, over the first one's size, and of their chance level.

    What is of one row is n × c, dense or sparse. A row of size 0 claims nothing and is compared with none.
    """
    at = pd.DataFrame([{key: one[key] for key in ("id", "family", "position")} for one in said])
    at["row"] = np.arange(len(at))
    group = at.groupby("position").ngroup().to_numpy()
    total, n = sparse.csr_array((np.ones(len(at)), (group, at["row"]))) @ held, np.bincount(group)
    out = []
    for k in range(1, reach + 1):
        pairs = at.merge(at.assign(position=at["position"] - k), on=["id", "family", "position"])
        pairs = pairs[sizes[pairs["row_x"]] > 0]
        first, later = pairs["row_x"].to_numpy(), pairs["row_y"].to_numpy()
        own = (held[first] * held[later]).sum(axis=1) / sizes[first]
        others = n[group[later]] - 1
        theirs = (held[first] * total[group[later]]).sum(axis=1) / sizes[first] - own
        sums = {"kept": own, "n_kept": np.ones(len(own)), "chance": theirs / np.maximum(others, 1)}
        sums |= {"own_chance": np.where(others, own, 0), "n_chance": (others > 0).astype(float)}
        texts = pairs.assign(**sums).groupby(["id", "family"], sort=False)[list(sums)].sum()
        out += texts.reset_index().assign(claim=claim, k=k).to_dict("records")
    return out


def kept(records: pd.DataFrame, of: str = "kept") -> Statistic:
    """The mean of `of` over all positions of these records (one kind, one k)."""
    return weighted(records[of], records[f"n_{of}"])


def above(records: pd.DataFrame) -> Statistic:
    """The share kept less its chance level, over the positions that have one."""
    return weighted(records["own_chance"] - records["chance"], records["n_chance"])
