"""What is a reading: the explanations of a text's positions, each with how well it rebuilds the vector there?"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

from jaxtyping import Float
from rich.console import RenderableType
from torch import Tensor

from thinkaloud.baseline import Baseline
from thinkaloud.explanation import Explanation
from thinkaloud.pair import show
from thinkaloud.pair.scores import Score, fve
from thinkaloud.site import Site


@dataclass(frozen=True)
class ReadPosition:
    """One token and what the pair says about the vector there.

    `position` counts the text's tokens from 0, special tokens included. `token` is the token decoded alone. `norm` is
    the L2 norm of the raw vector. `explanations` and `scores` run in step, one pair a sample. `special` says that the
    token is the tokenizer's own (a beginning of text, a chat tag) and no part of what a person wrote.
    """

    position: int
    token: str
    token_id: int
    norm: float
    explanations: tuple[Explanation, ...]
    scores: tuple[Score, ...]
    special: bool = False

    @property
    def fve(self) -> float:
        """FVE over the samples: 1 − mean MSE / V. NaN without samples."""
        if not self.scores:
            return float("nan")
        return fve(sum(s.mse for s in self.scores) / len(self.scores), self.scores[0].baseline)


@dataclass(frozen=True, repr=False)
class Reading(Sequence[ReadPosition]):
    """The positions read, in order, and what their scores rest on. It shows itself as a table, in Jupyter too.

    `name` says which pair read, `text` what was read: a string, or a chat's messages. `tokens` holds every token of it
    decoded alone, read or not (empty where nobody knows them). `vectors` [n, d], float32, are those of the positions.
    """

    positions: tuple[ReadPosition, ...]
    baseline: Baseline
    site: Site
    name: str
    text: str | Sequence[Mapping[str, str]]
    tokens: tuple[str, ...] = ()
    vectors: Float[Tensor, "n d"] | None = field(default=None, compare=False)

    @property
    def fve(self) -> float:
        """Mean FVE, 1 − mean MSE / V, over every sample of every position that is not a special token.

        Vectors of special tokens have odd norms and directions (an attention sink at the start of the text), so they
        count only where nothing else was read.
        """
        mse = [score.mse for position in self._counted() for score in position.scores]
        return fve(sum(mse) / len(mse), self.baseline) if mse else float("nan")

    @property
    def n_counted(self) -> int:
        """How many positions `fve` is the mean of."""
        return len(self._counted())

    def _counted(self) -> tuple[ReadPosition, ...]:
        return tuple(p for p in self.positions if not p.special) or self.positions

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dictionary a position, as `thinkaloud read --json` prints it. An FVE that is not a number is None."""
        shared = {
            "baseline": {key: getattr(self.baseline, key) for key in ("v", "n", "n_docs", "split")},
            "site": {"kind": self.site.kind, "layer": self.site.layer},
        }
        return [
            {
                "position": p.position,
                "token": p.token,
                "token_id": p.token_id,
                "norm": p.norm,
                "explanations": [
                    {"text": e.text, "finish": e.finish, "cos": s.cos, "mse": s.mse, "fve": _number(s.fve)}
                    for e, s in zip(p.explanations, p.scores, strict=True)
                ],
                **shared,
            }
            for p in self.positions
        ]

    def to_json_lines(self) -> str:
        """One JSON object a line, plain ASCII, so that no separator inside a token can end a line."""
        return "".join(json.dumps(row, allow_nan=False) + "\n" for row in self.to_dicts())

    def __rich__(self) -> RenderableType:
        return show.table(self)

    def __repr__(self) -> str:
        return show.plain(self)

    __str__ = __repr__

    def _repr_html_(self) -> str:
        return show.html(self)

    @overload
    def __getitem__(self, index: int) -> ReadPosition: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ReadPosition, ...]: ...
    def __getitem__(self, index: int | slice) -> ReadPosition | tuple[ReadPosition, ...]:
        return self.positions[index]

    def __len__(self) -> int:
        return len(self.positions)

    def __iter__(self) -> Iterator[ReadPosition]:
        return iter(self.positions)


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
