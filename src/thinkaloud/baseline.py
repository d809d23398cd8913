"""V, the variance of the directions: what an explanation has to beat, and the denominator of FVE."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from thinkaloud.errors import UserError


@dataclass(frozen=True)
class Baseline:
    """V, the variance of the directions of a set of vectors, and what it rests on.

    `v` = mean ‖v̂ − mean(v̂)‖² / d over vectors scaled to norm √d; the mean is not rescaled (rescaling it inflates FVE).
    `split` names the vectors, `n` and `n_docs` count them and the documents they come from.

    >>> baseline = Baseline.of(np.eye(4), ["a", "a", "b", "b"], "heldout")
    >>> baseline
    Baseline(v=0.75, n=4, n_docs=2, split='heldout')
    >>> print(baseline)
    V 0.7500 on 4 vectors of 2 documents (heldout)
    """

    v: float
    n: int
    n_docs: int
    split: str

    @classmethod
    def of(cls, vectors: np.ndarray, doc_ids: Iterable[Any], split: str) -> "Baseline":
        """V of `vectors` [n, d]; `doc_ids` names their documents."""
        return cls.of_blocks((vectors[i : i + 16384] for i in range(0, len(vectors), 16384)), doc_ids, split)

    @classmethod
    def of_blocks(cls, blocks: Iterable[np.ndarray], doc_ids: Iterable[Any], split: str) -> "Baseline":
        """V of vectors that come in blocks [n_i, d], in float64 and in one pass: all of them need not be in memory."""
        total: np.ndarray | float = 0.0
        n = 0
        for rows in blocks:
            block = rows.astype(np.float64)
            norms = np.linalg.norm(block, axis=1, keepdims=True)
            if not np.isfinite(norms).all() or (norms == 0).any():
                raise UserError(f"a zero or non-finite vector cannot enter a baseline (split {split!r})")
            total = total + (block / norms).sum(axis=0)
            n += len(block)
        if n == 0:
            raise UserError(f"no vectors to take a baseline from (split {split!r})")
        # Unit vectors u: with v̂ = √d·u, mean‖v̂ − mean v̂‖²/d = mean‖u − ū‖² = 1 − ‖ū‖².
        mean = np.asarray(total) / n
        return cls(float(1.0 - mean @ mean), n, len(set(doc_ids)), split)

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "Baseline":
        try:
            return cls(float(data["v"]), int(data["n"]), int(data["n_docs"]), str(data["split"]))
        except (KeyError, TypeError, ValueError):
            found = ", ".join(f"{key} = {value!r}" for key, value in data.items())
            raise UserError(f"a baseline must hold the numbers v, n, n_docs and a split, found {found}") from None

    def __str__(self) -> str:
        return f"V {self.v:.4f} on {self.n:,} vectors of {self.n_docs:,} documents ({self.split})"
