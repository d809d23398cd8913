"""Evaluation of the tail: how much of an activation follows from the last tokens alone."""

from collections.abc import Iterator
from typing import Any

import torch

from thinkaloud.evals.base import Bench, Evaluation, Figure, Measured, Records, Row
from thinkaloud.evals.beyond_tail import tail_text, tail_vectors
from thinkaloud.evals.explained import evaluation

KEPT = (1, 2, 4, 8, 16, 32)
ROWS = 500
CUT, READ, WORDS = "M's own vector of the tail", "AR that reads the tail's text", "explanation"


@evaluation("tail")
class TailAlone(Evaluation):
    """The tail: how much of a vector follows from the last tokens alone"""

    source = "Text inversion baselines asked for by readers of Fraser-Taliente, Kantamneni, Ong et al., May 2026."
    metric = (
        "FVE of M's own vector with all of the text but the first token and the last k cut away, against the "
        "real one; of an AR trained on the last k tokens' text as the explanation, where one is given "
        "(--tail-ar); and of the explanations of the same positions. Positions at least twice as far into the "
        "text as tokens are kept."
    )
    limits = (
        "A vector of cut text is no bound on what the tail tells: it is off its own distribution at small k. "
        f"tail_gain says what the words hold beyond it. At most {ROWS} positions for each k, so the rows differ "
        "between ks."
    )
    figure = Figure("tokens kept", ("FVE",), {"by": "from", "kind": "lines"})

    def measure(self, bench: Bench) -> Records:
        made: list[dict[str, Any]] = []
        for k in sorted({*KEPT, *bench.tails}):
            bench.watch("tail", k, max(KEPT))
            rows = [int(row) for row in bench.reread.rows if len(bench.reread.ids[row]) > 2 * k][: len(bench.data)]
            rows = rows[:: -(-len(rows) // ROWS) or 1]
            if not rows:
                continue
            target = bench.vectors[torch.tensor(rows)]
            contexts = [bench.reread.ids[row] for row in rows]
            found = {CUT: tail_vectors(bench.nla.model, bench.nla.site, contexts, k)}
            if k in bench.tails:
                texts = bench.data.column("text")
                said = [tail_text(bench.nla.model_tokenizer, texts[row], k) for row in rows]
                found[READ] = bench.tails[k].reconstruct(said).cpu()
            for name, pred in found.items():
                errors = bench.error(pred, target).tolist()
                made += [{"from": name, "k": k, "row": row, "mse": mse} for row, mse in zip(rows, errors, strict=True)]
        return made

    def rows(self, found: Measured) -> Iterator[Row]:
        if found.own.empty:
            return
        whole = found.greedy["mse"].to_numpy()
        for (name, k), part in found.own.groupby(["from", "k"], sort=False):
            yield _row(found, name, k, part["row"], part["mse"])
        for k, part in found.own[found.own["from"] == CUT].groupby("k"):
            yield _row(found, WORDS, k, part["row"], whole[part["row"]])


def _row(found: Measured, name: Any, k: Any, rows: Any, mse: Any) -> Row:
    docs = found.doc_of(rows)
    return {"from": name, "tokens kept": int(k)}, {"FVE": found.fve(mse, docs), "positions": len(rows)}
