"""Evaluation of what the words add to the tail: FVE gained over the last tokens, by part of the explanation."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from thinkaloud.errors import UserError
from thinkaloud.evals.base import Bench, Evaluation, Figure, Measured, Records, Row
from thinkaloud.evals.beyond_tail import exchanged, residuals, tail_text, tail_vectors, without
from thinkaloud.evals.controls import foreign_rows
from thinkaloud.evals.explained import evaluation

TAILS = (8, 16)
ROWS = 400
PARTS = 6
ALL, OTHERS = "the whole explanation", "another document's explanation"


@evaluation("tail_gain")
class TailGain(Evaluation):
    """FVE gained over the tail: what the words say that the last tokens do not"""

    source = "Ours, after the text inversion baselines that readers of the paper asked for: to quote beside FVE."
    metric = (
        "1 − MSE(words and tail) ∕ MSE(tail). The tail is M's own vector with all but the first token and the "
        "last k cut away (of an AR trained on their text, where --tail-ar gives one). Both errors are of "
        "predictions of the vector's direction, a multiple of each predictor and ridge regression of the rest, "
        "learned on other documents alone: from the tail, and from the tail with the AR's reading of the words. "
        "Another document's explanation has to gain about 0. A line is worth what is lost without it, or with "
        "another document's in its place, which keeps the form."
    )
    limits = (
        "That what is gained is true, or that it is said in so many words: the AR's reading is what counts. A "
        "regression of few documents finds less than there is. Positions at least twice as far into the text as "
        f"tokens are kept, {ROWS} at most."
    )
    figure = Figure("words", ("gained over the tail",), {"panel": "tail", "size": (7.2, 4.8)})

    def measure(self, bench: Bench) -> Records:
        made: list[dict[str, Any]] = []
        for k in TAILS:
            rows = self._rows(bench, k)
            if len(rows):
                contexts = [bench.reread.ids[row] for row in rows]
                tail = tail_vectors(bench.nla.model, bench.nla.site, contexts, k)
                made += self._gains(bench, rows, tail, f"last {k} tokens", parts=k == min(TAILS))
        for k, ar in bench.tails.items():
            rows, texts = self._rows(bench, k), bench.data.column("text")
            if len(rows):
                said = [tail_text(bench.nla.model_tokenizer, texts[row], k) for row in rows]
                made += self._gains(bench, rows, ar.reconstruct(said).cpu(), f"AR of the last {k} tokens")
        if not made:
            raise UserError(
                f"no text reaches beyond {2 * min(TAILS)} tokens in 2 documents: give longer texts to see past the tail"
            )
        return made

    def rows(self, found: Measured) -> Iterator[Row]:
        if found.own.empty:
            return
        for tail, part in found.own.groupby("tail", sort=False):
            whole = part[part["words"] == ALL]
            docs = found.doc_of(whole["row"])
            full = whole["both"].to_numpy()
            for words, own in part.groupby("words", sort=False):
                alone, both = own["alone"].to_numpy(), own["both"].to_numpy()
                lost = None if words in (ALL, OTHERS) else found.saved(alone - (both - full), alone, docs)
                yield {"tail": tail, "words": words}, self._line(found, own, lost)
            # Of several kinds the words may tell which, and no more: each by itself.
            kinds = found.greedy["kind"].to_numpy()[whole["row"].to_numpy(int)]
            for kind in sorted(set(kinds)) if len(set(kinds)) > 1 else ():
                yield {"tail": tail, "words": f"{ALL}, of {kind}s"}, self._line(found, whole[kinds == kind], None)

    def _line(self, found: Measured, own: Any, lost: Any) -> dict[str, Any]:
        alone, both, docs = own["alone"].to_numpy(), own["both"].to_numpy(), found.doc_of(own["row"])
        return {
            "gained over the tail": found.saved(both, alone, docs),
            "lost by that": lost,
            "FVE, tail": found.fve(alone, docs),
            "FVE, words and tail": found.fve(both, docs),
            "FVE, words": found.fve(own["words_alone"], docs),
            "positions": len(own),
        }

    def _rows(self, bench: Bench, k: int) -> np.ndarray:
        """Rows whose beginning is as long as the tail or longer; none where they are all of one document."""
        again = bench.reread
        rows = np.array([row for row in again.rows if len(again.ids[row]) > 2 * k], dtype=int)
        rows = rows[:: max(1, -(-len(rows) // ROWS))]
        return rows if len({str(bench.docs[row]) for row in rows}) > 1 else rows[:0]

    def _gains(
        self, bench: Bench, rows: np.ndarray, tail: torch.Tensor, name: str, parts: bool = False
    ) -> list[dict[str, Any]]:
        target, docs = bench.vectors[torch.from_numpy(rows)], [bench.docs[row] for row in rows]
        texts = [bench.texts[row] for row in rows]
        texts = [text if fits else "" for text, fits in zip(texts, bench.valid[rows], strict=True)]
        others = [texts[i] for i in foreign_rows(docs, bench.seed)]
        said = {ALL: texts, OTHERS: others}
        lines = max((len(text.splitlines()) for text in texts), default=0) if parts else 0
        for i in range(min(PARTS, lines) if lines > 1 else 0):
            said[f"without line {i + 1}"] = without(texts, i)
            said[f"another document's line {i + 1}"] = exchanged(texts, others, i)
        alone = residuals(target, [tail], docs, bench.seed)
        made = []
        for words, some in said.items():
            pred = bench.reconstruct(some, f"{name}: {words}")
            both, own = residuals(target, [tail, pred], docs, bench.seed), residuals(target, [pred], docs, bench.seed)
            made += [
                {"tail": name, "words": words, "row": row, "alone": a, "both": b, "words_alone": w}
                for row, a, b, w in zip(rows.tolist(), alone.tolist(), both.tolist(), own.tolist(), strict=True)
            ]
        return made
