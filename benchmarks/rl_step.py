"""Time of an RL step, where it goes, and the arithmetic floor.

    python benchmarks/rl_step.py --shape qwen2.5-1.5b --mode full --prompts 16 --group 16
    python benchmarks/rl_step.py --shape qwen2.5-7b --mode adapter --prompts 64 --group 8
    python benchmarks/rl_step.py --shape smollm2-135m --prompts 64 --group 8 --prompt 35 --response 72 --compile

A whole step of `training/rl.py` on random weights: rollouts that all run to the cap behind a prompt, the AR's pass and
its regression, the reference, the AV's update, the optimizer. Responses are said to have closed, so that nothing is
spared. Prints one JSON line with the seconds of each part, its floor (the matrix products of that part at the machine's
measured rate) and the share of the floor reached. With `--peer`, a checkout of nanoNLA, the parts of its step are timed
in the same run by its own code (peers.py).
"""

import argparse
import gc
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from peers import nanonla_step
from shapes import LAYER, SHAPES, machine, make_model, make_tokenizer, matmul_ceiling

from thinkaloud import families
from thinkaloud.config.groups import Lora
from thinkaloud.config.train import RL
from thinkaloud.contract import Contract, Marker
from thinkaloud.explanation import Explanation
from thinkaloud.pair.formats.official import head_from
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.rollout.base import Sampling
from thinkaloud.site import Site
from thinkaloud.training import losses
from thinkaloud.training.learner import require_gradients
from thinkaloud.training.policy import Policy
from thinkaloud.training.reward_model import RewardModel


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class Clock:
    """Seconds of named parts."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        synchronize(self.device)
        begin = time.perf_counter()
        yield
        synchronize(self.device)
        self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - begin


class Fixed(Verbalizer):
    """A verbalizer whose prompt is so many words with the vector a third of the way in: no chat template is asked."""

    length = 125

    def __post_init__(self) -> None:
        self.prompt_ids, self.slots = torch.arange(1, self.length + 1), (self.length // 3,)


def make_pair(shape: str, mode: str, device: torch.device, rank: int, prompt: int) -> tuple[Fixed, Reconstructor]:
    """Random weights: float32 where all of them learn, as the device likes them under an adapter."""
    tokenizer, site = make_tokenizer(SHAPES[shape]["vocab_size"]), Site("resid_post", LAYER[shape])
    model = make_model(shape, device)
    backbone = families.truncated(make_model(shape, device), site.layer)
    if mode == "full":
        model, backbone = model.float(), backbone.float()
    width = families.d_model(model)
    av = Contract("av", width, site, av_template="{injection_char}", marker=Marker("w", 1, 0, 2), injection_scale=1.0)
    ar = Contract("ar", width, site, ar_template="{explanation}\nw1", mse_scale=width**0.5, ar_suffix_ids=(1,))
    head = head_from(torch.eye(width)).to(device).requires_grad_(True)
    given = (mode, Lora(rank=rank, alpha=16))
    Fixed.length = prompt
    return (
        Fixed(require_gradients(model, *given), tokenizer, av),
        Reconstructor(require_gradients(backbone, *given), head, tokenizer, ar),
    )


def let_recompute(model: Any) -> None:
    """Blocks recomputed in the backward pass."""
    families.text_model(model).gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--mode", choices=("full", "adapter"), default="full")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--prompts", type=int, default=16)
    parser.add_argument("--group", type=int, default=16)
    parser.add_argument("--rank", type=int, default=128)
    parser.add_argument("--micro-tokens", type=int, default=32768)
    parser.add_argument("--prompt", type=int, default=125, help="tokens of the AV's prompt")
    parser.add_argument("--response", type=int, default=150, help="tokens of every response")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--compile", action="store_true", help="blocks compiled for training")
    parser.add_argument("--peer", type=Path, help="a checkout of nanoNLA, an eighth of whose step is timed too")
    parser.add_argument("--steps", type=int, default=3, help="timed steps, after one that warms up")
    args = parser.parse_args()
    device, rows = torch.device(args.device), args.prompts * args.group
    config = RL.of(
        nla="", data="", out="", prompts=args.prompts, group=args.group, max_tokens=args.response, rollout_rows=rows,
        micro_tokens=args.micro_tokens, device=args.device, compile=args.compile,
    )  # fmt: skip
    av, ar = make_pair(args.shape, args.mode, device, args.rank, args.prompt)
    if args.checkpointing:
        let_recompute(av.model)
        let_recompute(ar.backbone)
    policy, reward_model = Policy(av, config), RewardModel(ar, config)
    learning = [p for m in (av.model, reward_model.module) for p in m.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=1e-6, fused=device.type == "cuda")
    vectors = torch.randn(args.prompts, families.d_model(av.model))
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    clocks = []
    for step in range(args.steps + 1):
        clock = Clock(device)
        with clock("rollout"):
            groups = policy.sample(vectors, args.group, Sampling(1.0, args.response, step))
        said: list[Explanation] = [replace(one, finish="closed") for group in groups for one in group]
        with clock("ar"):
            mse = reward_model.score(
                [one.raw for one in said], vectors.repeat_interleave(args.group, 0), args.micro_tokens
            )
        advantages = losses.advantages(-mse.view(-1, args.group), True).flatten()
        with clock("update"):
            policy.update(vectors, [one.token_ids for one in said], advantages, args.micro_tokens)
        with clock("optimizer"):
            torch.nn.utils.clip_grad_norm_(learning, 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
            policy.refresh()
        clocks.append(clock.seconds)
    part = {name: sum(c[name] for c in clocks[1:]) / args.steps for name in clocks[0]}
    total = sum(part.values())

    ceiling = matmul_ceiling(device, torch.bfloat16 if device.type == "cuda" else torch.float32)
    base_blocks = sum(p.numel() for n, p in families.blocks(av.model).named_parameters() if "lora_" not in n)
    ar_blocks = sum(p.numel() for n, p in families.blocks(ar.backbone).named_parameters() if "lora_" not in n)
    head = sum(p.numel() for p in families.head(av.model).parameters())
    tokens = rows * args.response
    read = rows * (args.response - 1) + args.prompts * args.prompt
    # A backward pass takes twice a forward pass where weights learn, once where an adapter over them does.
    back = 2 if args.mode == "full" else 1
    again = 1 if args.checkpointing else 0
    floor = {
        "rollout": 2 * (args.prompts * args.prompt * base_blocks + tokens * (base_blocks + head)) / ceiling,
        "ar": 2 * rows * (args.response + 1) * ar_blocks * (1 + back + again) / ceiling,
        "update": 2 * (read * base_blocks + tokens * head) * (1 + 1 + back + again) / ceiling,
    }
    result = {
        "benchmark": "rl_step",
        "machine": machine(device),
        "torch": torch.__version__,
        "shape": args.shape,
        "mode": args.mode,
        "prompts": args.prompts,
        "group": args.group,
        "prompt_tokens": args.prompt,
        "response_tokens": args.response,
        "checkpointing": args.checkpointing,
        "compile": args.compile,
        "step_s": round(total, 2),
        "seconds": {name: round(value, 3) for name, value in part.items()},
        "first_step_s": round(sum(clocks[0].values()), 2),
        "floor_s": {name: round(value, 3) for name, value in floor.items()},
        "share_of_floor": {name: round(value / part[name], 3) for name, value in floor.items()},
        "ceiling_tflop_s": round(ceiling / 1e12, 1),
        "peak_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1) if device.type == "cuda" else None,
    }
    print(json.dumps(result), flush=True)
    if args.peer:
        del av, ar, policy, reward_model, learning, optimizer
        gc.collect()
        seconds = nanonla_step(
            args.peer, args.shape, device, args.prompts, args.group, args.response, Clock(device), min(8, args.prompts)
        )
        peer = {"seconds": {name: round(value, 2) for name, value in seconds.items()}}
        ratio = round(sum(seconds.values()) / total, 1)
        step = round(sum(seconds.values()), 1)
        print(
            json.dumps(
                {
                    **{name: result[name] for name in ("benchmark", "machine", "shape", "prompts", "group")},
                    "engine": "nanoNLA",
                    "step_s": step,
                    **peer,
                    "ratio": ratio,
                }
            )
        )


if __name__ == "__main__":
    main()
