"""A step of another trainer, by its own code, on the shape that ours is measured on.

nanoNLA (github.com/senku14x/nanoNLA, measured at commit 8edc890) is imported from a checkout that is given; nothing of
it is here. Its trainer handles one prompt, one text and one micro-batch after the other, so a share of a step is run
and the seconds are scaled up. Its regression of the critic is written into its main loop and cannot be called: it is
left out, in the peer's favour.
"""

import sys
import types
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from peft import LoraConfig, get_peft_model
from shapes import LAYER, SHAPES, make_model, make_tokenizer
from torch import Tensor, nn

from thinkaloud import families


class _Told(NamedTuple):
    backbone_last_hidden: Tensor


class _Critic(nn.Module):
    """What the peer's scoring calls: the blocks up to the layer, and a head."""

    def __init__(self, backbone: Any, width: int, device: torch.device) -> None:
        super().__init__()
        self.backbone = backbone
        self.value_head = nn.Linear(width, width, bias=False, device=device, dtype=backbone.dtype)

    def forward(self, input_ids: Tensor, attention_mask: Tensor | None) -> _Told:
        return _Told(self.backbone(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state)


def nanonla_step(
    checkout: Path, shape: str, device: torch.device, prompts: int, group: int, cap: int, clock: Any, share: int
) -> dict[str, float]:
    """Seconds of the parts of a step: one `share`th of it is run. `clock(name)` times what is inside it."""
    sys.path.insert(0, str(checkout))
    sys.modules.setdefault("wandb", types.ModuleType("wandb"))
    trainer = import_module("nla.train_rl_self_contained")
    tokenizer = make_tokenizer(SHAPES[shape]["vocab_size"])
    tokenizer.eos_token = "w0"
    lora = LoraConfig(r=128, lora_alpha=16, use_rslora=True, target_modules="all-linear", task_type="CAUSAL_LM")
    actor: Any = get_peft_model(make_model(shape, device), lora)
    actor.add_adapter("reference", lora)
    actor.to(device)
    critic = _Critic(families.truncated(make_model(shape, device), LAYER[shape]), families.d_model(actor), device)
    optimizer = torch.optim.AdamW([p for p in actor.parameters() if p.requires_grad], lr=1e-6)
    slot, given = 40, [None]
    trainer._register_karvonen_hook(actor, given, slot, slot - 1, slot + 1)
    words = " ".join(f"w{i}" for i in range(1, 126))
    vectors = torch.randn(max(1, prompts // share), families.d_model(actor))

    def rollouts(cap: int) -> list[Any]:
        return [
            trainer.rollout_one_prompt(
                actor, tokenizer, words, vector, given, slot, group, cap, 1.0, device, eos_ids={-1}
            )
            for vector in vectors
        ]

    def run(cap: int, timed: Callable[[str], Any]) -> None:
        actor.eval()
        with timed("rollout"):
            said = [one for found in rollouts(cap) for one in found]
        golds = [vector for vector in vectors for _ in range(group)]
        with timed("score"):
            trainer.score_with_critic(
                critic, tokenizer, [one["text"] for one in said], golds, "{explanation}\nw1",
                families.d_model(actor) ** 0.5, device,
            )  # fmt: skip
        actor.train()
        with timed("update"):
            trainer.grpo_update_microbatched(
                actor, optimizer, tokenizer, [one["full_ids"] for one in said], [one["prompt_len"] for one in said],
                golds, [one["old_logp"] for one in said], torch.randn(len(said), device=device), given, device,
            )  # fmt: skip

    run(4, type(clock)(device))  # warms up
    run(cap, clock)
    return {name: value * prompts / len(vectors) for name, value in clock.seconds.items()}
