"""A pair for Gemma-3-12B-it on one GPU of 80 GB: adapters, at two thirds of the depth.

    thinkaloud run recipes/gemma3_12b.py --extract.corpus TEXTS --out runs/gemma3_12b

Its vectors all point nearly the same way (V is about 0.03), so cosines near 1 mean nothing here: read the FVE.
"""

from pathlib import Path

from thinkaloud.config.data import Explain, Extract
from thinkaloud.config.eval import Score
from thinkaloud.config.groups import KL, Compute, Optim, Reward, RLOptim, Rollout
from thinkaloud.config.recipe import Recipe
from thinkaloud.config.train import RL, ARWarmStart, AVWarmStart

COMPUTE = Compute(gradient_checkpointing=True, micro_tokens=8192)
OPTIM = Optim(lr=1e-4, final_lr_ratio=0.1)


def recipe() -> Recipe:
    """Ten positions a document, explained by rule; one epoch for both halves, then RL.

    Group, learning rates and KL are those of the public runs on models of this size, the adapters being continued.
    """
    return Recipe(
        out=Path("runs/gemma3_12b"),
        extract=Extract(
            corpus="texts",
            out=Path("data"),
            model="google/gemma-3-12b-it",
            layer=32,
            window=1536,
            next_tokens=6,
        ),
        explain=Explain(data=Path("data"), workers=8),
        ar=ARWarmStart(data="data", out="ar", mode="adapter", optim=OPTIM, compute=COMPUTE),
        av=AVWarmStart(data="data", out="av", ar="ar", mode="adapter", optim=OPTIM, compute=COMPUTE),
        train=RL(
            nla="",  # the pair of the steps before
            data="data",
            out="rl",
            steps=150,
            optim=RLOptim(lr=1e-4, ar_lr=8e-5),
            rollout=Rollout(prompts=128, group_size=8),
            reward=Reward(repetition_penalty=0.3),
            kl=KL(coef=0.01),
            compute=COMPUTE,
        ),
        score=Score(data=Path("data")),
    )
