"""Evaluation of retrieval: the activation picked among 10 by its reconstruction, also among those of one last token."""

from collections.abc import Iterator

import numpy as np
import torch

from thinkaloud.evals.base import Bench, Evaluation, Measured, Row
from thinkaloud.evals.explained import evaluation
from thinkaloud.stats import contrast

OTHERS = 9  # activations of other documents beside its own
OF = {"any": "any of other documents", "token": "of other documents, the same last token"}
NONE = {
    "any": "needs activations of 2 documents or more, found one",
    "token": "no two documents have an activation of the same last token",
}


@evaluation("retrieval")
class Retrieval(Evaluation):
    """Retrieval: the activation picked among ten by what the words rebuild"""

    source = (
        "Asked for beside FVE in public discussion of Fraser-Taliente, Kantamneni, Ong et al., Transformer Circuits, "
        "May 2026; candidates of the same last token are ours, as most of a vector follows from its last tokens."
    )
    metric = (
        "The activation is picked whose cosine with the reconstruction is highest, among its own and 9 of other "
        "documents, drawn by the seed; where fewer have the same last token, among fewer. Chance is the mean of "
        "1 ∕ candidates; ties count in part, and a failed explanation picks by chance. The margin is the cosine with "
        "its own less that with the best other."
    )
    limits = (
        "That the words are right about what they name: any difference between the activations will do. Among ten of a "
        "whole corpus the last token alone tells most apart; the second row is the harder question."
    )

    def measure(self, bench: Bench) -> list[dict[str, object]]:
        """A row for each set of candidates and activation: `set`, `row`, `candidates`, `picked`, `own`, `best`."""
        unit = torch.nn.functional.normalize(bench.vectors.float(), dim=-1).numpy()
        rebuilt = torch.nn.functional.normalize(bench.rebuilt.float(), dim=-1).numpy()
        docs = np.unique(np.asarray(bench.docs, dtype=str), return_inverse=True)[1]
        tokens = np.unique(np.asarray(bench.data.column("token"), dtype=str), return_inverse=True)[1]
        rng = np.random.default_rng(bench.seed)
        made: list[dict[str, object]] = []
        for row in range(len(unit)):
            other = docs != docs[row]
            for of, among in {"any": other, "token": other & (tokens == tokens[row])}.items():
                there = np.flatnonzero(among)
                if len(there):
                    chosen = rng.choice(there, min(OTHERS, len(there)), replace=False)
                    own, others = float(rebuilt[row] @ unit[row]), unit[chosen] @ rebuilt[row]
                    best, tied = float(others.max()), int(np.isclose(others, own, atol=1e-6).sum())
                    picked = 1 / (1 + tied) if own > best - 1e-6 else 0.0
                    found = {"set": of, "row": row, "candidates": 1 + len(chosen), "picked": picked}
                    made.append({**found, "own": own, "best": best})
        return made

    def rows(self, found: Measured) -> Iterator[Row]:
        parts = {of: found.own[found.own["set"] == of] if len(found.own) else found.own for of in OF}
        nothing = {"note": None} if any(part.empty for part in parts.values()) else {}
        for of, name in OF.items():
            part = parts[of]
            if part.empty:
                yield {"candidates": name}, {"picked": None, "note": f"not to be had: {NONE[of]}"}
                continue
            docs, chance = found.doc_of(part["row"]), 1 / part["candidates"].to_numpy()
            yield (
                {"candidates": name},
                {
                    "picked": found.share(part["picked"], docs),
                    "chance": float(chance.mean()),
                    "above chance": found.estimate(contrast(part["picked"].to_numpy() - chance), docs),
                    "margin": found.share(part["own"] - part["best"], docs),
                    "explanations": len(part),
                    "with all ten": int((part["candidates"] == 1 + OTHERS).sum()),
                    **nothing,
                },
            )
