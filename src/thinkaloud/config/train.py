"""Training configurations `AVWarmStart`, `ARWarmStart` and `RL`, free of torch; the cosine learning rate schedule."""

import math
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, ClassVar, Literal, Self

import yaml

from thinkaloud import injection as injections
from thinkaloud.config.groups import (
    KL,
    AVEval,
    Compute,
    Eval,
    Lora,
    Optim,
    Reward,
    RLEval,
    RLOptim,
    Rollout,
    Save,
    Stop,
)
from thinkaloud.config.nested import Nested
from thinkaloud.errors import UserError

AV_TEMPLATE = (
    "A language model was stopped while it read a text, and one of its activations was taken out: "
    "<activation>{injection_char}</activation>\n"
    "Put into words what the model holds at this point: what kind of text it is reading and about what, what the "
    "current passage is doing, and what it expects next. Answer in a few short lines between <explanation> and "
    "</explanation>."
)
AR_TEMPLATE = (
    "Notes on what a language model holds at one point of a text:\n{explanation}\nThe activation they describe:"
)
MARKERS = ("㈎", "㈜", "㎡", "㊗", "㈱", "※", "§", "¤")  # tried in this order; the first that is one token is taken
EARLIER = yaml.safe_load(files("thinkaloud.config").joinpath("earlier.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True, kw_only=True)
class WarmStart(Nested):
    """Supervised warm start on the explanations of stored activations: what an AV's and an AR's have in common."""

    EARLIER: ClassVar = EARLIER["both"] | EARLIER["warm start"]
    OPEN: ClassVar = ("batch_size", "optim.lr", "optim.final_lr_ratio", "optim.warmup_steps", "compute.micro_tokens")
    role: ClassVar[str]
    data: str
    """Folder of an extraction with explanations (`thinkaloud extract`, `thinkaloud explain`)."""
    out: str
    """Run folder to write; an interrupted run in it goes on where it stopped."""
    model: str | None = None
    """Model to start from; default: the one the activations came from."""
    start: str | None = None
    """A pair, AV or AR of the same model and site to go on from, with its template, in place of the model itself."""
    mode: Literal["full", "adapter"] = "full"
    """Train all weights (float32 masters) or a low-rank adapter."""
    batch_size: int | None = None
    """Rows an optimizer step; default: 256, down to 32 where rows are few, for 200 steps."""
    epochs: int = 1
    """Passes over the data; a second one overfits in public work."""
    rows: int | None = None
    """Use only this many training rows."""
    seed: int = 0
    """Seed of the data order and of fresh weights."""
    control: Literal["none", "shuffled"] = "none"
    """shuffled: train on vectors of other rows, the control that a real run has to beat."""
    report_to: str | None = None
    """Experiment tracker to send the metrics to as well: trackio, wandb or tensorboard."""
    optim: Optim = Optim()
    lora: Lora = Lora()
    eval: Eval = Eval()
    save: Save = Save()
    compute: Compute = Compute()

    def __post_init__(self) -> None:
        self.check_groups()
        self.at_least(1, "batch_size", "epochs", "rows")
        if self.start is not None and self.model is not None:
            raise UserError("give start or model, not both: what is gone on from names its own model")

    @classmethod
    def of(cls, **options: Any) -> Self:
        options.pop("role", None)
        final = options.pop("final_lr", None)  # of an earlier version: a rate, not a share of the peak
        if final is not None:
            if options.get("lr") is None:
                raise UserError(f"final_lr {final} is a share of lr now: give final_lr_ratio")
            options["final_lr_ratio"] = float(f"{final / options['lr']:.12g}")
        return super().of(**options)

    def to_dict(self) -> dict[str, Any]:
        return {"role": self.role, **super().to_dict()}


@dataclass(frozen=True, kw_only=True)
class AVWarmStart(WarmStart):
    """Warm start of a verbalizer: vector to text."""

    EARLIER: ClassVar = WarmStart.EARLIER | EARLIER["av"]
    role: ClassVar[str] = "av"
    injection: str = "replace"
    """How the vector enters the prompt: replace (the marker's embedding) or add (norm-matched, at block 1); or a
    Python file that registers a kind."""
    injection_scale: float | None = None
    """Norm the vector is injected with; default: the 75th percentile of the activations' norms."""
    marker: str | None = None
    """Marker character; default: the first of a short list that is one token."""
    av_template: str = AV_TEMPLATE
    """The prompt, with {injection_char} where the vector goes: a user's message, or a plain text where the tokenizer
    has no chat template."""
    ar: str | None = None
    """An AR to measure the held-out FVE of the AV's own words with."""
    eval: AVEval = AVEval()

    def __post_init__(self) -> None:
        super().__post_init__()
        if "{injection_char}" not in self.av_template:
            raise UserError("av_template must hold {injection_char} where the vector goes")
        injections.chosen(self.injection)
        self.positive("injection_scale")


@dataclass(frozen=True, kw_only=True)
class ARWarmStart(WarmStart):
    """Warm start of a reconstructor: text to vector."""

    role: ClassVar[str] = "ar"
    ar_template: str = AR_TEMPLATE
    """The prompt, a plain text with {explanation} in it and more text behind it."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if "{explanation}" not in self.ar_template:
            raise UserError("ar_template must hold {explanation}")


@dataclass(frozen=True, kw_only=True)
class RL(Nested):
    """Reinforcement learning of a warm-started pair: GRPO for the AV, regression for the AR, in one loop."""

    EARLIER: ClassVar = EARLIER["both"] | EARLIER["rl"]
    OPEN: ClassVar = ("optim.lr", "optim.ar_lr", "compute.micro_tokens")
    nla: str
    """The pair to start from: pocket, a folder with av and ar in it, or a hub name."""
    data: str
    """Folder of an extraction (`thinkaloud extract`); written explanations are needed for `optim.ar_written` alone."""
    out: str
    """Run folder to write; it becomes a pair. An interrupted run in it goes on where it stopped."""
    steps: int = 150
    """Optimizer steps; each is one batch of rollouts."""
    mode: Literal["auto", "full", "adapter"] = "auto"
    """Train all weights, or an adapter; auto: what the checkpoint is. An adapter over a whole AV starts afresh."""
    rows: int | None = None
    """Use only this many of the training vectors."""
    seed: int = 0
    """Seed of the data order and of the rollouts."""
    report_to: str | None = None
    """Experiment tracker to send the metrics to as well: trackio, wandb or tensorboard."""
    optim: RLOptim = RLOptim()
    rollout: Rollout = Rollout()
    reward: Reward = Reward()
    kl: KL = KL()
    eval: RLEval = RLEval()
    stop: Stop = Stop()
    lora: Lora = Lora()
    save: Save = Save(every=10)
    compute: Compute = Compute()

    def __post_init__(self) -> None:
        self.check_groups()
        self.at_least(1, "steps", "rows")


def cosine_lr(step: int, steps: int, peak: float, final: float, warmup: int) -> float:
    """Learning rate at a 0-based step: linear warm-up to `peak`, then a cosine to `final` at the last step."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - 1 - warmup)
    return final + 0.5 * (peak - final) * (1 + math.cos(math.pi * min(1.0, done)))
