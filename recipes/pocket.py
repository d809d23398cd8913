"""The pocket pair on its base model: how the AV and the AR in models/pocket were made.

python -m thinkaloud.pocket.corpus CORPUS texts
thinkaloud run recipes/pocket.py --extract.corpus texts --out runs/pocket
"""

from dataclasses import replace
from pathlib import Path

from thinkaloud.config.data import Explain, Extract
from thinkaloud.config.eval import Score
from thinkaloud.config.recipe import Recipe
from thinkaloud.config.train import RL, ARWarmStart, AVWarmStart

# A small model learns whole and fast; large learning rates would ruin a large one.
POCKET = {"data": "data", "mode": "full", "batch": 256, "eval_every": 500, "store": "int8"}


def recipe() -> Recipe:
    """Every window of 256 tokens, six positions each; two epochs for the AR, which still gains, one for the AV, and RL.

    The bundled pair's RL saw every sixteenth document (docs/pocket-rl). Its second, short run samples nearer to greedy,
    where lists repeat themselves most, and pays more for that.
    """
    rl = RL(
        nla="",  # the pair of the steps before
        data="data",
        out="rl",
        steps=600,
        max_tokens=120,
        temperature=0.8,
        lr=1e-4,
        ar_lr=1e-4,
        final_lr=0.1,
        warmup=10,
        kl=0.1,
        length_penalty=0.001,
        repetition_penalty=1.0,
        eval_every=60,
        eval_rows=1954,
        store="int8",
    )
    return Recipe(
        out=Path("runs/pocket"),
        extract=Extract(
            corpus="texts",
            out=Path("data"),
            model="pocket/base",
            layer=5,
            positions=6,
            min_position=4,
            window=256,
            next_tokens=8,
        ),
        explain=Explain(data=Path("data"), workers=2),
        ar=ARWarmStart(
            **POCKET,
            out="ar",
            lr=1e-3,
            final_lr=2e-5,
            epochs=2,
            ar_template="{explanation}\nThe vector that these words describe:",
        ),
        av=AVWarmStart(
            **POCKET,
            out="av",
            ar="ar",
            lr=1e-3,
            final_lr=5e-5,
            injection_scale=3.0,
            av_template="Vector: {injection_char} Words:",
        ),
        train=rl,
        refine=replace(
            rl, out="pair", steps=110, temperature=0.5, warmup=5, kl=0.05, repetition_penalty=3.0, eval_every=55
        ),
        score=Score(data=Path("data"), limit=2000, max_tokens=120),
    )
