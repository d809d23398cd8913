"""Form of explanations by kind of text: paragraphs, sentences, words, quotations."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thinkaloud.evals.prose import quoted, repetition
from thinkaloud.explanation import split_parts
from thinkaloud.stats import Estimate, difference, estimate, mean
from thinkaloud.studies.survey.clusters import Clustering
from thinkaloud.studies.survey.paragraphs import split

Columns = Mapping[str, np.ndarray]


def measured(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """A number for each explanation under each name; what only a text can have is NaN for an empty one."""
    full = np.array([bool(text.strip()) for text in texts])

    def of_full(measure: Any) -> np.ndarray:
        return np.array([measure(text) if there else np.nan for text, there in zip(texts, full, strict=True)], float)

    return {
        "paragraphs": of_full(lambda text: len(split(text))),
        "sentences": of_full(lambda text: sum(part.kind == "sentence" for part in split_parts(text))),
        "words": of_full(lambda text: len(text.split())),
        "share in quotation marks": of_full(quoted),
        "repeated word pairs, share": of_full(repetition),
        "of one paragraph, share": of_full(lambda text: len(split(text)) == 1),
        "empty, share": (~full).astype(float),
    }


def format_table(columns: Columns, seed: int) -> list[dict[str, Any]]:
    """Means of every measure by kind, and their difference."""
    kinds = present(columns)
    values = measured(columns["text"].tolist())
    values["tokens"] = columns["tokens"].astype(float)
    values["cut at the token limit, share"] = (columns["finish"] == "cut").astype(float)
    out: list[dict[str, Any]] = []
    for name, numbers in values.items():
        record: dict[str, Any] = {"measure": name, **by_kind(numbers, columns, seed)}
        if len(kinds) == 2:
            there = columns["kind"] == kinds[0]
            record["texts less chats"] = estimate(difference(numbers, there), columns["doc"], seed=seed)
        out.append(record)
    distinct: dict[str, Any] = {"measure": "distinct, share"}
    for kind in kinds:
        texts = columns["text"][columns["kind"] == kind].tolist()
        distinct[f"{kind}s"] = len(set(texts)) / len(texts)
    return [*out, distinct]


def openings(columns: Columns, words: int = 3, most: int = 12, seed: int = 0) -> list[dict[str, Any]]:
    """The commonest openings, and the share of each kind's explanations that begin so."""
    found = np.array([opening(text, words) for text in columns["text"]], dtype=object)
    common = [o for o, _ in sorted(Counter(found.tolist()).items(), key=lambda item: (-item[1], item[0])) if o][:most]
    return [
        {"opening": o, "explanations": int((found == o).sum()), **shares(found == o, columns, seed)} for o in common
    ]


def opening(text: str, words: int) -> str:
    """The first words of a text, without the mark that ends them."""
    return " ".join(text.split()[:words]).rstrip(",.;:")


def templates(
    found: Clustering, shapes: Sequence[str], owners: np.ndarray, places: Sequence[str], columns: Columns, seed: int
) -> list[dict[str, Any]]:
    """Each template of paragraphs: what it is, how many have it, where they mostly stand, and its share by kind.

    `owners` are the rows of the explanations that the paragraphs stand in, `places` where in them they stand.
    """
    out: list[dict[str, Any]] = []
    for cluster in found.clusters:
        members = cluster.members.tolist()
        holding = np.isin(np.arange(len(columns["doc"])), owners[cluster.members])
        place, n = min(Counter(places[i] for i in members).items(), key=lambda item: (-item[1], item[0]))
        out.append(
            {
                "nearest to its centre": _short(shapes[cluster.nearest], 200),
                "paragraphs": len(members),
                "exactly so": sum(shapes[i] == shapes[cluster.nearest] for i in members),
                "mostly": f"{place} ({n / len(members):.0%})",
                **shares(holding, columns, seed),
            }
        )
    return out


def themes(
    found: Clustering, sentences: Sequence[str], owners: np.ndarray, columns: Columns, seed: int
) -> list[dict[str, Any]]:
    """Each cluster of sentences: its most telling words, how many explanations hold it, and FVE with it less without.

    `owners` are the rows of the explanations that the sentences stand in.
    """
    covered = np.isin(np.arange(len(columns["doc"])), owners)
    docs, fve = columns["doc"][covered], columns["fve"][covered]
    some = {name: columns[name][covered] for name in ("kind", "doc")}
    out = []
    for cluster in found.clusters:
        holding = np.isin(np.arange(len(covered)), owners[cluster.members])[covered]
        out.append(
            {
                "telling words": ", ".join(cluster.words) or "–",
                "sentences": len(cluster.members),
                "an example": _short(sentences[cluster.nearest], 140),
                **shares(holding, some, seed),
                "FVE with it less without": estimate(difference(fve, holding), docs, seed=seed),
            }
        )
    return out


def present(columns: Columns) -> list[str]:
    """The kinds there are: text before chat."""
    return [kind for kind in ("text", "chat") if (columns["kind"] == kind).any()]


def by_kind(values: np.ndarray, columns: Columns, seed: int) -> dict[str, Estimate]:
    """The mean of each kind, under texts and chats."""
    where = {kind: columns["kind"] == kind for kind in present(columns)}
    return {f"{k}s": estimate(mean(values[here]), columns["doc"][here], seed=seed) for k, here in where.items()}


def shares(holding: np.ndarray, columns: Columns, seed: int) -> dict[str, Estimate]:
    """The share of each kind's explanations where `holding` is true."""
    return {f"share of {name}": value for name, value in by_kind(holding.astype(float), columns, seed).items()}


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
