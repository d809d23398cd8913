"""A run of reinforcement learning that has not begun, for tests that look at single steps of it."""

from pathlib import Path
from typing import Any

import pytest
import torch

from thinkaloud.config.train import RL
from thinkaloud.training import rl

CLOCKS = ("seconds", "seconds_rollout", "seconds_eval", "tokens_per_second")


class Run:
    """A run that has not begun, and what it says."""

    def __init__(self, pair: Path, data: Path, out: Path, **changes: Any) -> None:
        out.mkdir()
        given = {
            "prompts": 6, "group": 4, "max_tokens": 16, "lr": 3e-3, "ar_lr": 3e-3, "warmup": 1, "eval_rows": 12,
            "mismatch_every": 1, "device": "cpu", "micro_tokens": 4096, **changes,
        }  # fmt: skip
        self.seen: list[dict[str, Any]] = []
        config = RL.of(nla=str(pair), data=str(data), out=str(out), **given)
        self.run = rl._Run(rl.prepare(config), self.seen.append, lambda: False)
        self.gradients: list[torch.Tensor] = []
        update = self.run.trainer.update

        def watched(step: int) -> dict[str, Any]:
            self.gradients = [p.grad.clone() for p in self.run.module.parameters() if p.grad is not None]
            return update(step)

        self.run.trainer.update = watched  # type: ignore[method-assign]

    def notes(self) -> list[str]:
        return [line["note"] for line in self.seen if "note" in line]

    def step(self) -> dict[str, Any]:
        """The metrics of the first step, but for its clocks."""
        return {name: value for name, value in self.run._step(0).items() if name not in CLOCKS}

    def optimizer_steps(self) -> set[float]:
        return {float(slots["step"]) for slots in self.run.trainer.optimizer.state.values()}


def close(found: dict[str, Any], wanted: dict[str, Any]) -> None:
    """The same figures, but for clocks."""
    assert {name: value for name, value in found.items() if name not in CLOCKS} == {
        name: pytest.approx(value, rel=1e-3, abs=1e-5) if isinstance(value, float) else value
        for name, value in wanted.items()
        if name not in CLOCKS
    }


def same_gradients(found: Run, wanted: Run) -> None:
    most = max(float(gradient.abs().max()) for gradient in wanted.gradients)
    assert most > 1e-3
    for one, other in zip(found.gradients, wanted.gradients, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5 * most, rtol=1e-3)
