"""How alike two sentences are: cosines of the vectors that the AR makes of them alone."""

from collections.abc import Iterable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.pair.nla import NLA
from thinkaloud.studies.numbers import numbers


def similarities(nla: NLA, pairs: Iterable[tuple[str, str]], sums: bool = False) -> list[dict[str, Any]]:
    """Each distinct pair of a drawn sentence and the original, with their cosine; what is empty is like nothing.

    Of `sums`, sentences of a calculation, those that name other numbers are not alike, whatever their cosine.
    """
    pairs = sorted({(drawn, original) for drawn, original in pairs if drawn})
    if not pairs:
        return [{"drawn": "", "original": "", "similarity": 0.0}]
    every = sorted({sentence for pair in pairs for sentence in pair})
    vectors = dict(zip(every, centred(nla.reconstruct(every)), strict=True))
    cosines = {(a, b): -1.0 if sums and numbers(a) != numbers(b) else float(vectors[a] @ vectors[b]) for a, b in pairs}
    return [{"drawn": a, "original": b, "similarity": cosine} for (a, b), cosine in cosines.items()]


def centred(vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Unit vectors after their directions' mean was removed: all share it, and it would make every cosine high."""
    unit = torch.nn.functional.normalize(vectors.double(), dim=-1)
    return torch.nn.functional.normalize(unit - unit.mean(dim=0), dim=-1)
