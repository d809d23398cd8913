"""Work on an accelerator whose memory runs out: done again in smaller pieces, which the run then keeps to."""

import gc
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch

from thinkaloud.errors import UserError

T = TypeVar("T")


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
