"""Injection: how a vector enters the AV's prompt. One class a kind, in a registry; imports no torch.

Vectors are an input of the call, in every kind. Nothing is remembered between calls, so activation checkpointing, which
runs a block a second time during the backward pass, finds the same vectors again.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from thinkaloud.errors import UserError

if TYPE_CHECKING:
    from jaxtyping import Float
    from torch import Tensor

ADD_BLOCK = 1  # norm-matched addition happens at the output of this block (0-based)
_KEY = "thinkaloud_injection"


class Injection(ABC):
    """A kind of injection. A new one is a subclass with a `@register(name)`; contracts name it by that.

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


KINDS: dict[str, Injection] = {}
_Kind = TypeVar("_Kind", bound=Injection)


def register(name: str) -> Callable[[type[_Kind]], type[_Kind]]:
    """Class decorator: the kind is known by `name` from now on."""

    def keep(kind: type[_Kind]) -> type[_Kind]:
        kind.name = name
        KINDS[name] = kind()
        return kind

    return keep


def kind(name: str) -> Injection:
    """The injection called `name`."""
    if name not in KINDS:
        raise UserError(f"injection must be one of {', '.join(KINDS)}, found {name!r}")
    return KINDS[name]


@register("replace")
class Replace(Injection):
    """v · scale/‖v‖ in place of the marker's embedding. No embedding scale of the family is applied to it."""

    takes_scale = True
    place = "in place of the marker's embedding"

    def apply(
        self, embeds: "Float[Tensor, 'n t d']", slots: Sequence[int], vectors: "Float[Tensor, 'n s d']"
    ) -> "tuple[Float[Tensor, 'n t d'], dict[str, Any]]":
        return embeds.index_copy(1, _index(slots, embeds), vectors.to(embeds.dtype)), {}


@register("add")
class Add(Injection):
    """h ← h + ‖h‖ · v/‖v‖ at the output of block 1. Karvonen et al. 2025, "Activation Oracles", equation 1."""

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


def check_vectors(vectors: "Tensor", d_model: int) -> None:
    """Refuse vectors that cannot be read: a wrong width, NaN or infinity, or all zeros (which have no direction)."""
    if vectors.shape[-1] != d_model:
        raise UserError(f"vectors must be {d_model} wide, found {vectors.shape[-1]}: they are of another model")
    flat = vectors.detach().float().reshape(-1, d_model)
    bad = ~flat.isfinite().all(dim=1)
    if bad.any():
        raise UserError(f"vector {int(bad.nonzero()[0])} holds NaN or infinity: {int(bad.sum())} of {len(flat)} do")
    zero = (flat == 0).all(dim=1)
    if zero.any():
        raise UserError(
            f"vector {int(zero.nonzero()[0])} is zero and has no direction: {int(zero.sum())} of {len(flat)} are"
        )


def scaled(vectors: "Float[Tensor, '*n d']", norm: float) -> "Float[Tensor, '*n d']":
    """Vectors scaled to L2 norm `norm`; the norm is taken in float32 or better."""
    return vectors / (_wide(vectors).norm(dim=-1, keepdim=True) / norm).to(vectors.dtype)


def _wide(x: "Tensor") -> "Tensor":
    import torch

    return x.to(torch.promote_types(x.dtype, torch.float32))


def _index(slots: Sequence[int], like: "Tensor") -> "Tensor":
    import torch

    return torch.tensor(list(slots), device=like.device)
