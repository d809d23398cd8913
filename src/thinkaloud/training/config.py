"""What a training run is: frozen, validated on construction, and free of torch, so that a laptop can check a recipe."""

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

from thinkaloud.errors import UserError

AV_TEMPLATE = (
    "A language model was stopped while it read a text, and one of its activations was taken out: "
    "<activation>{injection_char}</activation>\n"
    "Put into words what the model holds at this point: what kind of text it is reading and about what, what the "
    "current passage is doing, and what it expects next. Answer in a few short lines between <explanation> and "
    "</explanation>."
)
AR_TEMPLATE = "Notes on what a language model holds at one point of a text:\n{explanation}\nThe activation they describe:"
MARKERS = ("㈎", "㈜", "㎡", "㊗", "㈱", "※", "§", "¤")  # tried in this order; the first that is one token is taken


@dataclass(frozen=True)
class WarmStart:
    """Supervised warm start of an AV or an AR on explanations of stored activations."""

    role: Literal["av", "ar"]
    """av: vector to text; ar: text to vector."""
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
    clip: float = 1.0
    """Gradient norm bound."""
    injection: Literal["replace", "add"] = "replace"
    """How the vector enters the AV's prompt."""
    injection_scale: float | None = None
    """Norm the vector is injected with; default: the 75th percentile of the activations' norms."""
    marker: str | None = None
    """Marker character; default: the first of a short list that is one token."""
    av_template: str = AV_TEMPLATE
    ar_template: str = AR_TEMPLATE
    ar: str | None = None
    """For an AV: an AR to measure its held-out FVE with."""
    eval_every: int = 200
    eval_rows: int = 1024
    """Held-out rows for the losses and their controls."""
    eval_texts: int = 128
    """Held-out rows that the AV explains at each evaluation, when `ar` is given."""
    save_every: int = 500
    micro_tokens: int = 32768
    """Padded tokens of one forward and backward pass; a step is split to stay below."""
    checkpointing: bool = False
    """Recompute blocks in the backward pass to save memory."""
    adapter_rank: int = 128
    adapter_alpha: int = 16
    control: Literal["none", "shuffled"] = "none"
    """shuffled: train on vectors of other rows, the control that a real run has to beat."""
    device: str = "auto"
    dtype: str = "auto"
    """Compute dtype: float32, or bfloat16 on a GPU."""

    def __post_init__(self) -> None:
        if self.role not in ("av", "ar"):
            raise UserError(f"role must be av or ar, found {self.role!r}")
        for name in ("batch", "epochs", "eval_every", "eval_rows", "save_every", "micro_tokens", "adapter_rank"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be 1 or more, found {getattr(self, name)}")
        if self.warmup < 0 or (self.rows is not None and self.rows < 1):
            raise UserError(f"warmup must be 0 or more and rows 1 or more, found {self.warmup} and {self.rows}")
        if not (self.lr > 0 and 0 <= self.final_lr <= self.lr):
            raise UserError(f"expected 0 ≤ final_lr ≤ lr and lr > 0, found lr {self.lr}, final_lr {self.final_lr}")
        if "{injection_char}" not in self.av_template:
            raise UserError("av_template must hold {injection_char} where the vector goes")
        if "{explanation}" not in self.ar_template:
            raise UserError("ar_template must hold {explanation}")

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> "WarmStart":
        known = {f.name for f in fields(cls)}
        unknown = sorted(set(data) - known)
        if unknown:
            raise UserError(f"a warm start has no field {unknown[0]!r}; the run was written by another version")
        return cls(**data)


def cosine_lr(step: int, steps: int, peak: float, final: float, warmup: int) -> float:
    """Learning rate at a 0-based step: linear warm-up to `peak`, then a cosine to `final` at the last step."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - 1 - warmup)
    return final + 0.5 * (peak - final) * (1 + math.cos(math.pi * min(1.0, done)))
