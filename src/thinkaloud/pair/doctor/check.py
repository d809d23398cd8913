"""A check of a model or a pair, and what all of them need: probe texts and distances."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud import families
from thinkaloud.errors import UserError

TEXT = "The ferry left at noon, and by three the harbour was empty."
OTHER = "Add the flour slowly; the batter should fall from the spoon in ribbons."


@dataclass(frozen=True)
class Check:
    """One finding. `ok` is None where nothing can be said; `advice` is what to do where it is off."""

    name: str
    ok: bool | None
    found: str
    advice: str = ""


class Off(UserError):
    """A finding that is off, with advice of its own."""

    def __init__(self, found: str, advice: str) -> None:
        super().__init__(found)
        self.advice = advice


def check(name: str, advice: str = "") -> Callable[[Callable[..., str]], Callable[..., Check]]:
    """Make a check of a function that returns what it finds, and raises `UserError` where that is off.

    The check may be called by another `name` than its own.
    """

    def decorate(look: Callable[..., str]) -> Callable[..., Check]:
        @wraps(look)
        @torch.inference_mode()
        def run(*args: Any, name: str = name) -> Check:
            try:
                return Check(name, True, look(*args))
            except UserError as error:
                return Check(name, False, str(error), getattr(error, "advice", advice))

        return run

    return decorate


def require(ok: bool, found: str) -> str:
    """What was found, refused unless it is `ok`."""
    if not ok:
        raise UserError(found)
    return found


def probe_ids(model: Any, tokenizer: Any) -> Tensor:
    """The ids [1, t] of a probe text, where the model is."""
    device = families.embedding(model).weight.device
    return torch.tensor([list(tokenizer(TEXT)["input_ids"])], device=device)


def relative(found: Float[Tensor, "..."], wanted: Float[Tensor, "..."]) -> float:
    """The largest difference, as a share of the largest value."""
    return float((found.float() - wanted.float()).abs().max() / wanted.float().abs().max())


def tolerance(x: Tensor) -> float:
    """How far two ways of the same sum may be apart: a few roundings of the dtype."""
    return 16 * torch.finfo(x.dtype).eps
