"""Paragraph ablation: each one removed, alone, or taken from another explanation.

Pure functions on texts; what rebuilds a vector from a text is given to them as a function.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from thinkaloud.explanation import split_parts


@dataclass(frozen=True)
class Split:
    """The paragraphs of a text, and what stands between two of them."""

    parts: tuple[str, ...]
    joint: str

    def __len__(self) -> int:
        return len(self.parts)

    def without(self, k: int) -> str:
        return self.joint.join(part for i, part in enumerate(self.parts) if i != k)

    def replaced(self, k: int, by: str) -> str:
        return self.joint.join(by if i == k else part for i, part in enumerate(self.parts))


def split(text: str) -> Split:
    """The blocks between blank lines; of a text that is one block, its lines."""
    blocks = tuple(text[part.start : part.end] for part in split_parts(text) if part.kind == "paragraph")
    if len(blocks) > 1:
        return Split(blocks, "\n\n")
    return Split(tuple(line.strip() for line in text.splitlines() if line.strip()), "\n")


def choose(texts: Sequence[str], n: int, seed: int) -> list[int]:
    """At most `n` of the texts that have two paragraphs or more, ascending."""
    able = [i for i, text in enumerate(texts) if len(split(text)) > 1]
    order = np.random.default_rng(seed).permutation(len(able))[:n]
    return sorted(able[int(i)] for i in order)


def variants(texts: Sequence[str], documents: Sequence[str], rows: Sequence[int], seed: int) -> list[dict[str, Any]]:
    """What is made of the texts `rows`: records of row, variant, place (from 1; 0 is the whole), of how many, and text.

    A paragraph is replaced by the one at the same place of a random explanation of another document that has as many
    paragraphs; `other` is that explanation whole. Where there is none, both are left out.
    """
    splits = [split(text) for text in texts]
    alike: defaultdict[int, list[int]] = defaultdict(list)
    for i, parts in enumerate(splits):
        alike[len(parts)].append(i)
    made: list[dict[str, Any]] = []
    for row in rows:
        own = splits[row]
        donor = _donor(row, alike[len(own)], documents, np.random.default_rng((seed, row)))
        other = () if donor is None else splits[donor].parts
        found = [("whole", 0, own.joint.join(own.parts))]
        for k, part in enumerate(own.parts):
            found += [("without", k + 1, own.without(k)), ("alone", k + 1, part)]
            found += [("replaced", k + 1, own.replaced(k, other[k]))] if other else []
        found += [("other", 0, own.joint.join(other))] if other else []
        made += [{"row": row, "variant": v, "place": place, "of": len(own), "text": text} for v, place, text in found]
    return made


def _donor(row: int, alike: Sequence[int], documents: Sequence[str], dice: np.random.Generator) -> int | None:
    found = [i for i in alike if documents[i] != documents[row]]
    return found[int(dice.integers(len(found)))] if found else None


def effects(records: pd.DataFrame, v: float) -> pd.DataFrame:
    """FVE of every variant (a column each: whole, other, "without 1", …) of the explanations with the commonest number
    of paragraphs, of equally common ones the smallest: a row each, with `doc_id` and `of`. Empty where there is none.
    """
    if records.empty:
        return pd.DataFrame()
    counts = records.loc[records["variant"] == "whole", "of"].value_counts()
    some = records[records["of"] == min(counts.index, key=lambda m: (-counts[m], m))]
    named = some["variant"] + np.where(some["place"] > 0, " " + some["place"].astype(str), "")
    scored = some.assign(fve=1 - some["mse"].astype(float) / v, variant=named)
    return scored.pivot(index=["row", "doc_id", "of"], columns="variant", values="fve").reset_index()
