"""`Evaluation`: what is measured with a pair, and the estimates that are made of the tables alone."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.activations import Activations
from thinkaloud.baseline import Baseline
from thinkaloud.config.groups import FAIL_MSE
from thinkaloud.errors import UserError
from thinkaloud.evals.explained import evaluation
from thinkaloud.evals.rereading import Reread, reread
from thinkaloud.explanation import Explanation
from thinkaloud.pair.failures import explanation_mse, valid_explanations
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.scores import direction_mse
from thinkaloud.stats import Estimate, Statistic, contrast, estimate, mean, ratio, weighted
from thinkaloud.writers.base import Context
from thinkaloud.writers.write import contexts_of

if TYPE_CHECKING:
    import pandas as pd

_FIRST = (
    *("reconstruction", "controls", "tail", "tail_gain", "tail_swap", "retrieval", "curve", "quotation"),
    *("private_code", "corruption", "splice"),
)
ORDER = {name: i for i, name in enumerate(_FIRST)}
"""Which evaluations stand first on a page; the others follow by name of their file."""
Suite = Literal["core", "truth"]
Records = Sequence[Mapping[str, Any]] | pa.Table
Row = tuple[Mapping[str, Any], Mapping[str, Any]]
"""What a row of results is of (label: value), and its quantities: estimates, counts, words."""


@dataclass(frozen=True)
class Figure:
    """A figure of an evaluation's rows: the columns `y` over the column `x`; `how` is what else `plots.chart` takes."""

    x: str
    y: tuple[str, ...]
    how: Mapping[str, Any] = field(default_factory=dict)


class Evaluation(ABC):
    """One evaluation: `measure` makes a table with the pair, `rows` makes the results of the tables without it.

    The first line of the docstring is its title. A subclass with `@evaluation` above it, in a file of its own, is all
    there is to a new one; `thinkaloud eval --only FILE.py` runs one from anywhere.
    """

    name: ClassVar[str]
    suite: ClassVar[Suite] = "core"
    source: ClassVar[str] = ""
    """The paper, post or issue that it comes from."""
    metric: ClassVar[str] = ""
    """What is measured, defined in a sentence or two."""
    limits: ClassVar[str] = ""
    """What it does not show."""
    figure: ClassVar["Figure | None"] = None
    """A figure of its rows, if there is to be one."""

    @property
    def title(self) -> str:
        """What it is, in a line."""
        return (self.__doc__ or self.name).splitlines()[0].rstrip(".")

    def measure(self, bench: "Bench") -> Records:
        """The table of what has to be measured beyond the explanations themselves; none by default.

        A table without a row is none. UserError in one line where the data has not what it needs.
        """
        return ()

    @abstractmethod
    def rows(self, found: "Measured") -> Iterable[Row]:
        """The results, from the tables alone."""


@dataclass(frozen=True)
class Bench:
    """A pair and stored activations with their explanations, for what an evaluation measures.

    `said` are the greedy explanations, one for each row of `data`; `second` is an AR of another training, `other` names
    another model of M's shape, `tails` are ARs that were trained on the last so many tokens as the explanation. `watch`
    sees what is being done, how much of it is done, and how much there is.
    """

    nla: NLA
    data: Activations
    said: Sequence[Explanation]
    baseline: Baseline
    seed: int = 0
    max_tokens: int = 150
    second: Reconstructor | None = None
    watch: Callable[[str, int, int], None] = field(default=lambda what, done, of: None, repr=False)
    other: str | Path | None = None
    tails: Mapping[int, Reconstructor] = field(default_factory=dict)

    @property
    def vectors(self) -> Float[Tensor, "n d"]:
        """The activations, raw."""
        return self.data.vectors

    @property
    def texts(self) -> list[str]:
        """The greedy explanations; of one that failed as well."""
        return [one.text for one in self.said]

    @property
    def docs(self) -> list[Any]:
        """The document of each activation."""
        return self.data.column("doc_id")

    @cached_property
    def valid(self) -> np.ndarray:
        """Which greedy explanations close and can be read; the others count with the direction MSE of a failure."""
        return valid_explanations(self.said, self.nla.reconstructor).numpy()

    @cached_property
    def contexts(self) -> list[Context]:
        """What a writer sees of each activation; UserError where the data kept no next tokens."""
        return contexts_of(self.data.table)

    @cached_property
    def reread(self) -> Reread:
        """The token ids in front of each activation, and whether M gives the stored vector for them."""
        return reread(self.nla, self.data)

    def reconstruct(self, texts: Sequence[str], what: str = "reading", second: bool = False) -> Float[Tensor, "n d"]:
        """What the AR, or the `second` one, makes of texts; of one it cannot read, zeros."""
        ar = self.second if second else self.nla.reconstructor
        assert ar is not None  # an evaluation asks for `second` only where there is one
        readable = [i for i, fits in enumerate(ar.readable(texts)) if fits and texts[i].strip()]
        out = torch.zeros(len(texts), self.vectors.shape[1])
        for start in range(0, len(readable), _AT_ONCE):
            some = readable[start : start + _AT_ONCE]
            self.watch(what, start, len(readable))
            out[some] = ar.reconstruct([texts[i] for i in some]).cpu()
        return out

    @cached_property
    def rebuilt(self) -> Float[Tensor, "n d"]:
        """What the AR makes of the greedy explanations; of one that failed, zeros."""
        texts = [text if valid else "" for text, valid in zip(self.texts, self.valid, strict=True)]
        return self.reconstruct(texts, "explanations")

    def variant(self, name: str, texts: Mapping[int, str]) -> list[dict[str, Any]]:
        """The records of `by_variant` for texts in place of the explanations of these rows; an empty one has none."""
        said = {row: text for row, text in texts.items() if text.strip()}
        mse = self.mse(list(said.values()), list(said), name)
        return [
            {"variant": name, "row": int(row), "mse": float(one), "text": text}
            for (row, text), one in zip(said.items(), mse, strict=True)
        ]

    def mse(
        self, texts: Sequence[str], rows: Sequence[int] | np.ndarray, what: str = "reading", second: bool = False
    ) -> np.ndarray:
        """Direction MSE of texts against the activations of these rows; `FAIL_MSE` for one that cannot be read."""
        pred = self.reconstruct(texts, what, second)
        return self.error(pred, self.vectors[torch.as_tensor(np.asarray(rows, dtype=int))])

    def error(self, pred: Float[Tensor, "n d"], target: Float[Tensor, "n d"]) -> np.ndarray:
        """Direction MSE of predictions; `FAIL_MSE` for zeros, which have no direction."""
        nothing = (pred == 0).all(dim=1)
        return direction_mse(pred, target).masked_fill(nothing, FAIL_MSE).numpy()

    def explain(
        self, vectors: Float[Tensor, "m d"], what: str = "explaining", n: int = 1, temperature: float = 0.0
    ) -> list[list[Explanation]]:
        """The AV's explanations of other vectors."""
        done = 0

        def watch(rows: int) -> None:
            nonlocal done
            done += rows
            self.watch(what, done, n * len(vectors))

        return self.nla.explain(vectors, n, temperature, self.seed, self.max_tokens, watch)

    def failed_or_mse(self, said: Sequence[Explanation], rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Direction MSE of explanations against the activations of these rows; a failed one has `FAIL_MSE`."""
        target = self.vectors[torch.as_tensor(np.asarray(rows, dtype=int))]
        valid = valid_explanations(said, self.nla.reconstructor)
        return explanation_mse(said, valid, target, self.nla.reconstruct, FAIL_MSE).numpy()


_AT_ONCE = 512  # texts between two reports of progress


@dataclass(frozen=True)
class Measured:
    """The tables of an evaluation, and what estimates of them need.

    `explanations` has a row for each explanation: `row` (of the data), `sample` (0 is greedy), `explanation`, `finish`,
    `tokens` (tags included), `mse` and `cos` by the AR (a failed one has the MSE of a failure), and of its activation
    `doc_id`, `position`, `text` (up to the token), `token`, `class`, `kind` (text or chat), `norm`, `special`,
    `next_tokens`, `next_probs`. `own` is what `measure` made.
    """

    explanations: "pd.DataFrame"
    own: "pd.DataFrame"
    baseline: Baseline
    seed: int = 0

    @property
    def greedy(self) -> "pd.DataFrame":
        """The greedy explanations, one a row of the data, in its order."""
        return self.explanations[self.explanations["sample"] == 0]

    @property
    def docs(self) -> list[Any]:
        """The document of each row of the data."""
        return self.greedy["doc_id"].tolist()

    def doc_of(self, rows: Any) -> np.ndarray:
        """The documents of rows of the data, by number."""
        return np.asarray(self.docs, dtype=object)[np.asarray(rows, dtype=int)]

    def estimate(self, statistic: Statistic, docs: Any) -> Estimate:
        """A statistic with its 95 % interval over documents."""
        return estimate(statistic, np.asarray(docs, dtype=str), seed=self.seed)

    @property
    def v(self) -> float:
        """V; NaN where it is 0, of which there is no fraction."""
        return self.baseline.v if self.baseline.v > 0 else np.nan

    def fve(self, mse: Any, docs: Any) -> Estimate:
        """FVE of direction MSEs, 1 − mean ∕ V with V taken as known, with its interval over documents."""
        return self.estimate(mean(1 - np.asarray(mse, dtype=float) / self.v), docs)

    def retention(self, after: Any, before: Any, docs: Any) -> Estimate:
        """FVE after a change ∕ FVE before it, of the direction MSEs of the same rows."""
        n = len(np.asarray(before))
        each = 1 - np.concatenate([np.asarray(after, dtype=float), np.asarray(before, dtype=float)]) / self.v
        statistic = ratio(each, np.repeat([True, False], n))
        return self.estimate(replace(statistic, n=n), np.tile(np.asarray(docs, dtype=object), 2))

    def saved(self, error: Any, of: Any, docs: Any) -> Estimate:
        """1 − mean error ∕ mean error of something else, row by row the same, with its interval over documents."""
        error, of = np.asarray(error, dtype=float), np.asarray(of, dtype=float)
        return self.estimate(replace(weighted(of - error, of), n=len(of)), docs)

    def share(self, values: Any, docs: Any) -> Estimate:
        """A mean with its interval over documents."""
        return self.estimate(mean(np.asarray(values, dtype=float)), docs)

    @property
    def contexts(self) -> list[Context]:
        """What a writer sees of each row of the data."""
        return contexts_of(pa.Table.from_pandas(self.greedy, preserve_index=False))


def by_variant(found: Measured, label: str = "variant") -> Iterator[Row]:
    """A row for each `variant` of the evaluation's own table (columns `variant`, `row`, `mse`): its FVE, how far it is
    below that of the explanations it was made of, and its share of that.
    """
    if found.own.empty:
        return
    whole = found.greedy["mse"].to_numpy()
    for name, part in found.own.groupby("variant", sort=False, observed=True):
        docs, mse = found.doc_of(part["row"]), part["mse"].to_numpy()
        before = whole[part["row"].to_numpy()]
        yield (
            {label: name},
            {
                "FVE": found.fve(mse, docs),
                "FVE lost": found.estimate(contrast((mse - before) / found.v), docs),
                "retention": found.retention(mse, before, docs),
                "explanations": len(part),
            },
        )


@dataclass(frozen=True)
class _AsExplained:
    """What a function of an `Explained` asks of it, of the greedy explanations in the tables."""

    found: Measured
    seed: int

    @property
    def table(self) -> pa.Table:
        return pa.Table.from_pandas(self.found.greedy, preserve_index=False)

    def column(self, name: str) -> list[Any]:
        return self.found.greedy[name].tolist()

    def share(self, of: Callable[[str], float]) -> Estimate:
        return self.found.share([float(of(text)) for text in self.column("explanation")], self.column("doc_id"))


class Figures(Evaluation):
    """An evaluation that is a function of the greedy explanations, its figures by name."""

    def __init__(self, of: Callable[..., Mapping[str, Any]]) -> None:
        self.of, self.name, self.__doc__ = of, of.__name__, of.__doc__  # type: ignore[misc]
        self.check = vars(of).get("check")
        self.suite = vars(of).get("suite", "core")  # type: ignore[misc]

    @property
    def metric(self) -> str:  # type: ignore[override]
        return " ".join((self.__doc__ or "").split())

    def measure(self, bench: Bench) -> Records:
        if self.check is not None:
            self.check(bench.data.table)
        return ()

    def rows(self, found: Measured) -> Iterator[Row]:
        for name, value in self.of(_AsExplained(found, found.seed)).items():
            yield {"figure": name}, {"value": value}


def chosen(suite: str = "core", only: Sequence[str] = ()) -> dict[str, Evaluation]:
    """The evaluations of a suite ("all": of every one), or those named, each made; UserError for an unknown name."""
    found = [evaluation.find(name) for name in only or evaluation]
    made = [part() if isinstance(part, type) else Figures(part) for part in found]
    some = made if only else [one for one in made if one.suite and suite in (one.suite, "all")]
    if not some:
        raise UserError(f"there is no evaluation in the suite {suite}: name some with --only")
    return {one.name: one for one in sorted(some, key=lambda one: ORDER.get(one.name, len(ORDER)))}
