"""The pocket pair on its base model: how the AV and the AR in models/pocket were made.

python -m thinkaloud.pocket.corpus CORPUS texts
thinkaloud run recipes/pocket.py --extract.corpus texts --out runs/pocket
"""

from pathlib import Path

from thinkaloud.config.data import Explain, Extract
from thinkaloud.config.eval import Score
from thinkaloud.config.groups import KL, AVEval, Eval, Optim, Reward, RLEval, RLOptim, Rollout, Save
from thinkaloud.config.recipe import Recipe
from thinkaloud.config.train import RL, ARWarmStart, AVWarmStart

# A small model learns whole and fast; large learning rates would ruin a large one.
INT8 = Save(dtype="int8")


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
        optim=RLOptim(lr=1e-4, ar_lr=1e-4, final_lr_ratio=0.1, warmup_steps=10),
        rollout=Rollout(max_tokens=120, temperature=0.8),
        reward=Reward(length_penalty=0.001, repetition_penalty=1.0),
        kl=KL(coef=0.1),
        eval=RLEval(every=60, rows=1954),
        save=Save(every=10, dtype="int8"),
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
            data="data",
            out="ar",
            batch_size=256,
            epochs=2,
            optim=Optim(lr=1e-3, final_lr_ratio=0.02),
            eval=Eval(every=500),
            save=INT8,
            ar_template="{explanation}\nThe vector that these words describe:",
        ),
        av=AVWarmStart(
            data="data",
            out="av",
            ar="ar",
            batch_size=256,
            optim=Optim(lr=1e-3, final_lr_ratio=0.05),
            eval=AVEval(every=500),
            save=INT8,
            injection_scale=3.0,
            av_template="Vector: {injection_char} Words:",
        ),
        train=rl,
        refine=rl.but(
            **{"out": "pair", "steps": 110, "eval.every": 55, "optim.warmup_steps": 5, "kl.coef": 0.05},
            **{"rollout.temperature": 0.5, "reward.repetition_penalty": 3.0},
        ),
        score=Score(data=Path("data"), limit=2000, max_tokens=120),
    )
