"""Trainable parameters: all weights, the adapter there is, or a fresh LoRA; dropout off, gradient checkpointing."""

from typing import Any

import torch
from torch import nn

from thinkaloud import families
from thinkaloud.config.groups import Lora
from thinkaloud.errors import UserError
from thinkaloud.pair.formats import adapters


def require_gradients(model: Any, mode: str, lora: Lora, checkpointing: bool = False) -> Any:
    """`model` with what the mode trains asking for gradients: all of it, its adapter, or a fresh one.

    With `checkpointing` the model is in train mode, without which Transformers recomputes nothing. Train mode switches
    dropout on, which there is none of any more, and takes the cache from the blocks: rollouts and evaluations switch it
    off for as long as they last.
    """
    has_adapter = hasattr(model, "peft_config")
    if mode == "full" and has_adapter:
        raise UserError("the checkpoint is an adapter: train it as one (mode auto), or merge it first")
    _drop_dropout(model)
    if mode == "adapter" and not has_adapter:
        model = adapters.fresh(model, lora.rank, lora.alpha)
    else:
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(not has_adapter or "lora_" in name)
    adapters.in_weight_space(model)
    if checkpointing:
        inner = families.text_model(model)
        inner.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()
    return model


def compute_in_bfloat16(model: nn.Module) -> None:
    """Prepare `model` for passes under autocast to bfloat16, with the residual stream in bfloat16 as well.

    Else the stream is float32, as embeddings are where all weights learn, and what lies between the matrix products
    moves twice the bytes. Rollouts compute in bfloat16 throughout.
    """
    adapters.cast_by_autocast(model)
    embedding = families.embedding(model)
    if embedding.weight.dtype == torch.float32:
        embedding.register_forward_hook(lambda _module, _inputs, out: out.to(torch.bfloat16))


def _drop_dropout(model: nn.Module) -> None:
    parts: list[Any] = list(model.modules())
    for part in parts:
        if isinstance(getattr(part, "attention_dropout", None), float):
            part.attention_dropout = 0.0  # most families keep attention's as a number
        if isinstance(part, nn.Dropout):
            part.p = 0.0
