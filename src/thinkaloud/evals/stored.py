"""Evaluation of stored vectors: whether M gives them again for their texts, and what another model gives."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from thinkaloud import families
from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.evals.base import Bench, Evaluation, Measured, Records, Row
from thinkaloud.evals.explained import evaluation
from thinkaloud.evals.rereading import last_vectors
from thinkaloud.loading import load_causal_lm
from thinkaloud.pair.scores import cosine
from thinkaloud.stats import mean

ROWS = 64  # explained, of another model


@evaluation("stored")
class Stored(Evaluation):
    """Live against stored: the same texts read again, by M and by a fine-tune of it"""

    source = "Ours: does what is read today equal what was stored?"
    metric = (
        "Cosine of the vector that the model gives today for the text up to a position with the stored one, and "
        "the share above 0.999. Of another model (--other), its vectors are explained too: FVE against its own "
        "vectors (V of those), and against M's stored ones."
    )
    limits = (
        "Stored vectors are rounded to bfloat16, which alone leaves a cosine above 0.9999. A decoded text that "
        "does not tokenise to the same tokens again (cut within a character, a chat) is counted apart, and left "
        "out."
    )

    def measure(self, bench: Bench) -> Records:
        again = bench.reread
        made: list[dict[str, Any]] = [
            {
                "model": "M",
                "row": row,
                "cos": None if np.isnan(cos) else float(cos),
                "v": None,
                "mse": None,
                "mse_m": None,
            }
            for row, cos in enumerate(again.cos)
        ]
        return made + (self._other(bench) if bench.other else [])

    def _other(self, bench: Bench) -> list[dict[str, Any]]:
        nla, rows = bench.nla, bench.reread.some(ROWS)
        model = load_causal_lm(str(bench.other), str(nla.reconstructor.device))
        if (width := families.d_model(model)) != (wanted := nla.reconstructor.contract.d_model):
            raise UserError(
                f"--other {bench.other} is {width} wide, the pair reads {wanted}: give a fine-tune of its model"
            )
        vectors = last_vectors(model, nla.site, [bench.reread.ids[row] for row in rows])
        stored = bench.vectors[torch.from_numpy(rows)]
        said = [one[0] for one in bench.explain(vectors, str(bench.other))]
        v = Baseline.of(vectors.numpy(), [bench.docs[row] for row in rows], str(bench.other)).v
        pred = bench.reconstruct([one.text if one.finish == "closed" else "" for one in said])
        columns = (rows, cosine(vectors, stored), bench.error(pred, vectors), bench.error(pred, stored))
        return [
            {"model": str(bench.other), "row": row, "cos": cos, "v": v, "mse": own, "mse_m": of_m}
            for row, cos, own, of_m in zip(*(column.tolist() for column in columns), strict=True)
        ]

    def rows(self, found: Measured) -> Iterator[Row]:
        for name, part in found.own.groupby("model", sort=False):
            known = part[part["cos"].notna()]
            docs = found.doc_of(known["row"])
            quantities: dict[str, Any] = {
                "share above 0.999": found.share(known["cos"] > 0.999, docs),
                "cosine": found.share(known["cos"], docs),
                "read again": len(known),
                "not tokenised alike": len(part) - len(known),
            }
            v = known["v"].astype(float)
            quantities["FVE, its own vectors"] = (
                found.estimate(mean(1 - known["mse"].astype(float) / v.where(v > 0)), docs) if v.notna().any() else None
            )
            quantities["FVE, M's vectors"] = found.fve(known["mse_m"], docs) if v.notna().any() else None
            yield {"read by": name}, quantities
