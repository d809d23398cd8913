"""Paragraph ablation: each one removed, alone, or taken from another explanation."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from thinkaloud.explanation import split_parts


class Split(NamedTuple):
    """The paragraphs of a text, and what stands between two of them."""

    parts: tuple[str, ...]
    joint: str

    def replaced(self, k: int, *by: str) -> str:
        """The text with its kth paragraph taken out, and `by` put for it."""
        return self.joint.join([*self.parts[:k], *by, *self.parts[k + 1 :]])


def split(text: str) -> Split:
    """The blocks between blank lines; of a text that is one block, its lines."""
    blocks = tuple(text[part.start : part.end] for part in split_parts(text) if part.kind == "paragraph")
    if len(blocks) > 1:
        return Split(blocks, "\n\n")
    return Split(tuple(line.strip() for line in text.splitlines() if line.strip()), "\n")


def variants(texts: Sequence[str], documents: Sequence[str], n: int, seed: int) -> list[dict[str, Any]]:
    """What is made of at most `n` of the texts that have two paragraphs or more: records of row, doc_id, variant, place
    (from 1; 0 is the whole), of how many, and text.

    A paragraph is replaced by the one at the same place of a random explanation of another document that has as many
    paragraphs; `other` is that explanation whole. Where there is none, both are left out.
    """
    splits = pd.Series([split(text) for text in texts])
    sizes, docs = splits.map(lambda one: len(one.parts)), np.asarray(documents)
    able = np.flatnonzero(sizes > 1)
    made: list[dict[str, Any]] = []
    for row in np.sort(np.random.default_rng(seed).permutation(able)[:n]).tolist():
        own = splits[row]
        donors = np.flatnonzero((sizes == sizes[row]) & (docs != docs[row]))
        other = splits[np.random.default_rng((seed, row)).choice(donors)].parts if len(donors) else ()
        found = [("whole", 0, own.joint.join(own.parts))]
        for k, part in enumerate(own.parts):
            found += [("without", k + 1, own.replaced(k)), ("alone", k + 1, part)]
            found += [("replaced", k + 1, own.replaced(k, other[k]))] if other else []
        found += [("other", 0, own.joint.join(other))] if other else []
        head = {"row": row, "doc_id": documents[row], "of": len(own.parts)}
        made += [{**head, "variant": variant, "place": place, "text": text} for variant, place, text in found]
    return made


def effects(records: pd.DataFrame, v: float) -> pd.DataFrame:
    """FVE of every variant (a column each: whole, other, "without 1", …) of the explanations with the commonest number
    of paragraphs, of equally common ones the smallest: a row each, with `doc_id` and `of`. Empty where there is none.
    """
    if records.empty:
        return pd.DataFrame()
    some = records[records["of"] == records.loc[records["variant"] == "whole", "of"].mode()[0]]
    named = some["variant"] + np.where(some["place"] > 0, " " + some["place"].astype(str), "")
    scored = some.assign(fve=1 - some["mse"].astype(float) / v, variant=named)
    return scored.pivot(index=["row", "doc_id", "of"], columns="variant", values="fve").reset_index()
