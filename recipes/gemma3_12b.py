"""A pair for Gemma-3-12B-it on one GPU of 80 GB: adapters, at two thirds of the depth.

    thinkaloud run recipes/gemma3_12b.py --extract.corpus TEXTS --out runs/gemma3_12b

Its vectors all point nearly the same way (V is about 0.03), so cosines near 1 mean nothing here: read the FVE.
"""

from pathlib import Path

from thinkaloud.config.data import Explain, Extract
from thinkaloud.config.eval import Score
from thinkaloud.config.recipe import Recipe
from thinkaloud.config.train import ARWarmStart, AVWarmStart

SHARED = {"data": "data", "mode": "adapter", "lr": 1e-4, "final_lr": 1e-5, "checkpointing": True, "micro_tokens": 8192}


def recipe() -> Recipe:
    """Ten positions a document, explained by rule; one epoch for both halves."""
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
        ar=ARWarmStart(**SHARED, out="ar"),
        av=AVWarmStart(**SHARED, out="av", ar="ar"),
        score=Score(data=Path("data")),
    )
