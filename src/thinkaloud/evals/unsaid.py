"""Evaluation: what M holds and the text does not say, and the rate of false claims at which an explanation names it."""

from collections.abc import Iterator

import numpy as np

from thinkaloud.evals.base import Bench, Evaluation, Figure, Measured, Records, Row
from thinkaloud.evals.explained import evaluation
from thinkaloud.evals.marks import known, marked
from thinkaloud.evals.readers import LENS, others, readers
from thinkaloud.stats import Estimate


@evaluation("unsaid")
class Unsaid(Evaluation):
    """What M holds and the text does not say: how much of it is named, at which rate of false claims"""

    suite = "truth"
    source = "Ours; after the logit lens (nostalgebraist, 2020) and linear probes (Alain and Bengio, 2016)."
    metric = (
        "Of the positions where M's likeliest next token begins, or goes on with, a word that is not in the text up to "
        "there (nor is one that begins so): the share at which the first named next token is that token (recall at 1), "
        "any named one is (any named), and the first is where the word is a whole one and no function word (content "
        "words). False claims are the share of all checkable claims that are neither right by the rules of the writer "
        "or by M's own next tokens, nor stand in the text or among M's first five. The probe, fitted on the vectors of "
        "other documents, knows the commonest next tokens alone and claims nothing else, as a logit lens does not."
    )
    limits = (
        "What M holds beyond its next token. The rules are those that the warm start's texts were written by: claims "
        "in other words are not read, and count neither as right nor as false. Where the false claims of two differ, "
        "so do the kinds of claims that they make: the table of claims says of which."
    )
    figure = Figure("who", ("recall at 1", "false claims"))

    def measure(self, bench: Bench) -> Records:
        known(bench.contexts)
        return others(bench, ["next"])

    def rows(self, found: Measured) -> Iterator[Row]:
        contexts = found.contexts
        of, docs = known(contexts), np.asarray(found.docs, dtype=object)
        says = readers(found, contexts)
        table = marked(says, of, found.docs)
        table = table[(table["by"] != LENS) | (table["kind"] != "token")]
        named = table[table["kind"] == "next"]
        for by, claims in says.items():
            mine, rows = named[named["by"] == by], np.array([row for row in claims if of[row].unsaid], dtype=int)
            best = {row: next(iter(of[row].next)).casefold() for row in rows}
            hits = [value.casefold() == best.get(row) for row, value in zip(mine["row"], mine["value"], strict=True)]
            first, every = set(mine["row"][np.array(hits, dtype=bool) & mine["first"]]), set(mine["row"][hits])
            content = np.array([row for row in rows if of[row].content], dtype=int)

            def share(rows: np.ndarray, hit: set[int]) -> Estimate | None:
                return found.share(np.isin(rows, list(hit)), docs[rows]) if len(rows) else None

            checked = table[(table["by"] == by) & table["right"].notna()]
            yield (
                {"who": by},
                {
                    "recall at 1": share(rows, first),
                    "any named": share(rows, every),
                    "content words": share(content, first),
                    "positions": len(rows),
                    "false claims": found.share(checked["false"], checked["doc"]) if len(checked) else None,
                    "claims": len(checked),
                },
            )
