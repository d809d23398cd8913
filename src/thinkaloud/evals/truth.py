"""Evaluation: claims of explanations by kind, held against rules, M's next tokens, chance, a neighbour and probes."""

from collections.abc import Iterator

import numpy as np
import pandas as pd

from thinkaloud.evals.base import Bench, Evaluation, Figure, Measured, Records, Row
from thinkaloud.evals.explained import evaluation
from thinkaloud.evals.marks import known, marked
from thinkaloud.evals.readers import LENS, NEIGHBOUR, OTHER, PAIR, PROBED, PROBES, others, readers
from thinkaloud.stats import contrast, difference
from thinkaloud.writers.claims import KINDS


@evaluation("truth")
class Truth(Evaluation):
    """Claims by kind: how often each is said, is right, and would be right without the explanation"""

    suite = "truth"
    source = "Ours: claims that can be checked without a judge."
    metric = (
        "A claim is right where the rules of the writer make it too; a name, a question or an opening by the share of "
        "its words, a quotation by the share of its words among the last 24 of the text, a next token where M finds it "
        "likeliest, a certainty where M's probability of the first named token has that word. Precision is how right "
        "claims are; recall how right they are over the contexts of which the writer makes one, 0 where none is made; "
        "false is the share that does not stand in the text either, or among M's first five next tokens. By chance is "
        "the precision of explanations of other documents. Beside them: the recall of the writer's text of the nearest "
        "vector of another document, of a logit lens, and of linear probes fitted on other documents."
    )
    limits = (
        "Recall of the writer is 1 by definition, so the rules are the ceiling. That a rule agrees says that both see "
        "the same signs, not that the kind of text is what a person would call it. A probe knows the 40 commonest "
        "values of a kind that are there five times or more: with few vectors it is a weak one."
    )
    figure = Figure("claim", ("precision", "by chance"))

    def measure(self, bench: Bench) -> Records:
        known(bench.contexts)
        return others(bench)

    def rows(self, found: Measured) -> Iterator[Row]:
        contexts = found.contexts
        of, docs = known(contexts), np.asarray(found.docs, dtype=object)
        says = readers(found, contexts)
        table = marked({by: says[by] for by in (PAIR, OTHER, NEIGHBOUR, LENS, PROBES) if by in says}, of, found.docs)
        first = table[table["first"]]
        for kind in ("chat", *KINDS):
            mine = first[(first["kind"] == kind) & first["by"].isin([PAIR, OTHER]) & first["right"].notna()]
            pair = mine["by"] == PAIR
            told = np.array([i for i, one in enumerate(of) if kind in one.told], dtype=int)
            if not len(told) and not pair.any():
                continue
            recall = {by: _recall(first, by, kind, told) for by in says}
            has = {NEIGHBOUR: NEIGHBOUR in says, LENS: kind in ("next", "token"), PROBES: kind in PROBED}
            line = {
                "said": found.share(np.isin(np.arange(len(docs)), _rows(first, PAIR, kind)), docs),
                "precision": found.share(mine["right"][pair], mine["doc"][pair]) if pair.any() else None,
                "false": found.share(mine["false"][pair], mine["doc"][pair]) if pair.any() else None,
                "by chance": found.share(mine["right"][~pair], mine["doc"][~pair]) if (~pair).any() else None,
                "gain over chance": found.estimate(difference(mine["right"], pair), mine["doc"])
                if pair.any() and (~pair).any()
                else None,
            }
            if len(told):
                line |= {"recall": found.share(recall[PAIR], docs[told]), "contexts": len(told)}
                line |= {f"recall, {by}": found.share(recall[by], docs[told]) for by, has in has.items() if has}
                if has[PROBES]:
                    gain = contrast(recall[PAIR] - recall[PROBES])
                    line["gain over linear probes"] = found.estimate(gain, docs[told])
            yield {"claim": kind}, line


def _rows(first: pd.DataFrame, by: str, kind: str) -> np.ndarray:
    return first["row"][(first["by"] == by) & (first["kind"] == kind)].to_numpy(dtype=int)


def _recall(first: pd.DataFrame, by: str, kind: str, told: np.ndarray) -> np.ndarray:
    """How right a reader's claim is in each context of which the writer makes one; 0 where it makes none."""
    mine = first[(first["by"] == by) & (first["kind"] == kind)].set_index("row")["right"]
    return mine.reindex(told).fillna(0.0).to_numpy(dtype=float)
