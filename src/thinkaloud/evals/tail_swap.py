"""Evaluation of swapped beginnings: whether explanations follow the vector where the last tokens stay the same."""

import re
from collections.abc import Iterator

import numpy as np
import torch

from thinkaloud.errors import UserError
from thinkaloud.evals.base import Bench, Evaluation, Measured, Records, Row
from thinkaloud.evals.controls import foreign_rows
from thinkaloud.evals.explained import evaluation
from thinkaloud.evals.rereading import last_vectors

KEPT = 16
BEFORE = 8  # tokens that a beginning has at least
ROWS = 128


@evaluation("tail_swap")
class TailSwap(Evaluation):
    """Another beginning: the same last tokens behind another document's beginning"""

    source = "Ours: does the text follow the vector or the tail?"
    metric = (
        f"The last {KEPT} tokens of a text stand behind the beginning of another of its kind, M reads it, and the "
        "vector is explained anew. FVE of the new explanation against the new vector and against the original "
        "one: an explanation of the tail alone scores the same. Follows: the share of new explanations nearer to "
        "the new vector. Words in common: of both explanations' different words, the share that both have. "
        "Moved: direction MSE between the two vectors ∕ V; the quarter that moves most has its own row."
    )
    limits = (
        "That the new beginning is one the tail could follow: what M holds of such a text may be odd. It is of "
        f"{ROWS} positions at most, with {BEFORE} tokens or more before the tail."
    )

    def measure(self, bench: Bench) -> Records:
        again, nla = bench.reread, bench.nla
        rows, begins = self._pairs(bench)
        rows, begins = rows[:: max(1, -(-len(rows) // ROWS))], begins[:: max(1, -(-len(rows) // ROWS))]
        vectors = last_vectors(
            nla.model, nla.site, [swapped(again.ids[a], again.ids[b]) for a, b in zip(rows, begins, strict=True)]
        )
        target = bench.vectors[torch.tensor(rows)]
        said = [one[0] for one in bench.explain(vectors, "other beginnings")]
        new = bench.reconstruct([one.text if one.finish == "closed" else "" for one in said])
        old = bench.reconstruct([bench.texts[row] if bench.valid[row] else "" for row in rows])
        columns = {
            "row": rows,
            "explanation": [one.text for one in said],
            "moved": bench.error(vectors, target).tolist(),
            "new_new": bench.error(new, vectors).tolist(),
            "new_old": bench.error(new, target).tolist(),
            "old_new": bench.error(old, vectors).tolist(),
            "common": [in_common(one.text, bench.texts[row]) for one, row in zip(said, rows, strict=True)],
        }
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]

    def rows(self, found: Measured) -> Iterator[Row]:
        if found.own.empty:
            return
        own = found.own.assign(old_old=found.greedy["mse"].to_numpy()[found.own["row"]])
        most = own["moved"] >= own["moved"].quantile(0.75)
        for name, part in (("all", own), ("the beginning matters: the quarter that moves most", own[most])):
            docs, v = found.doc_of(part["row"]), found.baseline.v or np.nan
            follows = np.sign(part["new_old"] - part["new_new"]) / 2 + 0.5
            yield (
                {"positions": name},
                {
                    "moved": found.share(part["moved"] / v, docs),
                    "FVE, new words, new vector": found.fve(part["new_new"], docs),
                    "FVE, new words, original vector": found.fve(part["new_old"], docs),
                    "FVE, original words, new vector": found.fve(part["old_new"], docs),
                    "FVE, original words, original vector": found.fve(part["old_old"], docs),
                    "follows": found.share(follows, docs),
                    "words in common": found.share(part["common"], docs),
                    "explanations": len(part),
                },
            )

    def _pairs(self, bench: Bench) -> tuple[list[int], list[int]]:
        """Rows, and for each one of another document of its kind whose beginning it gets."""
        again = bench.reread
        chats = bench.data.column("chat")
        rows, begins = list[int](), list[int]()
        for kind in (False, True):
            own = [int(row) for row in again.rows if bool(chats[row]) == kind and len(again.ids[row]) >= KEPT + BEFORE]
            if len({str(bench.docs[row]) for row in own}) > 1:
                rows += own
                begins += [own[i] for i in foreign_rows([bench.docs[row] for row in own], bench.seed)]
        if not rows:
            raise UserError(
                f"another beginning needs 2 documents of a kind with {KEPT + BEFORE} tokens before a position, found "
                "fewer: give longer texts"
            )
        return rows, begins


def swapped(ids: list[int], begins: list[int]) -> list[int]:
    """The last tokens of `ids` behind the beginning of another text, which is no longer than the one it replaces."""
    room = len(ids) - KEPT
    return [*begins[:-KEPT][:room], *ids[-KEPT:]]


def in_common(one: str, other: str) -> float:
    """The share of the different words of two texts that both have."""
    a, b = (set(re.findall(r"\w+", text.lower())) for text in (one, other))
    return len(a & b) / len(a | b) if a | b else 1.0
