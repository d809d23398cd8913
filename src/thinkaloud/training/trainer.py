"""`Trainer`: AdamW, gradient clipping, each step's learning rate as a schedule gives it, checkpoints and log."""

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from thinkaloud.atomic import write_text
from thinkaloud.config.groups import Optim
from thinkaloud.training import checkpoint, run_folder


def adamw(
    parts: Sequence[Iterable[nn.Parameter]], weight_decay: float, betas: tuple[float, float]
) -> torch.optim.AdamW:
    """AdamW that decays matrices alone, fused on an accelerator; its groups say of which of `parts` they are."""
    groups = [
        {"params": chosen, "weight_decay": decay, "part": i}
        for i, learning in enumerate(map(list, parts))
        for matrices, decay in ((True, weight_decay), (False, 0.0))
        if (chosen := [p for p in learning if (p.ndim >= 2) == matrices])
    ]
    return torch.optim.AdamW(groups, betas=betas, fused=groups[0]["params"][0].device.type == "cuda")


@dataclass(frozen=True)
class Part:
    """A module that learns with a learning rate of its own, which `lr` gives for a 0-based step.

    `suffix` is what its figures in the log end with.
    """

    suffix: str
    module: nn.Module
    lr: Callable[[int], float]


class Trainer:
    """A run's state on its way: its weights and optimizers, its figures in `state`, and the files of its folder.

    `module` holds all parts, and names the weights in a checkpoint.
    """

    def __init__(
        self,
        out: Path,
        module: nn.Module,
        parts: Sequence[Part],
        *,
        steps: int,
        optim: Optim,
        betas: tuple[float, float],
        watch: Callable[[dict[str, Any]], None],
        note: Callable[[str], None],
    ) -> None:
        self.out, self.module, self.steps, self.watch, self.note = out, module, steps, watch, note
        self.max_grad_norm = optim.max_grad_norm
        self.parts = [(part, list(checkpoint.trainable(part.module).values())) for part in parts]
        self.optimizer = adamw([parameters for _, parameters in self.parts], optim.weight_decay, betas)
        self.state: dict[str, Any] = {f"skipped{part.suffix}": 0 for part in parts}

    @property
    def checkpoints(self) -> Path:
        return self.out / "checkpoints"

    def resume(self) -> int | None:
        """Restore the newest whole checkpoint; returns its step, None where there is none.

        The log forgets later steps, which will be done again.
        """
        done = checkpoint.newest(self.checkpoints, self.note)
        if done is not None:
            self.restore(done)
        for name in (run_folder.METRICS, run_folder.SAMPLES):
            run_folder.forget_after(self.out / name, -1 if done is None else done)
        return done

    def restore(self, step: int) -> None:
        """Weights, optimizer, generators and state as they were at the checkpoint of a step."""
        self.state = checkpoint.load(self.checkpoints, step, self.module, self.optimizer)
        del self.state["step"]

    def update(self, step: int) -> dict[str, Any]:
        """One step of AdamW on the gradients there are, and their norms, clipped part by part.

        A part whose gradient is not finite is left as it is, and counted as skipped.
        """
        metrics: dict[str, Any] = {"lr": self.parts[0][0].lr(step)}
        for i, (part, parameters) in enumerate(self.parts):
            for group in self.optimizer.param_groups:
                if group["part"] == i:
                    group["lr"] = part.lr(step)
            if not parameters:
                continue
            norm = float(torch.nn.utils.clip_grad_norm_(parameters, self.max_grad_norm))
            metrics[f"grad_norm{part.suffix}"] = norm if math.isfinite(norm) else None
            if not math.isfinite(norm):
                self.state[f"skipped{part.suffix}"] += 1
                for parameter in parameters:
                    parameter.grad = None
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return metrics

    def log(self, metrics: Mapping[str, Any]) -> None:
        """A line of the log, for whoever watches too."""
        run_folder.append(self.out / run_folder.METRICS, [dict(metrics)])
        self.watch(dict(metrics))

    def save(self, step: int, also: Collection[int] = (), keep: int = checkpoint.KEEP) -> None:
        """Write the checkpoint of a step; the last `keep` stay, and those of the steps in `also`."""
        checkpoint.save(self.checkpoints, step, self.module, self.optimizer, self.state, also, keep)
        write_text(self.out / run_folder.STATUS, f"running {step} of {self.steps}")

    def stopped(self, step: int) -> None:
        """Note that the run was told to stop after a step, which is saved."""
        write_text(self.out / run_folder.STATUS, f"stopped at {step} of {self.steps}")
