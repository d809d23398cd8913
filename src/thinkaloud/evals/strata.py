"""Evaluation of reconstruction by kind of text, position, token class and norm; greedy, sampled, best of several."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pandas as pd

from thinkaloud.evals.base import Evaluation, Figure, Measured, Row
from thinkaloud.evals.explained import evaluation

BINS = (0, 4, 16, 64, 256, 1024)  # first positions of each stratum
FEW = 8  # rows below which a stratum is not shown


@evaluation("reconstruction")
class Reconstruction(Evaluation):
    """Reconstruction: FVE of the greedy explanations, by what is read, and of sampled ones"""

    source = "Fraser-Taliente, Kantamneni, Ong et al., Transformer Circuits, May 2026."
    metric = (
        "FVE is 1 − mean direction MSE ∕ V, where V is the error of always answering the mean direction; a failed "
        "explanation (one that does not close, or that the AR cannot read) counts with MSE 2. Best of n takes, for "
        "each activation, the sample that the AR rebuilds best."
    )
    limits = (
        "That the words are true, or that another reader would rebuild the vector from them. Best of n chooses by the "
        "answer, so it is a bound and no score. First and special tokens have odd vectors and a row of their own."
    )
    figure = Figure("of", ("FVE",), {"panel": "by", "size": (7.6, 5.6)})

    def rows(self, found: Measured) -> Iterator[Row]:
        greedy = found.greedy
        ordinary = greedy[~greedy["special"].astype(bool) & (greedy["position"] > 3)]
        for label, part in (("all", greedy), ("no first or special ones", ordinary)):
            yield {"by": "whole", "of": label}, self._line(found, part)
        for by, column in self._strata(greedy).items():
            for of, part in greedy.groupby(column, sort=True, observed=True):
                if len(part) >= FEW:
                    yield {"by": by, "of": str(of)}, self._line(found, part)
        yield from self._sampled(found)

    def _line(self, found: Measured, part: pd.DataFrame) -> dict[str, object]:
        docs = part["doc_id"]
        return {
            "FVE": found.fve(part["mse"], docs),
            "cosine": found.share(part["cos"], docs),
            "failed": found.share(~part["valid"].astype(bool), docs),
            "explanations": len(part),
            "documents": docs.nunique(),
        }

    def _strata(self, greedy: pd.DataFrame) -> dict[str, pd.Series]:
        bounds = [*BINS, np.inf]
        names = [f"{a} to {b - 1}" if np.isfinite(b) else f"from {a}" for a, b in pairwise(bounds)]
        quarters = pd.qcut(greedy["norm"].rank(method="first"), 4, labels=["lowest", "second", "third", "highest"])
        return {
            "kind of text": greedy["kind"],
            "position": pd.cut(greedy["position"], bounds, right=False, labels=names),
            "token class": greedy["class"],
            "norm, in quarters": quarters,
        }

    def _sampled(self, found: Measured) -> Iterator[Row]:
        sampled = found.explanations[found.explanations["sample"] > 0]
        if sampled.empty:
            return
        yield {"by": "sampled, temperature 1", "of": "each"}, self._line(found, sampled)
        best = sampled.loc[sampled.groupby("row")["mse"].idxmin()]
        yield {"by": "sampled, temperature 1", "of": f"best of {sampled['sample'].max()}"}, self._line(found, best)
        same = found.greedy[found.greedy["row"].isin(sampled["row"])]
        yield {"by": "sampled, temperature 1", "of": "greedy, the same"}, self._line(found, same)
