"""Reconstruction of stored activations from explanations: FVE with controls and 95 % intervals."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from types import MappingProxyType
from typing import Any

from torch import Tensor

from thinkaloud.baseline import Baseline
from thinkaloud.evals.controls import foreign_pairs, nearest_neighbour
from thinkaloud.evals.explained import Explained
from thinkaloud.pair.scores import Scores, fve
from thinkaloud.site import Site
from thinkaloud.stats import Estimate, estimate, mean

_NONE: Mapping[str, Any] = MappingProxyType({})
OWN, WRITTEN, SHUFFLED = "AV → AR", "written explanation → AR", "shuffled pairs"  # names of lines


@dataclass(frozen=True)
class Line:
    """One way of rebuilding `n` vectors of `n_docs` documents: its mean FVE, cosine and direction MSE.

    `low` and `high` bound the FVE by a 95 % interval over documents, V taken as known; NaN for a single document.
    """

    name: str
    fve: float
    low: float
    high: float
    cos: float
    mse: float
    n: int
    n_docs: int

    @classmethod
    def of(cls, name: str, scores: Scores, docs: Sequence[Any]) -> "Line":
        """The line of `scores`, whose rows belong to the documents `docs`."""
        error = estimate(mean([score.mse for score in scores]), docs)
        bounds = fve(error.high, scores.baseline), fve(error.low, scores.baseline)
        return cls(name, scores.fve, *bounds, scores.cos, scores.mse, len(scores), len(set(docs)))


@dataclass(frozen=True)
class Evaluation:
    """The lines, what they rest on, and how the explanations ended and how long they are (tokens, tags included)."""

    lines: tuple[Line, ...]
    baseline: Baseline
    site: Site
    closed: float
    tokens: float
    also: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; figures that are not numbers are None."""
        out = {
            "site": self.site.to_dict(),
            "baseline": self.baseline.to_dict(),
            "lines": [_plain(asdict(line)) for line in self.lines],
            "closed": self.closed,
            "tokens": self.tokens,
        }
        return {**out, "also": _plain(self.also)} if self.also else out


def evaluate(found: Explained, also: Mapping[str, Callable[[Explained], Mapping[str, Any]]] = _NONE) -> Evaluation:
    """Score a pair by its explanations of stored vectors, by the written ones where there are any, and by the controls.

    Shuffled pairs set each text against a random vector of another document, or, where there is one document, against
    another of its vectors. Rows without a written explanation are left out of the lines that need one. `also` are
    other evaluations of the same explanations, by name.
    """
    closed = sum(finish == "closed" for finish in found.column("finish")) / len(found.table)
    tokens = sum(found.column("tokens")) / len(found.table)
    figures = {name: of(found) for name, of in also.items()}
    return Evaluation(tuple(lines(found)), found.baseline, found.nla.site, closed, tokens, figures)


def lines(found: Explained) -> list[Line]:
    """The pair's own explanations, the written ones where there are any, and the controls beside them."""
    data, baseline = found.data, found.baseline
    out = _with_shuffled(OWN, found, found.rebuilt, found.target, found.column("doc_id"), found.column("row"))
    texts = data.column("explanation") if "explanation" in data.table.column_names else []
    if written := [text for text in texts if text is not None]:
        about = data.filter([text is not None for text in texts])
        rebuilt, rows = found.nla.reconstruct(written), range(len(written))
        out += _with_shuffled(WRITTEN, found, rebuilt, about.vectors, about.column("doc_id"), rows)
    ids = data.column("doc_id")
    if len(set(ids)) > 1:
        out.append(Line.of("nearest vector of another document", nearest_neighbour(data.vectors, ids, baseline), ids))
    out.append(Line("always the mean vector", 0.0, 0.0, 0.0, math.nan, baseline.v, len(data.vectors), len(set(ids))))
    return out


def _with_shuffled(
    name: str, found: Explained, pred: Tensor, target: Tensor, docs: Sequence[Any], vectors: Sequence[int]
) -> list[Line]:
    """The line of texts, and of every text beside a vector it was not written for.

    `docs` and `vectors` say whose each row is.
    """
    own = Line.of(name, Scores.of(pred, target, found.baseline), docs)
    groups = docs if own.n_docs > 1 else vectors
    if len(set(groups)) < 2:
        nan = math.nan
        return [own, Line(f"{name}, {SHUFFLED} (needs 2 vectors)", nan, nan, nan, nan, nan, own.n, own.n_docs)]
    shuffled = foreign_pairs(pred, target, groups, found.baseline, found.seed)
    return [own, Line.of(f"{name}, {SHUFFLED}", shuffled, docs)]


def _plain(value: Any) -> Any:
    """Figures as JSON has them: estimates as their fields, None for what is not a number."""
    if isinstance(value, Estimate):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
