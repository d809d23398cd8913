"""How alike two sentences are: cosines in the space of the AR, or of a sentence encoder."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.errors import UserError
from thinkaloud.numbers import numbers
from thinkaloud.pair.nla import NLA

Embed = Callable[[Sequence[str]], Float[Tensor, "n d"]]


def similarities(embed: Embed, pairs: Iterable[tuple[str, str]], sums: bool = False) -> list[dict[str, Any]]:
    """Each distinct pair of a drawn sentence and the original, with their cosine; what is empty is like nothing.

    Of `sums`, sentences of a calculation, those that name other numbers are not alike, whatever their cosine.
    """
    pairs = sorted({(drawn, original) for drawn, original in pairs if drawn})
    if not pairs:
        return [{"drawn": "", "original": "", "similarity": 0.0}]
    every = sorted({sentence for pair in pairs for sentence in pair})
    vectors = dict(zip(every, centred(embed(every)), strict=True))
    cosines = {(a, b): -1.0 if sums and numbers(a) != numbers(b) else float(vectors[a] @ vectors[b]) for a, b in pairs}
    return [{"drawn": a, "original": b, "similarity": cosine} for (a, b), cosine in cosines.items()]


def centred(vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Unit vectors after their directions' mean was removed: all share it, and it would make every cosine high."""
    unit = torch.nn.functional.normalize(vectors.double(), dim=-1)
    return torch.nn.functional.normalize(unit - unit.mean(dim=0), dim=-1)


def embedder(name: str, nla: NLA) -> Embed:
    """`ar`: the vector that the AR makes of a sentence alone. Else an encoder on the hub or in a folder: the mean of
    its last hidden states over the sentence's tokens, as sentence encoders are read.
    """
    if name == "ar":
        return nla.reconstruct
    from transformers import pipeline

    try:
        encode: Any = pipeline("feature-extraction", model=name, device=nla.verbalizer.device)
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise UserError(f"no sentence encoder {name!r}: expected ar, a folder or a hub name ({said})") from None
    return lambda some: torch.stack([torch.tensor(found[0]).mean(dim=0) for found in encode(list(some))])
