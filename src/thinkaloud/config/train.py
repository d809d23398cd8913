"""Training configurations `AVWarmStart`, `ARWarmStart` and `RL`: frozen, validated, free of torch."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

from thinkaloud import injection as injections
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
FAIL_MSE = 2.0  # direction MSE of an explanation that failed: that of an orthogonal vector
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
    start: str | None = None
    """A pair, AV or AR of the same model and site to go on from, with its template, in place of the model itself."""
    mode: Literal["full", "adapter"] = "full"
    """Train all weights (float32 masters) or a low-rank adapter."""
    lr: float | None = None
    """Peak learning rate; default: by the size of the model, 1e-3 for 8M weights, 3e-4 for 135M, 2e-5 for 7B."""
    final_lr: float | None = None
    """Learning rate at the end of the cosine; default: a twentieth of the peak."""
    batch: int | None = None
    """Rows an optimizer step; default: 256, down to 32 where rows are few, for 200 steps."""
    warmup: int | None = None
    """Steps of linear warm-up; default: 50, or a tenth of the run where that is less."""
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
    micro_tokens: int | None = None
    """Padded tokens of one forward and backward pass; default: 4096 on a CPU, 32768 on an accelerator."""
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
    track: str | None = None
    """Experiment tracker to send the metrics to as well: trackio, wandb or tensorboard."""
    device: str = "auto"
    """cpu, cuda or cuda:N; default: an accelerator where there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What is computed in; default: bfloat16 on an accelerator, float32 on a CPU."""

    def __post_init__(self) -> None:
        counts = ("batch", "epochs", "rows", "eval_every", "eval_rows", "save_every", "micro_tokens", "adapter_rank")
        for name in counts:
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise UserError(f"{name} must be 1 or more, found {getattr(self, name)}")
        if self.warmup is not None and self.warmup < 0:
            raise UserError(f"warmup must be 0 or more, found {self.warmup}")
        if self.start is not None and self.model is not None:
            raise UserError("give start or model, not both: what is gone on from names its own model")
        if not (math.isfinite(self.clip) and self.clip > 0):
            raise UserError(f"clip must be a positive number, found {self.clip}")
        if not self.weight_decay >= 0:
            raise UserError(f"weight_decay must be 0 or more, found {self.weight_decay}")
        lr, final = 1.0 if self.lr is None else self.lr, self.final_lr or 0.0
        if not (lr > 0 and 0 <= final <= lr):
            raise UserError(f"expected 0 ≤ final_lr ≤ lr and lr > 0, found lr {self.lr}, final_lr {self.final_lr}")

    def to_dict(self) -> dict[str, Any]:
        return {"role": self.role, **asdict(self)}


@dataclass(frozen=True, kw_only=True)
class AVWarmStart(WarmStart):
    """Warm start of a verbalizer: vector to text."""

    role: ClassVar[str] = "av"
    injection: str = "replace"
    """How the vector enters the prompt: replace (the marker's embedding) or add (norm-matched, at block 1); or a
    Python file that registers a kind."""
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
        injections.chosen(self.injection)
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


@dataclass(frozen=True, kw_only=True)
class RL:
    """Reinforcement learning of a warm-started pair: GRPO for the AV, regression for the AR, in one loop."""

    nla: str
    """The pair to start from: pocket, a folder with av and ar in it, or a hub name."""
    data: str
    """Folder of an extraction (`thinkaloud extract`); written explanations are not needed."""
    out: str
    """Run folder to write; it becomes a pair. An interrupted run in it goes on where it stopped."""
    steps: int = 150
    """Optimizer steps; each is one batch of rollouts."""
    prompts: int = 64
    """Vectors a step."""
    group: int = 8
    """Explanations of each vector; their mean reward is what each is measured against."""
    max_tokens: int = 150
    """Cap of an explanation, tags included; what is cut off there has failed."""
    temperature: float = 1.0
    """Temperature of sampling, and of the log-probabilities in the update."""
    mode: Literal["auto", "full", "adapter"] = "auto"
    """Train all weights, or an adapter; auto: what the checkpoint is. An adapter over a whole AV starts afresh."""
    lr: float | None = None
    """Learning rate of the AV; default: 1.4e-5 for all weights, 1e-4 for an adapter."""
    ar_lr: float | None = None
    """Learning rate of the AR; default: 1.4e-5 for all weights, 8e-5 for an adapter; 0 keeps the AR frozen."""
    final_lr: float = 1.0
    """Both learning rates at the last step, as a share of the first (a cosine)."""
    warmup: int = 5
    """Steps of linear warm-up."""
    reward: tuple[str, ...] = ()
    """Term of the reward as NAME=WEIGHT, repeatable: reconstruction (or mse; the default), log_reconstruction (or
    log_mse), unquoted, length, repetition, or one of your own, FILE.py:NAME. Those given are the whole reward."""
    fail_mse: float = FAIL_MSE
    """Direction MSE that an explanation counts with if it does not close, or if the AR cannot read it; one that closes
    never earns less."""
    length_penalty: float = 0.0
    """Weight of the term length, a token of an explanation beyond `length_free`; what failed pays for `max_tokens`."""
    length_free: int = 0
    """Tokens that cost nothing: 0 makes the penalty linear, more makes it a hinge."""
    repetition_penalty: float = 0.0
    """Weight of the term repetition, an item that a list names again or a stretch that is said over."""
    advantage: Literal["grpo", "dr_grpo"] = "grpo"
    """Reward less its group's mean, divided by the group's standard deviation (GRPO) or not (Dr. GRPO)."""
    kl: float = 0.01
    """KL coefficient to the reference policy, the warm-started AV; nats a token. 0 leaves the reference out."""
    kl_form: Literal["k3", "full"] = "k3"
    """In the loss: an estimate from the sampled tokens, or the sum over the whole vocabulary. Evaluations are exact."""
    kl_clamp: float = 10.0
    """Upper bound of k3's exponent, the reference's log-probability less the policy's."""
    clip: float = 1.0
    """Gradient norm bound, of the AV and of the AR."""
    weight_decay: float = 0.0
    """Decay of matrices (AdamW)."""
    seed: int = 0
    """Seed of the data order and of the rollouts."""
    rows: int | None = None
    """Use only this many of the training vectors."""
    eval_every: int = 25
    """Steps between evaluations on held-out documents; there is one before the first step and one after the last."""
    eval_rows: int = 512
    """Held-out vectors of an evaluation: half choose the best step, the others, of other documents, are reported."""
    save_every: int = 10
    """Steps between checkpoints."""
    keep: int = 2
    """Checkpoints that stay, beside the best."""
    mismatch_every: int = 25
    """Steps between two checks of the rollout–trainer log-probability mismatch, the first before the first update."""
    mismatch_bound: float | None = None
    """Mean mismatch, nats a token, above which a run is refused (a single response may have four times as much);
    default: 0.001, or 0.05 in bfloat16."""
    stop_closed: float = 0.5
    """Stop when fewer held-out explanations than this share close."""
    stop_drop: float = 0.2
    """Stop when the held-out FVE with the frozen AR is so far below its best."""
    stop_repetition: float = 0.5
    """Stop when so large a share of the held-out word pairs repeats."""
    micro_tokens: int = 32768
    """Padded tokens of one forward and backward pass; halved where memory runs out, down to one explanation."""
    rollout_rows: int = 512
    """Explanations sampled at once; halved where memory runs out, down to `group`."""
    engine: Literal["lockstep", "vllm"] = "lockstep"
    """What samples the explanations: the package's own engine on the live weights, or vLLM on a copy."""
    checkpointing: bool = False
    """Recompute blocks in the backward pass to save memory."""
    adapter_rank: int = 128
    """Rank of an adapter that starts afresh."""
    adapter_alpha: int = 16
    """Its scale, divided by the square root of the rank."""
    store: Literal["float32", "bfloat16", "int8"] = "bfloat16"
    """How the finished weights are stored; int8 is read by this package alone."""
    track: str | None = None
    """Experiment tracker to send the metrics to as well: trackio, wandb or tensorboard."""
    device: str = "auto"
    """cpu, cuda or cuda:N; default: an accelerator where there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What is computed in; default: bfloat16 on an accelerator, float32 on a CPU."""

    def __post_init__(self) -> None:
        given: Any = self.reward  # an earlier version's is a single name; a mapping has the weights by name
        if isinstance(given, Mapping):
            given = [f"{name}={weight!r}" for name, weight in given.items()]
        given = (given,) if isinstance(given, str) else tuple(given)
        object.__setattr__(self, "reward", () if given == ("mse",) else given)
        object.__setattr__(self, "advantage", _EARLIER_VALUES.get(self.advantage, self.advantage))
        at_least_one = ("steps", "prompts", "max_tokens", "eval_every", "eval_rows", "save_every", "keep")
        for name in (*at_least_one, "mismatch_every", "micro_tokens", "rollout_rows", "adapter_rank"):
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be 1 or more, found {getattr(self, name)}")
        if self.eval_rows < 2:
            raise UserError(f"eval_rows must be 2 or more, found {self.eval_rows}: half of them choose the best step")
        if self.group < 2:
            raise UserError(f"group must be 2 or more, found {self.group}: one explanation has nothing to beat")
        if self.rows is not None and self.rows < 1:
            raise UserError(f"rows must be 1 or more, found {self.rows}")
        positive = ("temperature", "clip", "fail_mse", "kl_clamp", "final_lr", "mismatch_bound", "lr")
        for name in positive:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise UserError(f"{name} must be a positive number, found {value}")
        for name in ("kl", "length_penalty", "length_free", "repetition_penalty", "weight_decay", "warmup", "ar_lr"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} must be 0 or more, found {value}")
        self.reward_weights()

    def reward_weights(self) -> dict[str, float]:
        """The terms of the reward by name, each with its weight, those of the short forms among them."""
        short = {"length": self.length_penalty, "repetition": self.repetition_penalty}
        given = list(self.reward or ("reconstruction",))
        given += [f"{name}={value!r}" for name, value in short.items() if value]
        weights: dict[str, float] = {}
        for term in given:
            name, _, weight = term.partition("=")
            name = _EARLIER_VALUES.get(name, name)
            try:
                value = float(weight or 1)
            except ValueError:
                value = math.nan
            if not name or not math.isfinite(value):
                raise UserError(f"reward must be NAME or NAME=WEIGHT, found {term}")
            if name in weights:
                raise UserError(f"the reward term {name} is given twice")
            weights[name] = value
        return weights

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> "RL":
        """The configuration that `to_dict` gave, under today's or earlier names."""
        return cls(**{_EARLIER.get(name, name): value for name, value in data.items()})


_EARLIER = {"parity_every": "mismatch_every", "parity_bound": "mismatch_bound"}
_EARLIER_VALUES = {"group": "grpo", "mean": "dr_grpo", "mse": "reconstruction", "log_mse": "log_reconstruction"}


def in_bfloat16(dtype: str, device: str) -> bool:
    """Whether a device of this type computes in bfloat16 under the option `dtype`."""
    return dtype == "bfloat16" or (dtype == "auto" and device != "cpu")


def cosine_lr(step: int, steps: int, peak: float, final: float, warmup: int) -> float:
    """Learning rate at a 0-based step: linear warm-up to `peak`, then a cosine to `final` at the last step."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - 1 - warmup)
    return final + 0.5 * (peak - final) * (1 + math.cos(math.pi * min(1.0, done)))
