"""What a training run is: frozen, validated on construction, and free of torch, so that a laptop can check a recipe."""

import math
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

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


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """Supervised warm start on the explanations of stored activations: what an AV's and an AR's have in common."""

    role: ClassVar[str]
    data: str
    """Folder of an extraction with explanations (`thinkaloud extract`, `thinkaloud explain`)."""
    out: str
    """Run folder to write; an interrupted run in it goes on where it stopped."""
    model: str | None = None
    """Model to start from; default: the one the activations came from."""
    mode: Literal["full", "adapter"] = "full"
    """Train all weights (float32 masters) or a low-rank adapter."""
    lr: float = 2e-5
    """Peak learning rate: about 2e-5 for large full models, 1e-4 for adapters, 5e-4 to 1e-3 for pocket-sized ones."""
    final_lr: float = 2e-6
    """Learning rate at the end of the cosine."""
    batch: int = 256
    """Rows an optimizer step."""
    warmup: int = 50
    """Steps of linear warm-up."""
    epochs: int = 1
    """Passes over the data; a second one overfits in public work."""
    rows: int | None = None
    """Use only this many training rows."""
    seed: int = 0
    """Seed of the data order and of fresh weights."""
    weight_decay: float = 0.0
    """Decay of matrices (AdamW)."""
    clip: float = 1.0
    """Gradient norm bound."""
    eval_every: int = 200
    """Steps between evaluations."""
    eval_rows: int = 1024
    """Held-out rows for the losses and their controls."""
    save_every: int = 500
    """Steps between checkpoints."""
    micro_tokens: int = 32768
    """Padded tokens of one forward and backward pass; a step is split to stay below."""
    checkpointing: bool = False
    """Recompute blocks in the backward pass to save memory."""
    adapter_rank: int = 128
    """Rank of the adapter."""
    adapter_alpha: int = 16
    """Its scale, divided by the square root of the rank."""
    control: Literal["none", "shuffled"] = "none"
    """shuffled: train on vectors of other rows, the control that a real run has to beat."""
    store: Literal["float32", "bfloat16", "int8"] = "bfloat16"
    """How the finished weights are stored; int8 is read by this package alone."""
    device: str = "auto"
    """cpu, cuda or cuda:N; default: an accelerator where there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What is computed in; default: bfloat16 on an accelerator, float32 on a CPU."""

    def __post_init__(self) -> None:
        for name in ("batch", "epochs", "eval_every", "eval_rows", "save_every", "micro_tokens", "adapter_rank"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be 1 or more, found {getattr(self, name)}")
        if self.warmup < 0 or (self.rows is not None and self.rows < 1):
            raise UserError(f"warmup must be 0 or more and rows 1 or more, found {self.warmup} and {self.rows}")
        if not (math.isfinite(self.clip) and self.clip > 0):
            raise UserError(f"clip must be a positive number, found {self.clip}")
        if not self.weight_decay >= 0:
            raise UserError(f"weight_decay must be 0 or more, found {self.weight_decay}")
        if not (self.lr > 0 and 0 <= self.final_lr <= self.lr):
            raise UserError(f"expected 0 ≤ final_lr ≤ lr and lr > 0, found lr {self.lr}, final_lr {self.final_lr}")

    def to_dict(self) -> dict[str, Any]:
        return {"role": self.role, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class AVWarmStart(WarmStart):
    """Warm start of a verbalizer: vector to text."""

    role: ClassVar[str] = "av"
    injection: Literal["replace", "add"] = "replace"
    """How the vector enters the prompt: in place of the marker's embedding, or norm-matched at block 1."""
    injection_scale: float | None = None
    """Norm the vector is injected with; default: the 75th percentile of the activations' norms."""
    marker: str | None = None
    """Marker character; default: the first of a short list that is one token."""
    av_template: str = AV_TEMPLATE
    """The prompt, a user's message with {injection_char} where the vector goes."""
    ar: str | None = None
    """An AR to measure the held-out FVE of the AV's own words with."""
    eval_texts: int = 128
    """Held-out rows that the AV explains at each evaluation, when `ar` is given."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if "{injection_char}" not in self.av_template:
            raise UserError("av_template must hold {injection_char} where the vector goes")
        if self.injection_scale is not None and not (math.isfinite(self.injection_scale) and self.injection_scale > 0):
            raise UserError(f"injection_scale must be a positive number, found {self.injection_scale}")


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


def cosine_lr(step: int, steps: int, peak: float, final: float, warmup: int) -> float:
    """Learning rate at a 0-based step: linear warm-up to `peak`, then a cosine to `final` at the last step."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - 1 - warmup)
    return final + 0.5 * (peak - final) * (1 + math.cos(math.pi * min(1.0, done)))
