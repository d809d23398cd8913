"""What a warm start will take before it begins: learning rates by model size, steps, memory; free of torch."""

import math
from dataclasses import dataclass
from itertools import pairwise

from thinkaloud.config.train import WarmStart
from thinkaloud.pair.verdict import expected

# Peak learning rates by the number of parameters of the model, in the order of size. Warm starts: the pocket pair
# (7.7M, docs/log.md) and SmolLM2-135M whole and at rank 16, both measured; billions as public work has them. RL: the
# same pairs, and public work. A pair that reads already goes on at the rates of RL, which leave it what it has learnt.
RATES = {
    ("warmstart", "full"): ((7.7e6, 1e-3), (1.35e8, 3e-4), (7e9, 2e-5)),
    ("warmstart", "adapter"): ((1.35e8, 1e-3), (7e9, 1e-4)),
    ("rl av", "full"): ((7.7e6, 1e-4), (1.35e8, 3e-5), (7e9, 1.4e-5)),
    ("rl av", "adapter"): ((7e9, 1e-4),),
    ("rl ar", "full"): ((7.7e6, 1e-4), (1.35e8, 5e-5), (7e9, 1.4e-5)),
    ("rl ar", "adapter"): ((7e9, 8e-5),),
}
FINAL = 0.05  # of the peak, at the end of the cosine
WARMUP = 50  # steps, but no more than a tenth of the run
# Rows a step: few rows want many steps. From scratch on the pocket base, 2,048 rows once: AR FVE −0.28 in 8 steps of
# 256, −0.02 in 64 steps of 32.
BATCH, LEAST_BATCH, STEPS = 256, 32, 200
MICRO_TOKENS = {"cpu": 4096, "cuda": 32768}


@dataclass(frozen=True)
class Plan:
    """What a configuration may leave open, decided."""

    batch_size: int
    steps: int
    lr: float
    final_lr_ratio: float
    warmup_steps: int
    micro_tokens: int


def default_lr(stage: str, mode: str, parameters: int) -> float:
    """Peak learning rate for a model of `parameters` weights, those of an adapter's base included.

    Between the points of `RATES` the logarithm of the rate is linear in that of the size; beyond them it stays.
    """
    points = RATES[stage, mode]
    for (small, high), (large, low) in pairwise(points):
        if small <= parameters <= large:
            share = math.log(parameters / small) / math.log(large / small)
            return float(f"{high * (low / high) ** share:.2g}")
    return points[0][1] if parameters <= points[0][0] else points[-1][1]


def decide(config: WarmStart, parameters: int, rows: int, device: str) -> Plan:
    """What `config` says, and what it leaves open by the size of the model, the rows and the type of the device."""
    batch = config.batch_size
    if batch is None:
        batch = BATCH
        while batch > LEAST_BATCH and config.epochs * rows < STEPS * batch:
            batch //= 2
    steps = config.epochs * -(-rows // batch)
    stage = "warmstart" if config.start is None else f"rl {config.role}"
    return Plan(
        batch_size=batch,
        steps=steps,
        lr=config.optim.lr or default_lr(stage, config.mode, parameters),
        final_lr_ratio=FINAL if config.optim.final_lr_ratio is None else config.optim.final_lr_ratio,
        warmup_steps=min(WARMUP, steps // 10) if config.optim.warmup_steps is None else config.optim.warmup_steps,
        micro_tokens=config.compute.micro_tokens or MICRO_TOKENS[device],
    )


def memory(parameters: int, learning: int, blocks: int, width: int, vocabulary: int, micro_tokens: int) -> float:
    """Bytes a warm start in float32 takes at its peak, to about a third: Python, weights, AdamW, what a backward needs.

    A weight that learns comes with its gradient and two moments. A token keeps about 30 vectors a block (measured
    on the pocket base, whose middle is 2.9 widths), and twice its logits.
    """
    return 4e8 + 4 * parameters + 12 * learning + 4 * micro_tokens * (30 * blocks * width + 2 * vocabulary)


def announcement(config: WarmStart, plan: Plan, rows: int, learning: int, peak: float) -> list[str]:
    """What a person is told before the first step: how much there is to do, and what to expect of it."""
    lines = [
        f"{rows:,} rows, {plan.steps:,} steps of {plan.batch_size}; {_many(learning)} weights learn at {plan.lr:.2g} → "
        f"{plan.final_lr_ratio * plan.lr:.2g}; about {peak / 1e9:.1f} GB of memory"
    ]
    if config.start is None:
        lines.append(expected(rows * config.epochs, config.role))
    return lines


def _many(count: int) -> str:
    return f"{count / 1e9:.1f}G" if count >= 1e9 else f"{count / 1e6:.1f}M"
