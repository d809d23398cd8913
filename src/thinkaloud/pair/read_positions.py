"""The data of a reading: tokens, explanations with their scores, and what FVE is relative to."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, overload

from jaxtyping import Float
from torch import Tensor

from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation, short
from thinkaloud.pair.scores import Score, Scores
from thinkaloud.site import Site

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, repr=False)
class ScoredExplanation(Explanation):
    """An explanation with how well its words rebuild the vector it is of."""

    score: Score

    @classmethod
    def of(cls, explanation: Explanation, score: Score) -> "ScoredExplanation":
        """The same explanation, scored."""
        return cls(**vars(explanation), score=score)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, FVE {self.score.fve:.3f})"


@dataclass(frozen=True, repr=False)
class ReadPosition:
    """One token and what the pair says about the vector there.

    `position` counts the text's tokens from 0, special tokens included. `token` is the token decoded alone. `norm` is
    the L2 norm of the raw vector. `explanations` are the samples, each with its `score`. `special` says that the token
    is the tokenizer's own (a beginning of text, a chat tag) and no part of what a person wrote. `next_tokens` are those
    that M itself finds likeliest next, with their probabilities, the likeliest first.
    """

    position: int
    token: str
    token_id: int
    norm: float
    explanations: tuple[ScoredExplanation, ...]
    special: bool = False
    next_tokens: tuple[tuple[str, float], ...] = ()

    def __repr__(self) -> str:
        first = self.explanations[0].text if self.explanations else ""
        more = f" and {len(self.explanations) - 1} more" * (len(self.explanations) > 1)
        return f"ReadPosition({self.position}, {short(self.token, 20)}, FVE {self.fve:.3f}, {short(first)}{more})"

    @property
    def scores(self) -> tuple[Score, ...]:
        """The scores of the explanations, in their order."""
        return tuple(explanation.score for explanation in self.explanations)

    @property
    def fve(self) -> float:
        """FVE over the samples: 1 − mean MSE / V. NaN without samples."""
        return Scores(self.scores, self.scores[0].baseline).fve if self.scores else float("nan")


@dataclass(frozen=True, repr=False)
class ReadPositions(Sequence[ReadPosition]):
    """The positions read, in order, and what their scores rest on: the fields of `Reading`."""

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
        return Scores(tuple(score for position in self._counted() for score in position.scores), self.baseline).fve

    @property
    def n_counted(self) -> int:
        """How many positions `fve` is the mean of."""
        return len(self._counted())

    def _counted(self) -> tuple[ReadPosition, ...]:
        return tuple(p for p in self.positions if not p.special) or self.positions

    @property
    def plain_text(self) -> str:
        """What was read, a chat's messages one after another."""
        return self.text if isinstance(self.text, str) else " ".join(m["content"] for m in self.text)

    def to_dicts(self) -> list[dict[str, Any]]:
        """One dictionary a position, as `thinkaloud read --json` prints it. An FVE that is not a number is None.

        >>> list(reading.to_dicts()[0]["explanations"][0])
        ['text', 'finish', 'cos', 'mse', 'fve']
        """
        shared = {
            "baseline": self.baseline.to_dict(),
            "site": self.site.to_dict(),
        }
        return [
            {
                "position": p.position,
                "token": p.token,
                "token_id": p.token_id,
                "norm": p.norm,
                "explanations": [
                    {
                        "text": e.text,
                        "finish": e.finish,
                        **e.score.to_dict(),
                        "fve": e.score.fve if math.isfinite(e.score.fve) else None,
                    }
                    for e in p.explanations
                ],
                "next_tokens": [{"token": token, "probability": share} for token, share in p.next_tokens],
                **shared,
            }
            for p in self.positions
        ]

    def to_json_lines(self) -> str:
        """One JSON object a line, plain ASCII, so that no separator inside a token can end a line."""
        return "".join(json.dumps(row, allow_nan=False) + "\n" for row in self.to_dicts())

    def to_pandas(self) -> "DataFrame":
        """A data frame with a row for each position and sample; `attrs` says what FVE is relative to, and the site.

        >>> reading.to_pandas().columns.to_list()
        ['position', 'token', 'token_id', 'norm', 'special', 'sample', 'explanation', 'finish', 'fve', 'cos', 'mse']
        """
        try:
            from pandas import DataFrame
        except ImportError:
            raise UserError("to_pandas needs pandas, which is not installed: pip install pandas") from None
        own = ("position", "token", "token_id", "norm", "special")
        rows = [
            {name: getattr(p, name) for name in own}
            | {"sample": i, "explanation": e.text, "finish": e.finish, **e.score.to_dict()}
            for p in self.positions
            for i, e in enumerate(p.explanations)
        ]
        table = DataFrame(rows, columns=[*own, "sample", "explanation", "finish", "fve", "cos", "mse"])
        table.attrs.update(pair=self.name, site=str(self.site), baseline=str(self.baseline))
        return table

    def __repr__(self) -> str:
        some = f"{len(self)} of {len(self.tokens)}" if self.tokens else f"{len(self)}"
        samples = max((len(p.explanations) for p in self.positions), default=0)
        where = f"{self.name!r} at {self.site}, {some} positions x {samples}"
        return f"Reading({where}, FVE {self.fve:.3f}, {short(self.plain_text)})"

    @overload
    def __getitem__(self, index: int) -> ReadPosition: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[ReadPosition, ...]: ...
    def __getitem__(self, index: int | slice) -> ReadPosition | tuple[ReadPosition, ...]:
        return self.positions[index]

    def __len__(self) -> int:
        return len(self.positions)
