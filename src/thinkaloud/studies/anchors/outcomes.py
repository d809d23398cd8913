"""Outcomes of a text: whether it holds the gold answer and M's own, and how well it rebuilds a vector."""

from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from thinkaloud.baseline import Baseline
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.scores import fve, text_mse
from thinkaloud.studies.numbers import numbers, parse

SAYS = {(0.0, 0.0): "neither", (1.0, 0.0): "the gold answer", (0.0, 1.0): "M's answer", (1.0, 1.0): "both"}


def holds(row: Mapping[str, Any], text: str) -> dict[str, float]:
    """Whether a text holds the answers `gold` and `model` of a row."""
    held = numbers(text)
    return {name: float(parse(row[name]) in held) for name in ("gold", "model")}


def says(held: Mapping[str, float]) -> str:
    """Which of the two answers a text holds, in words."""
    return SAYS[held["gold"], held["model"]]


def fves(nla: NLA, texts: Sequence[str], vectors: Float[Tensor, "n d"], baseline: Baseline) -> list[float]:
    """The FVE of each text; NaN for one that says nothing. Continuations are often alike: each text is read once."""

    def reconstruct(some: Sequence[str]) -> Float[Tensor, "n d"]:
        each = {text: i for i, text in enumerate(dict.fromkeys(some))}
        return nla.reconstruct(list(each))[[each[text] for text in some]]

    return [fve(mse, baseline) for mse in text_mse(reconstruct, texts, vectors).tolist()]
