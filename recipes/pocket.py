"""The pocket pair on its base model: how the AV and the AR in models/pocket were made.

python -m thinkaloud.pocket.corpus CORPUS texts
thinkaloud run recipes/pocket.py --extract.corpus texts --out runs/pocket
"""

from pathlib import Path

from thinkaloud.cli import explain, extract, score
from thinkaloud.cli.recipe import Recipe
from thinkaloud.training.config import ARWarmStart, AVWarmStart

# A small model learns whole and fast; large learning rates would ruin a large one.
POCKET = {"data": "data", "mode": "full", "batch": 256, "store": "int8"}


def recipe() -> Recipe:
    """Every window of 256 tokens, six positions each; one epoch for both halves; prompts as short as they can be."""
    return Recipe(
        out=Path("runs/pocket"),
        extract=extract.Args(
            corpus="texts",
            out=Path("data"),
            model="pocket/base",
            layer=5,
            positions=6,
            min_position=4,
            window=256,
            next_tokens=8,
        ),
        explain=explain.Args(data=Path("data"), workers=2),
        ar=ARWarmStart(**POCKET, out="ar", lr=5e-4, final_lr=5e-5, ar_template="{explanation}\nVector:"),
        av=AVWarmStart(
            **POCKET,
            out="av",
            ar="ar",
            lr=1e-3,
            final_lr=1e-4,
            injection_scale=3.0,
            av_template="Vector: {injection_char} Words:",
        ),
        score=score.Args(data=Path("data"), limit=2000),
    )
