"""A pair for Gemma-3-12B-it on one GPU of 80 GB: as the one for Qwen2.5-7B, in smaller pieces.

    thinkaloud run recipes/gemma3_12b.py --extract.corpus TEXTS --out runs/gemma3_12b

Its vectors all point nearly the same way (V is about 0.03), so cosines near 1 mean nothing here: read the FVE.
"""

from dataclasses import replace
from pathlib import Path

import qwen2_5_7b

from thinkaloud.config.recipe import Recipe


def recipe() -> Recipe:
    """The recipe beside this one, at two thirds of this model's depth."""
    begun = qwen2_5_7b.recipe()
    assert begun.train is not None
    return replace(
        begun,
        out=Path("runs/gemma3_12b"),
        extract=replace(begun.extract, model="google/gemma-3-12b-it", layer=32),
        ar=begun.ar.but(micro_tokens=8192),
        av=begun.av.but(micro_tokens=8192),
        train=begun.train.but(micro_tokens=8192),
    )
