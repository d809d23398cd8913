"""Evaluation: whether the words of confidence before a next token are as true as they say."""

from collections.abc import Iterator

import numpy as np

from thinkaloud.evals.base import Bench, Evaluation, Figure, Measured, Records, Row
from thinkaloud.evals.explained import evaluation
from thinkaloud.evals.marks import known
from thinkaloud.stats import contrast
from thinkaloud.writers.claims import CERTAINTY, by_kind, parse


@evaluation("calibration")
class Calibration(Evaluation):
    """Words of confidence: how often the named next token is M's likeliest, and what probability M gives it"""

    suite = "truth"
    source = "Ours; calibration in words after Lin, Hilton and Evans (2022)."
    metric = (
        "Of the explanations that put a word of confidence before their first next token: the share of which M finds "
        "this token likeliest, and M's mean probability of it. Over its band is that mean less the nearest bound of "
        "the band that the writer means by the word, 0 within it: below 0 a word promises more than M does."
    )
    limits = "Of a token that is not among those kept of M's, the probability counts as 0, which is less than it is."
    figure = Figure("word", ("M's probability", "likeliest"))

    def measure(self, bench: Bench) -> Records:
        known(bench.contexts)
        return ()

    def rows(self, found: Measured) -> Iterator[Row]:
        of, docs = known(found.contexts), np.asarray(found.docs, dtype=object)
        said = [by_kind(parse(text)) for text in found.greedy["explanation"]]
        upper = 1.0
        for lower, word in CERTAINTY:
            rows = [i for i, one in enumerate(said) if one.get("certainty") == word and "next" in one and of[i].next]
            if rows:
                p = np.array([of[i].next.get(said[i]["next"], 0.0) for i in rows])
                best = [next(iter(of[i].next)).casefold() == said[i]["next"].casefold() for i in rows]
                mean = float(p.mean())
                beyond = p - (lower if mean < lower else upper if mean > upper else mean)
                within = lower <= mean <= upper
                yield (
                    {"word": word},
                    {
                        "said": found.share(np.isin(np.arange(len(docs)), rows), docs),
                        "it means": f"{lower:g} to {upper:g}",
                        "M's probability": found.share(p, docs[rows]),
                        "over its band": "0" if within else found.estimate(contrast(beyond), docs[rows]),
                        "likeliest": found.share(best, docs[rows]),
                        "explanations": len(rows),
                    },
                )
            upper = lower
