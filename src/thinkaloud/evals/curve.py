"""Evaluation of how reconstruction grows with the words: FVE of the first tokens of an explanation."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from thinkaloud.evals.base import Bench, Evaluation, Figure, Measured, Row, by_variant
from thinkaloud.evals.explained import evaluation

FIRST = (8, 16, 24, 32, 48, 64)  # tokens
EACH = 4  # one explanation of so many
ALL = "all"


@evaluation("curve")
class Curve(Evaluation):
    """Words buy direction: FVE of the first tokens of the explanations"""

    source = "Fraser-Taliente, Kantamneni, Ong et al., Transformer Circuits, May 2026 (parts of explanations)."
    metric = (
        f"Every {EACH}th explanation that did not fail is cut behind its first k tokens, at the end of a word, and "
        "read by the AR; one that is no longer than that stays whole. Cut is the share that is cut."
    )
    limits = (
        "The AR was trained on whole explanations: a half one may say more to a reader than to it. What stands last "
        "(the final token, in explanations by rule) counts at the end of the curve, whatever it is worth."
    )
    figure = Figure("first tokens", ("FVE",), {"kind": "lines"})

    def measure(self, bench: Bench) -> list[dict[str, Any]]:
        rows = np.flatnonzero(bench.valid)[::EACH].tolist()
        whole, made = {row: bench.texts[row] for row in rows}, []
        for k in FIRST:
            first = {row: first_tokens(text, k, bench.nla.tokenizer) for row, text in whole.items()}
            made += [{**one, "cut": one["text"] != whole[one["row"]]} for one in bench.variant(str(k), first)]
        return made + [{**one, "cut": False} for one in bench.variant(ALL, whole)]

    def rows(self, found: Measured) -> Iterator[Row]:
        if found.own.empty:
            note = "not to be had: no explanation closes and can be read"
            yield {"first tokens": ALL}, {"FVE": None, "note": note}
        for labels, quantities in by_variant(found, "first tokens"):
            cut = found.own[found.own["variant"] == labels["first tokens"]]["cut"]
            yield labels, {**quantities, "cut": f"{cut.mean():.0%}"}


def first_tokens(text: str, k: int, tokenizer: Any) -> str:
    """The first `k` tokens of a text, without the last word where they end inside it; all of a shorter text."""
    ends = [end for _, end in tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]]
    if len(ends) <= k:
        return text
    end = ends[k - 1]
    while 0 < end < len(text) and text[end - 1].isalnum() and text[end].isalnum():
        end -= 1
    return text[:end].rstrip()
