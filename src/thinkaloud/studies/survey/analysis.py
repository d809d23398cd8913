"""Tables of the survey: the form of explanations by kind of text, and reconstruction by class, frequency and position.

Rows are those of the table of explanations, with the document `doc` and the token's `frequency` in what was read.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from thinkaloud.evals.prose import quoted, repetition
from thinkaloud.explanation import split_parts
from thinkaloud.stats import Estimate, correlation, difference
from thinkaloud.studies.frame import Frame
from thinkaloud.studies.survey.clusters import Clustering
from thinkaloud.studies.survey.paragraphs import split
from thinkaloud.studies.survey.published import FILES
from thinkaloud.studies.survey.tokens import CLASSES

ENOUGH = 30  # positions of a class, below which nothing is said of it
POSITIONS = (4, 8, 16, 32, 64, 128, 256, 512)


def measured(texts: Sequence[str]) -> dict[str, np.ndarray]:
    """A number for each explanation under each name; what only a text can have is NaN for an empty one."""
    full = np.array([bool(text.strip()) for text in texts])
    measures = {
        "paragraphs": lambda text: len(split(text)),
        "sentences": lambda text: sum(part.kind == "sentence" for part in split_parts(text)),
        "words": lambda text: len(text.split()),
        "share in quotation marks": quoted,
        "repeated word pairs, share": repetition,
        "of one paragraph, share": lambda text: len(split(text)) == 1,
    }
    found = {
        name: np.array([of(text) if there else np.nan for text, there in zip(texts, full, strict=True)], float)
        for name, of in measures.items()
    }
    return {**found, "empty, share": (~full).astype(float)}


def format_table(rows: Frame) -> list[dict[str, Any]]:
    """Means of every measure by kind, and their difference."""
    kinds = present(rows)
    values = measured(rows["text"].tolist())
    values |= {"tokens": rows["tokens"], "cut at the token limit, share": rows["finish"] == "cut"}
    out: list[dict[str, Any]] = []
    for name, numbers in values.items():
        record: dict[str, Any] = {"measure": name, **by_kind(rows, numbers)}
        if len(kinds) == 2:
            record["texts less chats"] = rows.estimate(difference(numbers, rows["kind"] == kinds[0]))
        out.append(record)
    some = {kind: rows.at(kind=kind) for kind in kinds}
    distinct = {FILES[kind]: own.distinct("text") / len(own) for kind, own in some.items()}
    return [*out, {"measure": "distinct, share", **distinct}]


def openings(rows: Frame, words: int = 3, most: int = 12) -> list[dict[str, Any]]:
    """The commonest openings, without the mark that ends them, and the share of each kind that begins so."""
    found = np.array([" ".join(text.split()[:words]).rstrip(",.;:") for text in rows["text"]], dtype=object)
    common = sorted(Counter(o for o in found.tolist() if o).items(), key=lambda item: (-item[1], item[0]))
    return [{"opening": o, "explanations": n, **shares(rows, found == o)} for o, n in common[:most]]


def templates(
    found: Clustering, shapes: Sequence[str], owners: np.ndarray, places: Sequence[str], rows: Frame
) -> list[dict[str, Any]]:
    """Each template of paragraphs: what it is, how many have it, where they mostly stand, and its share by kind.

    `owners` are the rows of the explanations that the paragraphs stand in, `places` where in them they stand.
    """
    out: list[dict[str, Any]] = []
    for cluster in found.clusters:
        members = cluster.members.tolist()
        place, n = min(Counter(places[i] for i in members).items(), key=lambda item: (-item[1], item[0]))
        out.append(
            {
                "nearest to its centre": _short(shapes[cluster.nearest], 200),
                "paragraphs": len(members),
                "exactly so": sum(shapes[i] == shapes[cluster.nearest] for i in members),
                "mostly": f"{place} ({n / len(members):.0%})",
                **shares(rows, np.isin(np.arange(len(rows)), owners[cluster.members])),
            }
        )
    return out


def themes(found: Clustering, sentences: Sequence[str], owners: np.ndarray, rows: Frame) -> list[dict[str, Any]]:
    """Each cluster of sentences: its most telling words, how many explanations hold it, and FVE with it less without.

    `owners` are the rows of the explanations that the sentences stand in; explanations without one are left out.
    """
    numbers = np.unique(owners)
    some = rows.where(numbers)
    out = []
    for cluster in found.clusters:
        holding = np.isin(numbers, owners[cluster.members])
        out.append(
            {
                "telling words": ", ".join(cluster.words) or "–",
                "sentences": len(cluster.members),
                "an example": _short(sentences[cluster.nearest], 140),
                **shares(some, holding),
                "FVE with it less without": some.estimate(difference(some["fve"], holding)),
            }
        )
    return out


def by_class(rows: Frame) -> list[dict[str, Any]]:
    """Every class that occurs: its share of positions, FVE, FVE by kind, and FVE less that of all others."""
    here = {name: rows["token_class"] == name for name in CLASSES}
    return [
        _part(rows, some, "class", name) | {"FVE less the others'": rows.estimate(difference(rows["fve"], some))}
        for name, some in here.items()
        if some.any()
    ]


def deciles(rows: Frame) -> list[dict[str, Any]]:
    """Positions in ten equal parts by their error, 1 the best rebuilt: the share of each class in each part."""
    order = np.argsort(np.argsort(rows["mse"], kind="stable"), kind="stable")
    there = [name for name in CLASSES if name in rows["token_class"]]
    out: list[dict[str, Any]] = []
    for k, part in sorted(rows.assign(part=order * 10 // len(order) + 1).by("part")):
        errors = f"{part['mse'].min():.3f} to {part['mse'].max():.3f}"
        shares = {name: float((part["token_class"] == name).mean()) for name in there}
        out.append({"decile of error": k, "MSE": errors, **shares})
    return out


def contrasts(rows: Frame, hard: tuple[str, ...]) -> dict[str, Estimate]:
    """FVE of the classes `hard` together, less that of each other class with enough positions."""
    of_hard = np.isin(rows["token_class"], hard)
    out: dict[str, Estimate] = {}
    for name in CLASSES:
        other = rows["token_class"] == name
        if name not in hard and min(of_hard.sum(), other.sum()) >= ENOUGH:
            both = rows.where(of_hard | other)
            out[name] = both.estimate(difference(both["fve"], np.isin(both["token_class"], hard)))
    return out


def by_frequency(rows: Frame, parts: int = 5) -> list[dict[str, Any]]:
    """Positions in about equal parts by how often their token occurs in the documents, rare to frequent."""
    count = rows["frequency"]
    inner = np.unique(np.quantile(count, np.arange(1, parts) / parts))
    part = np.searchsorted(inner, count, side="right")
    out = []
    for k in np.unique(part):
        own = count[part == k]
        out.append(_part(rows, part == k, "times in the documents", f"{int(own.min()):,} to {int(own.max()):,}"))
    return out


def by_position(rows: Frame) -> list[dict[str, Any]]:
    """Positions by how far into their document they are."""
    where = rows["position"]
    edges = [*POSITIONS, int(max(where.max() + 1, POSITIONS[-1] + 1))]
    bins = {f"{low} to {high - 1}": (where >= low) & (where < high) for low, high in pairwise(edges)}
    return [_part(rows, here, "position", name) for name, here in bins.items() if here.any()]


def trend(rows: Frame, name: str) -> dict[str, Estimate]:
    """Spearman's correlation of FVE with a column, by kind."""
    some = {FILES[kind]: rows.at(kind=kind) for kind in present(rows)}
    return {kind: own.estimate(correlation(own[name], own["fve"])) for kind, own in some.items()}


def present(rows: Frame) -> list[str]:
    """The kinds there are: text before chat."""
    return [kind for kind in FILES if kind in rows["kind"]]


def by_kind(rows: Frame, values: np.ndarray, label: str = "{}") -> dict[str, Estimate]:
    """The mean of each kind's values, under texts and chats."""
    some = rows.assign(values=np.asarray(values, dtype=np.float64))
    return {label.format(FILES[kind]): some.at(kind=kind).mean("values") for kind in present(rows)}


def shares(rows: Frame, holding: np.ndarray) -> dict[str, Estimate]:
    """The share of each kind's explanations where `holding` is true."""
    return by_kind(rows, holding, "share of {}")


def _part(rows: Frame, here: np.ndarray, label: str, name: str) -> dict[str, Any]:
    """How many rows there are where `here` is true, their FVE, and that of each kind; None for a kind without any."""
    own = rows.where(here)
    record = {label: name, "positions": len(own), "FVE": own.mean("fve")}
    return record | dict.fromkeys(by_kind(rows, rows["fve"], "FVE, {}")) | by_kind(own, own["fve"], "FVE, {}")


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
