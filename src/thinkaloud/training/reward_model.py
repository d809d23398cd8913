"""The AR as reward model: direction MSE of each explanation, the gradient of its regression, which ones are valid."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from thinkaloud import families
from thinkaloud.batching import length_batches
from thinkaloud.config.train import RL
from thinkaloud.pair.reconstructor import Reconstructor, pad
from thinkaloud.pair.scores import direction_mse
from thinkaloud.training.learner import compute_in_bfloat16
from thinkaloud.training.reference import Reference


class RewardModel:
    """An AR that rewards explanations and learns on them, and the one it was at the start."""

    def __init__(self, reconstructor: Reconstructor, config: RL) -> None:
        self.reconstructor = reconstructor
        self.device = reconstructor.device
        self.module = nn.ModuleDict({"backbone": reconstructor.backbone, "head": reconstructor.head})
        self.learns = any(p.requires_grad for p in self.module.parameters())
        self.bfloat16 = config.compute.in_bfloat16(self.device.type)
        if self.bfloat16:
            compute_in_bfloat16(self.module["backbone"])
        self.start = Reference(self.module)  # a copy of it, which computes in the same precision
        if config.compute.compile:
            families.compile_blocks(self.module["backbone"], self.start.module["backbone"])

    def score(
        self, texts: Sequence[str], vectors: Float[Tensor, "n d"], micro_tokens: int, weight: float = 1.0
    ) -> Float[Tensor, " n"]:
        """Direction MSE of each text's vector; where the AR learns, the gradient of their mean times `weight` is added.

        One forward pass serves both: it is the reward, and what the regression goes back through.
        """
        encoded = self.reconstructor.encode(texts)
        out = torch.empty(len(texts))
        for rows in length_batches([len(ids) for ids in encoded], micro_tokens):
            with nullcontext() if self.learns else torch.no_grad():
                with self.autocast():
                    pred = self.reconstructor.predict(*pad([encoded[i] for i in rows], self.device))
                mse = direction_mse(pred, vectors[rows].to(self.device))
                if self.learns:
                    (mse.sum() * (weight / len(texts))).backward()
            out[rows] = mse.detach().cpu()
        return out

    def reconstruct(
        self, texts: Sequence[str], frozen: bool = False, batch_tokens: int | None = None
    ) -> Float[Tensor, "n d"]:
        """The vectors the texts describe, by the AR as it is, or as it was at the start."""
        with self.start.reference_weights() if frozen else nullcontext(self.module) as module, self.autocast():
            ar = replace(self.reconstructor, backbone=module["backbone"], head=module["head"])
            return ar.reconstruct(texts, batch_tokens)

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)
