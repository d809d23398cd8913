"""Paragraph ablation: each one removed, alone, or taken from another explanation.

Pure functions on texts; what rebuilds a vector from a text is given to them as a function.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thinkaloud.explanation import split_parts
from thinkaloud.stats import Estimate, estimate, mean

VARIANTS = ("whole", "without", "alone", "replaced", "other")


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
    alike: dict[int, list[int]] = {}
    for i, parts in enumerate(splits):
        alike.setdefault(len(parts), []).append(i)
    made: list[dict[str, Any]] = []
    for row in rows:
        own = splits[row]
        donor = _donor(row, alike[len(own)], documents, np.random.default_rng((seed, row)))
        made.append(_record(row, "whole", 0, own, own.joint.join(own.parts)))
        for k, part in enumerate(own.parts):
            made.append(_record(row, "without", k + 1, own, own.without(k)))
            made.append(_record(row, "alone", k + 1, own, part))
            if donor is not None:
                made.append(_record(row, "replaced", k + 1, own, own.replaced(k, splits[donor].parts[k])))
        if donor is not None:
            made.append(_record(row, "other", 0, own, own.joint.join(splits[donor].parts)))
    return made


def _record(row: int, variant: str, place: int, own: Split, text: str) -> dict[str, Any]:
    return {"row": row, "variant": variant, "place": place, "of": len(own), "text": text}


def _donor(row: int, alike: Sequence[int], documents: Sequence[str], dice: np.random.Generator) -> int | None:
    found = [i for i in alike if documents[i] != documents[row]]
    return found[int(dice.integers(len(found)))] if found else None


@dataclass(frozen=True)
class Effects:
    """What the ablation found among explanations of `of` paragraphs: losses in FVE, by place (from 1)."""

    of: int
    explanations: int
    whole: Estimate
    other: Estimate
    removed: Mapping[int, Estimate]
    alone: Mapping[int, Estimate]
    replaced: Mapping[int, Estimate]
    last_removed: Mapping[int, Estimate]
    last_replaced: Mapping[int, Estimate]
    """What the last paragraph's removal or replacement costs less what another's does, by the other's place."""


def commonest(of: Sequence[int]) -> int:
    """The commonest number of paragraphs; of equally common ones the smallest."""
    counts = Counter(of)
    return min(counts, key=lambda m: (-counts[m], m))


def effects(records: Sequence[Mapping[str, Any]], v: float, of: int, seed: int = 0) -> Effects:
    """Estimates from scored variants (row, doc_id, variant, place, of, mse) of explanations of `of` paragraphs."""
    fve: dict[tuple[str, int], dict[int, float]] = {}
    documents: dict[int, str] = {}
    for record in records:
        if record["of"] == of and record["mse"] is not None:
            fve.setdefault((record["variant"], record["place"]), {})[record["row"]] = 1 - record["mse"] / v
            documents[record["row"]] = record["doc_id"]
    whole = fve.get(("whole", 0), {})

    def between(a: Mapping[int, float], b: Mapping[int, float]) -> Estimate:
        rows = sorted(set(a) & set(b))
        return estimate(mean([a[i] - b[i] for i in rows]), [documents[i] for i in rows], seed=seed)

    def get(variant: str, place: int) -> Mapping[int, float]:
        return fve.get((variant, place), {})

    def level(a: Mapping[int, float]) -> Estimate:
        rows = sorted(a)
        return estimate(mean([a[i] for i in rows]), [documents[i] for i in rows], seed=seed)

    places = range(1, of + 1)
    return Effects(
        of,
        len(whole),
        level(whole),
        level(get("other", 0)),
        {k: between(whole, get("without", k)) for k in places},
        {k: level(get("alone", k)) for k in places},
        {k: between(whole, get("replaced", k)) for k in places},
        {k: between(get("without", k), get("without", of)) for k in places if k != of},
        {k: between(get("replaced", k), get("replaced", of)) for k in places if k != of},
    )
