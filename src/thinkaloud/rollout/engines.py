"""Rollout engines by name."""

from typing import Any

from thinkaloud.errors import UserError
from thinkaloud.rollout.base import Engine


def make(name: str, model: Any, tokenizer: Any, rows: int = 256, dtype: Any = None) -> Engine:
    """The engine `name` over `model`'s weights: "lockstep", or "vllm", which may keep a copy of them in `dtype`."""
    if name == "lockstep":
        from thinkaloud.rollout.lockstep import Lockstep

        return Lockstep(model, tokenizer, rows)
    if name == "vllm":
        from thinkaloud.rollout.vllm import VLLM

        return VLLM(model, tokenizer, rows, dtype)
    raise UserError(f"engine must be lockstep or vllm, found {name!r}")
