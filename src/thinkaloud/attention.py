"""Attention masks for packed rows, shared prefixes and a shared KV cache: one attention function for every family.

Transformers lets a model be switched to a registered function. Ours is told by a keyword argument of the forward call,
a `Layout`, where every query and every key stands, so that rows of different lengths share one cache, and the
responses of a group are laid end to end behind their prompt.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface

from thinkaloud import families

_NAME = "thinkaloud"
_KEY = "thinkaloud_layout"


@dataclass
class Layout:
    """Where queries and keys stand: a query sees the keys at its own place and before.

    With `segments`, it sees those of its own segment and of segment 0 alone. Leading sizes of 1 are for all rows.
    """

    queries: Int[Tensor, "#n q"]
    keys: Int[Tensor, "#n k"]
    segments: tuple[Int[Tensor, "#n q"], Int[Tensor, "#n k"]] | None = None
    _masks: dict[int | None, Tensor] = field(default_factory=dict, repr=False)

    def mask(self, window: int | None) -> Bool[Tensor, "#n 1 q k"]:
        """What is seen by queries that look back over `window` keys, their own included; None: all."""
        if window not in self._masks:
            distance = self.queries[:, :, None] - self.keys[:, None, :]
            seen = distance >= 0
            if window is not None:
                seen &= distance < window
            if self.segments is not None:
                queries, keys = self.segments
                seen = seen & ((keys[:, None, :] == queries[:, :, None]) | (keys[:, None, :] == 0))
            self._masks[window] = seen[:, None]
        return self._masks[window]


def arguments(layout: Layout) -> dict[str, Any]:
    """Keyword arguments of a forward call, inside `switched_on`, whose attention follows `layout`."""
    return {_KEY: layout}


def cached(model: nn.Module, cache: Any) -> dict[str, Any]:
    """Keyword arguments of a forward call that reads and fills `cache`; Transformers 5.24 gave it another name."""
    return {_cache_name(type(families.text_model(model))): cache}


@lru_cache
def _cache_name(kind: Any) -> str:
    return "cache" if "cache" in inspect.signature(kind.forward).parameters else "past_key_values"


@contextmanager
def switched_on(model: nn.Module) -> Iterator[None]:
    """Inside, the model attends by the layouts it is given. A backward pass that recomputes blocks belongs inside."""
    config = families.text_model(model).config
    before = config._attn_implementation
    config._attn_implementation = _NAME
    try:
        yield
    finally:
        config._attn_implementation = before


@contextmanager
def reading(model: nn.Module) -> Iterator[None]:
    """`switched_on` for a model that is not trained inside: without dropout, and with its cache.

    Transformers takes the cache away from blocks that are to be recomputed, silently, as long as they are in training.
    """
    with evaluating(model), switched_on(model):
        yield


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode inside, and behind it whatever mode each part was in before."""
    training = {module: module.training for module in model.modules()}  # parts may differ from the whole
    model.eval()
    try:
        yield
    finally:
        for module, before in training.items():
            module.training = before


def attend(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    softcap: float | None = None,
    sliding_window: int | None = None,
    **given: Any,
) -> tuple[Tensor, None]:
    """Attention of `query` [n, h, q, w] over `key` and `value` [n, g, k, w], g dividing h; returns [n, q, h, w].

    One query a row sees its keys without their being repeated for the heads that share them.
    """
    rows, heads, queries, width = query.shape
    shared = heads // key.shape[1]
    mask = given[_KEY].mask(sliding_window)
    if shared > 1 and queries == 1:
        query = query.view(rows, heads // shared, shared, width)
    elif shared > 1:
        key, value = key.repeat_interleave(shared, dim=1), value.repeat_interleave(shared, dim=1)
    if softcap is None:
        out = scaled_dot_product_attention(query, key, value, mask, dropout_p=dropout, scale=scaling)
    else:
        scores = torch.matmul(query, key.transpose(2, 3)) * (width**-0.5 if scaling is None else scaling)
        scores = (softcap * torch.tanh(scores / softcap)).masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = torch.softmax(scores, dim=-1, dtype=torch.float32).to(query.dtype)
        out = torch.matmul(torch.dropout(weights, dropout, module.training), value)
    return out.reshape(rows, heads, queries, width).transpose(1, 2), None


AttentionInterface.register(_NAME, attend)
