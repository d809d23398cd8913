"""Texts of rollouts: their sentences among their tokens, whether they hold an answer, and their FVE."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import Any

from jaxtyping import Float
from torch import Tensor

from thinkaloud.baseline import Baseline
from thinkaloud.contract import CLOSE, OPEN
from thinkaloud.numbers import numbers, parse
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.scores import fve, text_mse
from thinkaloud.sentences import spans
from thinkaloud.studies.problems import token_ends


def sentence_ends(text: str, ids: Sequence[int], tokenizer: Any) -> list[tuple[int, int, int]]:
    """Start and end of each sentence of a text that stands in the tokens `ids`, and how many of these say it.

    What ends within another's last token is left out.
    """
    ends, before = token_ends(ids, tokenizer), max(0, tokenizer.decode(ids).find(text))
    found: list[tuple[int, int, int]] = []
    for start, end in spans(text):
        tokens = bisect_left(ends, before + end) + 1
        if tokens <= len(ends) and (not found or tokens > found[-1][2]):
            found.append((start, end, tokens))
    return found


def first_sentence(raw: str) -> str:
    """The first sentence of what follows a prefix, empty where the text ends there."""
    body = raw.replace(OPEN, "").split(CLOSE, 1)[0]
    start, end = next(spans(body), (0, 0))
    return body[start:end]


def holds(row: Mapping[str, Any], text: str) -> dict[str, float]:
    """Whether a text holds the answers `gold` and `model` of a row."""
    held = numbers(text)
    return {name: float(parse(row[name]) in held) for name in ("gold", "model")}


def fves(nla: NLA, texts: Sequence[str], vectors: Float[Tensor, "n d"], baseline: Baseline) -> list[float]:
    """The FVE of each text; NaN for one that says nothing. Continuations are often alike: each text is read once."""

    def reconstruct(some: Sequence[str]) -> Float[Tensor, "n d"]:
        each = {text: i for i, text in enumerate(dict.fromkeys(some))}
        return nla.reconstruct(list(each))[[each[text] for text in some]]

    return [fve(mse, baseline) for mse in text_mse(reconstruct, texts, vectors).tolist()]
