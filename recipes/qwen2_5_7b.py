"""A pair for Qwen2.5-7B-Instruct on one GPU of 80 GB: adapters, at two thirds of the depth.

thinkaloud run recipes/qwen2_5_7b.py --extract.corpus TEXTS --out runs/qwen2_5_7b
"""

from pathlib import Path

from thinkaloud.config.data import Explain, Extract
from thinkaloud.config.eval import Score
from thinkaloud.config.recipe import Recipe
from thinkaloud.config.train import RL, ARWarmStart, AVWarmStart

# Adapters keep the base in bfloat16 and need no float32 copy of seven billion weights.
SHARED = {"data": "data", "mode": "adapter", "lr": 1e-4, "final_lr": 1e-5, "checkpointing": True, "micro_tokens": 16384}


def recipe() -> Recipe:
    """Ten positions a document, explained by rule; one epoch for both halves, then RL.

    Group, learning rates and KL are those of the public runs on models of this size, the adapters being continued.
    """
    return Recipe(
        out=Path("runs/qwen2_5_7b"),
        extract=Extract(
            corpus="texts",
            out=Path("data"),
            model="Qwen/Qwen2.5-7B-Instruct",
            layer=20,
            window=1536,
            next_tokens=6,
        ),
        explain=Explain(data=Path("data"), workers=8),
        ar=ARWarmStart(**SHARED, out="ar"),
        av=AVWarmStart(**SHARED, out="av", ar="ar"),
        train=RL(
            nla="",  # the pair of the steps before
            data="data",
            out="rl",
            steps=150,
            prompts=128,
            group=8,
            lr=1e-4,
            ar_lr=8e-5,
            kl=0.01,
            repetition_penalty=0.3,
            checkpointing=True,
            micro_tokens=16384,
        ),
        score=Score(data=Path("data")),
    )
