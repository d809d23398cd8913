"""Cosine, direction MSE and fraction of variance explained (FVE).

Definitions: Fraser-Taliente, Kantamneni, Ong et al., "Natural Language Autoencoders Produce Unsupervised Explanations
of LLM Activations", Transformer Circuits, 2026.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, overload

import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.baseline import Baseline


def cosine(pred: Float[Tensor, "n d"], target: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Cosine of each pair of rows, in float32."""
    return torch.nn.functional.cosine_similarity(pred.float(), target.float(), dim=-1)


def direction_mse(pred: Float[Tensor, "n d"], target: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """Mean squared difference of rows scaled to norm √d: 2(1 − cos), in [0, 4]; 2 is orthogonal. Blind to magnitude."""
    p = torch.nn.functional.normalize(pred.float(), dim=-1)
    t = torch.nn.functional.normalize(target.float(), dim=-1)
    return (p - t).square().sum(-1)


def text_mse(
    reconstruct: Callable[[Sequence[str]], Tensor], texts: Sequence[str], vectors: Float[Tensor, "n d"]
) -> Float[Tensor, " n"]:
    """Direction MSE of each text's reconstruction, row by row; NaN for an empty text, which the AR cannot read."""
    said = [i for i, text in enumerate(texts) if text.strip()]
    out = torch.full((len(texts),), torch.nan)
    if said:
        out[said] = direction_mse(reconstruct([texts[i] for i in said]), vectors[said]).cpu()
    return out


def fve(mse: float, baseline: Baseline) -> float:
    """Fraction of variance explained, 1 − mse / V. NaN where V is 0 (a single direction has no variance to explain)."""
    return 1.0 - mse / baseline.v if baseline.v > 0 else float("nan")


@dataclass(frozen=True)
class Score:
    """How well one text rebuilds one vector. FVE means nothing without its baseline, so it is never apart from it.

    >>> Score(cos=0.875, mse=0.25, baseline=Baseline(v=0.5, n=4096, n_docs=512, split="heldout"))
    Score(FVE 0.500, cos 0.875, mse 0.250)
    """

    cos: float
    mse: float
    baseline: Baseline

    def __repr__(self) -> str:
        return f"Score(FVE {self.fve:.3f}, cos {self.cos:.3f}, mse {self.mse:.3f})"

    @property
    def fve(self) -> float:
        return fve(self.mse, self.baseline)

    def to_dict(self) -> dict[str, Any]:
        return {"cos": self.cos, "mse": self.mse, "fve": self.fve}


@dataclass(frozen=True)
class Scores(Sequence[Score]):
    """Scores of many pairs: a sequence of `Score`, with the means as `cos`, `mse` and `fve`.

    >>> baseline = Baseline(v=0.5, n=4096, n_docs=512, split="heldout")
    >>> scores = Scores.of(torch.tensor([[3.0, 4.0]]), torch.tensor([[0.0, 1.0]]), baseline)
    >>> scores
    Scores(FVE 0.200, cos 0.800, mse 0.400 over 1 vector)
    >>> scores[0].cos == scores.cos
    True
    """

    rows: tuple[Score, ...]
    baseline: Baseline

    @classmethod
    def of(cls, pred: Float[Tensor, "n d"], target: Float[Tensor, "n d"], baseline: Baseline) -> "Scores":
        """Scores of `pred` against `target`, row by row."""
        cos, mse = cosine(pred, target).tolist(), direction_mse(pred, target).tolist()
        return cls(tuple(Score(c, m, baseline) for c, m in zip(cos, mse, strict=True)), baseline)

    @property
    def cos(self) -> float:
        return self._mean("cos")

    @property
    def mse(self) -> float:
        return self._mean("mse")

    @property
    def fve(self) -> float:
        return fve(self.mse, self.baseline)

    def _mean(self, name: str) -> float:
        return sum(getattr(row, name) for row in self.rows) / len(self.rows) if self.rows else float("nan")

    @overload
    def __getitem__(self, index: int) -> Score: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Score, ...]: ...
    def __getitem__(self, index: int | slice) -> Score | tuple[Score, ...]:
        return self.rows[index]

    def __len__(self) -> int:
        return len(self.rows)

    def __repr__(self) -> str:
        vectors = f"{len(self):,} vector{'s' * (len(self) != 1)}"
        return f"Scores(FVE {self.fve:.3f}, cos {self.cos:.3f}, mse {self.mse:.3f} over {vectors})"

    def __str__(self) -> str:
        return f"FVE {self.fve:.3f}, cos {self.cos:.3f}, mse {self.mse:.3f} over {len(self)} vectors; {self.baseline}"


@dataclass(frozen=True)
class Control:
    """One way of scoring, with its FVE over `n` vectors: `name` in a few words, `meaning` in a sentence.

    `example` is a text that shows it, where there is one.
    """

    name: str
    meaning: str
    fve: float
    n: int
    example: str = ""
