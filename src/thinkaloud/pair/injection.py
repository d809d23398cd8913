"""How a vector enters the prompt: in place of the marker's embedding, or added to the residual stream.

Both ways take the vectors as an input of the call. Nothing is remembered between calls, so activation checkpointing,
which runs a block a second time during the backward pass, finds the same vectors again.
"""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud import families
from thinkaloud.errors import UserError

ADD_BLOCK = 1  # norm-matched addition happens at the output of this block (0-based)
_KEY = "thinkaloud_injection"


def check_vectors(vectors: Tensor, d_model: int) -> None:
    """Refuse vectors that cannot be read: a wrong width, NaN or infinity, or all zeros (which have no direction)."""
    if vectors.shape[-1] != d_model:
        raise UserError(f"vectors must be {d_model} wide, found {vectors.shape[-1]}: they are of another model")
    flat = vectors.detach().float().reshape(-1, d_model)
    bad = ~torch.isfinite(flat).all(dim=1)
    if bad.any():
        raise UserError(f"vector {int(bad.nonzero()[0])} holds NaN or infinity: {int(bad.sum())} of {len(flat)} do")
    zero = (flat == 0).all(dim=1)
    if zero.any():
        raise UserError(
            f"vector {int(zero.nonzero()[0])} is zero and has no direction: {int(zero.sum())} of {len(flat)} are"
        )


def scaled(vectors: Float[Tensor, "... d"], norm: float) -> Float[Tensor, "... d"]:
    """Vectors scaled to L2 norm `norm`; the norm is taken in float32 or better."""
    return vectors / (_wide(vectors).norm(dim=-1, keepdim=True) / norm).to(vectors.dtype)


def _wide(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def replace_slots(
    embeds: Float[Tensor, "n t d"], slots: Sequence[int], vectors: Float[Tensor, "n s d"]
) -> Float[Tensor, "n t d"]:
    """`embeds` with row i's slot j overwritten by `vectors[i, j]`. Out of place, differentiable, no device sync."""
    index = torch.tensor(list(slots), device=embeds.device)
    return embeds.index_copy(1, index, vectors.to(embeds.dtype))


def add_at_slots(
    hidden: Float[Tensor, "n t d"], slots: Sequence[int], vectors: Float[Tensor, "n s d"]
) -> Float[Tensor, "n t d"]:
    """h ← h + ‖h‖ · v/‖v‖ at the slots. Karvonen et al. 2025, "Activation Oracles", equation 1."""
    index = torch.tensor(list(slots), device=hidden.device)
    at = hidden.index_select(1, index)
    unit = torch.nn.functional.normalize(_wide(vectors), dim=-1).to(hidden.dtype)
    return hidden.index_copy(1, index, at + at.norm(dim=-1, keepdim=True) * unit)


def install_add(model: Any) -> None:
    """Let block `ADD_BLOCK` of `model` add vectors handed to it by `add_arguments`. Installing twice is harmless."""
    block = families.blocks(model)[ADD_BLOCK]
    if getattr(block, "_thinkaloud_adds", False):
        return
    block._thinkaloud_adds = True  # type: ignore[assignment]

    # Keyword arguments reach every block, also when it is run again for activation checkpointing.
    def hook(_module: Any, _args: Any, kwargs: dict[str, Any], output: Any) -> Any:
        given = kwargs.get(_KEY)
        if given is None:
            return output
        if isinstance(output, tuple):
            return (add_at_slots(output[0], *given), *output[1:])
        return add_at_slots(output, *given)

    block.register_forward_hook(hook, with_kwargs=True)


def add_arguments(slots: Sequence[int], vectors: Float[Tensor, "n s d"]) -> dict[str, Any]:
    """Keyword arguments of a forward call that make the installed block add `vectors` at `slots`."""
    return {_KEY: (tuple(slots), vectors)}
