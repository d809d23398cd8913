"""Micro-batches: halved where accelerator memory runs out, logits in pieces."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from thinkaloud import families
from thinkaloud.errors import UserError

T = TypeVar("T")
LOGITS = {"cpu": 1 << 26, "cuda": 1 << 28}  # held at once: in float32 256 MiB, 1 GiB


@dataclass
class PieceSize:
    """How much is computed at once. `size` is halved whenever memory runs out, down to `least`, and stays so.

    `advice` says what to lower when even `least` is too much; `note` is given a line when `size` has changed.
    """

    name: str
    size: int
    least: int
    advice: str
    note: Callable[[str], None]

    def fit(self, work: Callable[[int], T]) -> T:
        """What `work` returns for a size that fits. It is called again from its beginning after each failure.

        UserError where nothing fits.
        """
        before = self.size
        while True:
            try:
                done = work(self.size)
                break
            except torch.OutOfMemoryError:
                pass  # inside this block the traceback would hold every tensor of the failed attempt
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            if self.size <= self.least:
                raise UserError(f"out of memory even with {self.name} {self.size}: {self.advice}")
            self.size = max(self.least, self.size // 2)
        if self.size < before:
            self.note(f"out of memory: going on with {self.name} {self.size}")
        return done


def logits_in_pieces(model: nn.Module, work: Callable[..., Any], *tensors: Tensor | None) -> list[Any]:
    """What `work`, which makes logits of `model`, returns for all rows of `tensors`, a bounded number at a time.

    Where that is more than one piece, the backward pass makes each piece's logits again.
    """
    (first, *_), inner = tensors, families.text_model(model)
    assert first is not None  # it says how many rows there are
    rows = max(1, LOGITS[first.device.type] // inner.config.vocab_size)
    if len(first) <= rows:
        return [work(*tensors)]
    pieces = [[None if each is None else each[i : i + rows] for each in tensors] for i in range(0, len(first), rows)]
    return [checkpoint(work, *piece, use_reentrant=False) for piece in pieces]
