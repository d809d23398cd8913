"""A pair for SmolLM2-135M-Instruct on one GPU: adapters that fit into 13 MB, at two thirds of the depth.

python -m thinkaloud.pocket.corpus CORPUS texts --world-documents 0 --odd-documents 3000 --problems --test test
thinkaloud run recipes/smollm2.py --extract.corpus texts --out runs/smollm2
"""

from pathlib import Path

from thinkaloud.config.data import Explain, Extract
from thinkaloud.config.eval import Score
from thinkaloud.config.groups import KL, AVEval, Compute, Eval, Lora, Optim, Reward, RLEval, RLOptim, Rollout, Save
from thinkaloud.config.recipe import Recipe
from thinkaloud.config.train import RL, ARWarmStart, AVWarmStart

COMPUTE = Compute(compile=True, micro_tokens=32768)
OPTIM = Optim(lr=1e-3)
INT8 = Save(dtype="int8")


def recipe() -> Recipe:
    """Windows of 512 tokens, twelve positions each from the first token on, special tokens among them; then RL.

    The bundled pair's warm starts had every third chat and every sixth document of prose, its reinforcement learning
    376 of the steps. The AV's prompt has 35 tokens in place of the default's 110.
    """
    return Recipe(
        out=Path("runs/smollm2"),
        extract=Extract(
            corpus="texts",
            out=Path("data"),
            model="smollm2",
            layer=20,
            positions=12,
            min_position=0,
            special_tokens=True,
            window=512,
            next_tokens=8,
        ),
        explain=Explain(data=Path("data"), workers=8),
        ar=ARWarmStart(
            data="data",
            out="ar",
            mode="adapter",
            batch_size=256,
            optim=OPTIM,
            lora=Lora(rank=20),
            eval=Eval(every=400),
            save=INT8,
            compute=COMPUTE,
            ar_template="{explanation}\nThe vector that these words describe:",
        ),
        av=AVWarmStart(
            data="data",
            out="av",
            ar="ar",
            mode="adapter",
            batch_size=256,
            optim=OPTIM,
            lora=Lora(rank=24),
            eval=AVEval(every=400),
            save=INT8,
            compute=COMPUTE,
            av_template="Vector: {injection_char} Words:",
        ),
        train=RL(
            nla="",  # the pair of the steps before
            data="data",
            out="rl",
            steps=440,
            optim=RLOptim(lr=1.5e-4, ar_lr=1e-4, final_lr_ratio=0.1, warmup_steps=10),
            rollout=Rollout(max_tokens=130, temperature=0.8, rows=512),
            reward=Reward(repetition_penalty=1.0),
            kl=KL(coef=0.05),
            eval=RLEval(every=50, rows=1024),
            save=Save(every=50, dtype="int8"),
        ),
        score=Score(data=Path("data"), limit=2000, max_tokens=130),
    )
