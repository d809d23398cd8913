"""Evaluation of corruption: the cost of another fact in an explanation, against that of saying the same otherwise."""

import random
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from thinkaloud.evals.base import Bench, Evaluation, Measured, Row
from thinkaloud.evals.explained import evaluation
from thinkaloud.evals.rewording import FACTS
from thinkaloud.stats import contrast, mean
from thinkaloud.writers.claims import parse

EACH = 4  # one explanation of so many
NAMES = {
    "token": "the last token", "topic": "a topic", "name": "a name", "number": "a number", "quotation": "a quotation",
}  # fmt: skip


@evaluation("corruption")
class Corruption(Evaluation):
    """Facts: what another fact costs, against the same fact in other words"""

    source = (
        "A public audit of the released Qwen2.5-7B pair: corrupting a fact costs 0.0031 of MSE, paraphrasing it 0.0049."
    )
    metric = (
        f"In every {EACH}th explanation that did not fail, one fact at a time is replaced by one that another "
        "document's explanation states; in another copy the phrase at that place is put otherwise. A cost is FVE lost; "
        "Fact costs more is the share of explanations whose direction MSE grows more by the other fact."
    )
    limits = (
        "Only facts in the words of this package's writers are found. A fact may be replaced by one that is as good, "
        "and one that was wrong already costs nothing to change."
    )

    def measure(self, bench: Bench) -> list[dict[str, Any]]:
        """A row for each fact: `row`, `kind`, `corrupted` and `reworded`, both texts with their `mse_…`."""
        rows = np.flatnonzero(bench.valid)[::EACH].tolist()
        facts = {row: _facts(bench.texts[row]) for row in rows}
        made = []
        for row, kind, corrupted, reworded in changes({row: bench.texts[row] for row in rows}, facts, bench):
            made.append({"row": row, "kind": kind, "corrupted": corrupted, "reworded": reworded})
        for which in ("corrupted", "reworded"):
            mse = bench.mse([one[which] for one in made], [one["row"] for one in made], f"facts {which}")
            for one, value in zip(made, mse.tolist(), strict=True):
                one[f"mse_{which}"] = value
        return made

    def rows(self, found: Measured) -> Iterator[Row]:
        if found.own.empty:
            note = "not to be had: no explanation states a fact that one of another document states otherwise"
            yield {"fact": "any"}, {"fact costs more": None, "note": note}
            return
        before = found.greedy["mse"].to_numpy()
        for kind, part in [("any", found.own), *found.own.groupby("kind", sort=False)]:
            docs, own = found.doc_of(part["row"]), before[part["row"].to_numpy(int)]
            changed, said = ((part[f"mse_{which}"].to_numpy() - own) / found.v for which in ("corrupted", "reworded"))
            more = np.where(np.isnan(changed), np.nan, changed > said)
            yield (
                {"fact": NAMES.get(kind, kind)},
                {
                    "cost of another fact": found.estimate(contrast(changed), docs),
                    "cost of other words": found.estimate(contrast(said), docs),
                    "difference": found.estimate(contrast(changed - said), docs),
                    "fact costs more": found.estimate(mean(more), docs),
                    "facts": len(part),
                    "explanations": part["row"].nunique(),
                },
            )


def _facts(text: str) -> dict[str, tuple[str, int, int]]:
    """The first fact of each kind, and the span of its phrase with it, from where another one can be put."""
    out: dict[str, tuple[str, int, int]] = {}
    for claim in parse(text):
        phrase = FACTS.get(claim.kind, ("", ""))[0].format(claim.value)
        start = max(0, claim.span[0] - len(phrase))
        at = text.lower().find(phrase.lower(), start, claim.span[1] + len(phrase)) if phrase else -1
        if at >= 0 and claim.kind not in out:
            out[claim.kind] = claim.value, at, at + len(phrase)
    return out


def changes(
    texts: Mapping[int, str], facts: Mapping[int, Mapping[str, tuple[str, int, int]]], bench: Bench
) -> Iterator[tuple[int, str, str, str]]:
    """(row, kind, text with another's fact, text with the fact in another phrase), where another document has one."""
    docs, values = bench.docs, defaultdict[str, list[tuple[Any, str]]](list)
    for row, said in facts.items():
        for kind, (value, _, _) in said.items():
            values[kind].append((docs[row], value))
    for row, text in texts.items():
        for kind, (value, start, end) in facts[row].items():
            others = _others(values[kind], docs[row], value)
            if others:
                usual, otherwise = (phrase.format("{}") for phrase in FACTS[kind])
                new = random.Random(f"{bench.seed}-{row}-{kind}").choice(others)
                corrupted, reworded = usual.replace("{}", new), otherwise.replace("{}", value)
                if text[start].isupper():
                    corrupted, reworded = (said[0].upper() + said[1:] for said in (corrupted, reworded))
                elif text[start].islower():
                    corrupted, reworded = (said[0].lower() + said[1:] for said in (corrupted, reworded))
                yield row, kind, text[:start] + corrupted + text[end:], text[:start] + reworded + text[end:]


def _others(values: Sequence[tuple[Any, str]], doc: Any, value: str) -> list[str]:
    """Facts that other documents' explanations state and this one does not."""
    return [other for whose, other in values if whose != doc and other.lower() != value.lower()]
