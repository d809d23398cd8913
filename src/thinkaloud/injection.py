"""Injection: how a vector enters the AV's prompt. One class a kind, in a registry; torch only inside calls.

Vectors are an input of the call, in every kind. Nothing is remembered between calls, so activation checkpointing, which
runs a block a second time during the backward pass, finds the same vectors again.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from thinkaloud.errors import UserError
from thinkaloud.registry import Registry

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

ADD_BLOCK = 1  # norm-matched addition happens at the output of this block (0-based)
VARIABLE = "THINKALOUD_INJECTION"
_KEY = "thinkaloud_injection"


class Injection(ABC):
    """A kind of injection. A new one is a subclass with a `name`, which contracts have, below `@injection`.

    `takes_scale`: its contract must say `extraction.injection_scale`, the norm of the injected vector. `entry_block`:
    the first block whose input holds the vector; at 0 the vector is a row of `inputs_embeds`. `place` says it in words.
    """

    name = ""
    takes_scale = False
    entry_block = 0
    place = ""

    def prepare(self, vectors: "Float[Tensor, '*n d']", scale: float | None) -> "Float[Tensor, '*n d']":
        """Vectors at the norm they are injected with, by the contract's `scale`."""
        return scaled(vectors, scale) if scale else vectors

    def install(self, model: Any) -> None:  # noqa: B027
        """Let `model` take what `apply` hands to its forward call. Installing twice is harmless."""

    @abstractmethod
    def apply(
        self, embeds: "Float[Tensor, 'n t d']", slots: Sequence[int], vectors: "Float[Tensor, 'n s d']"
    ) -> "tuple[Float[Tensor, 'n t d'], dict[str, Any]]":
        """`inputs_embeds` and keyword arguments of the forward call that put `vectors[i, j]` at slot j of row i.

        Slots are counted within `embeds`, which may begin behind what all prompts share. Out of place and
        differentiable, without a device sync.
        """


injection: Registry[type[Injection]] = Registry("kind of injection")


def kind(name: str) -> Injection:
    """The injection called `name`, as contracts call it: a checkpoint never makes a file run.

    One that is not built in is known once its file has been imported, or where the environment variable `VARIABLE`
    names the file.
    """
    if name not in injection and (file := os.environ.get(VARIABLE)):
        injection.find(file)
    if name not in injection:
        raise UserError(
            f"injection must be one of {', '.join(injection)}, found {name!r}: "
            f"if a Python file of yours registers it, set {VARIABLE} to the file"
        )
    return _made(injection[name])


@cache
def _made(kind: type[Injection]) -> Injection:
    """One of a kind, so that prompts with the same injection are seen to be alike."""
    return kind()


def chosen(name: str) -> Injection:
    """The injection that a user asks for: called `name`, or registered by the Python file `name`."""
    return _made(injection.find(name)) if name.endswith(".py") else kind(name)


@injection
class Replace(Injection):
    """v · scale/‖v‖ in place of the marker's embedding. No embedding scale of the family is applied to it."""

    name = "replace"
    takes_scale = True
    place = "in place of the marker's embedding"

    def apply(
        self, embeds: "Float[Tensor, 'n t d']", slots: Sequence[int], vectors: "Float[Tensor, 'n s d']"
    ) -> "tuple[Float[Tensor, 'n t d'], dict[str, Any]]":
        return embeds.index_copy(1, _index(slots, embeds), vectors.to(embeds.dtype)), {}


@injection
class Add(Injection):
    """h ← h + ‖h‖ · v/‖v‖ at the output of block 1. Karvonen et al. 2025, "Activation Oracles", equation 1."""

    name = "add"
    entry_block = ADD_BLOCK + 1
    place = f"added behind block {ADD_BLOCK}"

    def install(self, model: Any) -> None:
        from thinkaloud import families, hooks
        from thinkaloud.site import Site

        block: Any = families.blocks(model)[ADD_BLOCK]
        if not getattr(block, "_thinkaloud_adds", False):
            block._thinkaloud_adds = True
            # Keyword arguments reach every block, also when it is run again for activation checkpointing.
            hooks.edit(
                model, Site("resid_post", ADD_BLOCK), lambda h, given: add_at(h, *given[_KEY]) if _KEY in given else h
            )

    def apply(
        self, embeds: "Float[Tensor, 'n t d']", slots: Sequence[int], vectors: "Float[Tensor, 'n s d']"
    ) -> "tuple[Float[Tensor, 'n t d'], dict[str, Any]]":
        return embeds, {_KEY: (tuple(slots), vectors.to(embeds.dtype))}


def add_at(
    hidden: "Float[Tensor, 'n t d']", slots: Sequence[int], vectors: "Float[Tensor, 'n s d']"
) -> "Float[Tensor, 'n t d']":
    """h + ‖h‖ · v/‖v‖ at the slots."""
    from torch.nn.functional import normalize

    index = _index(slots, hidden)
    at = hidden.index_select(1, index)
    unit = normalize(_wide(vectors), dim=-1).to(hidden.dtype)
    return hidden.index_copy(1, index, at + at.norm(dim=-1, keepdim=True) * unit)


def scaled(vectors: "Float[Tensor, '*n d']", norm: float) -> "Float[Tensor, '*n d']":
    """Vectors scaled to L2 norm `norm`; the norm is taken in float32 or better."""
    return vectors / (_wide(vectors).norm(dim=-1, keepdim=True) / norm).to(vectors.dtype)


def _wide(x: "Tensor") -> "Tensor":
    import torch

    return x.to(torch.promote_types(x.dtype, torch.float32))


def _index(slots: Sequence[int], like: "Tensor") -> "Tensor":
    import torch

    return torch.tensor(list(slots), device=like.device)
