"""Groups of options of training: optimizer, rollouts, reward, KL, evaluation, early stopping, LoRA, checkpoints."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from thinkaloud.config.nested import Group
from thinkaloud.errors import UserError

FAIL_MSE = 2.0  # direction MSE of an explanation that failed: that of an orthogonal vector
_EARLIER_VALUES = {"group": "grpo", "mean": "dr_grpo", "mse": "reconstruction", "log_mse": "log_reconstruction"}


@dataclass(frozen=True, kw_only=True)
class Optim(Group):
    """AdamW: a linear warm-up, then a cosine."""

    called = "optim"
    lr: float | None = None
    """Peak learning rate; default: by the size of the model and by what of it learns."""
    final_lr_ratio: float | None = None
    """Learning rate at the last step, as a share of the peak; default: 0.05."""
    warmup_steps: int | None = None
    """Steps of linear warm-up; default: 50, or a tenth of the run where that is less."""
    weight_decay: float = 0.0
    """Decay of matrices."""
    max_grad_norm: float = 1.0
    """Gradient norm bound."""

    def __post_init__(self) -> None:
        self.positive("lr", "max_grad_norm")
        self.at_least(0, "warmup_steps", "weight_decay")
        if not 0 <= (self.final_lr_ratio or 0) <= 1:
            raise UserError(f"{self.called}.final_lr_ratio must be from 0 to 1, found {self.final_lr_ratio}")


@dataclass(frozen=True, kw_only=True)
class RLOptim(Optim):
    """AdamW: a linear warm-up, then a cosine; the same for the AV and the AR but for the learning rates."""

    final_lr_ratio: float = 1.0
    """Both learning rates at the last step, as a share of the peak."""
    warmup_steps: int = 5
    """Steps of linear warm-up."""
    ar_lr: float | None = None
    """Learning rate of the AR (`lr` is the AV's); default: by the size of the model. 0 keeps the AR frozen."""
    ar_written: float = 0.0
    """Weight of the written explanations of a step's vectors in the AR's regression, against 1 for the AV's own: above
    0 the AR does not forget the language of its warm start. The data needs explanations then."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(0, "ar_lr", "ar_written")
        if self.ar_written and self.ar_lr == 0:
            raise UserError(f"{self.called}.ar_written {self.ar_written:g} needs an AR that learns: ar_lr is 0")


@dataclass(frozen=True, kw_only=True)
class Rollout(Group):
    """Explanations sampled in a step."""

    called = "rollout"
    prompts: int = 64
    """Vectors a step."""
    group_size: int = 8
    """Explanations of each vector (num_generations); their mean reward is what each is measured against."""
    max_tokens: int = 150
    """Cap of an explanation, tags included; what is cut off there has failed."""
    temperature: float = 1.0
    """Temperature of sampling, and of the log-probabilities in the update."""
    engine: Literal["lockstep", "vllm"] = "lockstep"
    """What samples the explanations: the package's own engine on the live weights, or vLLM on a copy."""
    rows: int = 512
    """Explanations sampled at once; halved where memory runs out, down to `group_size`."""
    mismatch_every: int = 25
    """Steps between two checks of the rollout–trainer log-probability mismatch, the first before the first update."""
    mismatch_bound: float | None = None
    """Mean mismatch, nats a token, above which a run is refused (a single response may have four times as much);
    default: 0.001, or 0.05 in bfloat16."""

    def __post_init__(self) -> None:
        self.at_least(1, "prompts", "max_tokens", "rows", "mismatch_every")
        self.positive("temperature", "mismatch_bound")
        self.at_least(2, "group_size")  # one explanation has nothing to beat


@dataclass(frozen=True, kw_only=True)
class Reward(Group):
    """Reward of an explanation, and the advantage that it gives."""

    called = "reward"
    terms: tuple[str, ...] = ()
    """Term of the reward as NAME=WEIGHT, repeatable: reconstruction (or mse; the default), log_reconstruction (or
    log_mse), frozen, dropped, unquoted, length, repetition, or one of your own, FILE.py:NAME. Those given are the
    whole reward."""
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

    def __post_init__(self) -> None:
        given: Any = self.terms  # an earlier version's is a single name; a mapping has the weights by name
        if isinstance(given, Mapping):
            given = [f"{name}={weight!r}" for name, weight in given.items()]
        given = (given,) if isinstance(given, str) else tuple(given)
        object.__setattr__(self, "terms", () if given == ("mse",) else given)
        object.__setattr__(self, "advantage", _EARLIER_VALUES.get(self.advantage, self.advantage))
        self.positive("fail_mse")
        self.at_least(0, "length_penalty", "length_free", "repetition_penalty")
        self.weights()

    def weights(self) -> dict[str, float]:
        """The terms by name, each with its weight, those of the short forms among them."""
        short = {"length": self.length_penalty, "repetition": self.repetition_penalty}
        given = list(self.terms or ("reconstruction",))
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
                raise UserError(f"{self.called}.terms must be NAME or NAME=WEIGHT, found {term}")
            if name in weights:
                raise UserError(f"the reward term {name} is given twice")
            weights[name] = value
        return weights


@dataclass(frozen=True, kw_only=True)
class KL(Group):
    """KL to the reference policy, the warm-started AV."""

    called = "kl"
    coef: float = 0.01
    """KL coefficient, nats a token; 0 leaves the reference out."""
    estimator: Literal["k3", "exact"] = "k3"
    """In the loss: k3, from the sampled tokens, or the exact sum over the whole vocabulary. Evaluations are exact."""
    clamp: float = 10.0
    """Upper bound of k3's exponent, the reference's log-probability less the policy's."""

    def __post_init__(self) -> None:
        if self.estimator == "full":  # an earlier version's
            object.__setattr__(self, "estimator", "exact")
        self.at_least(0, "coef")
        self.positive("clamp")


@dataclass(frozen=True, kw_only=True)
class Eval(Group):
    """Evaluation on held-out documents."""

    called = "eval"
    every: int = 200
    """Steps between evaluations; there is one after the last step."""
    rows: int = 1024
    """Held-out rows for the losses and their controls."""

    def __post_init__(self) -> None:
        self.at_least(1, "every", "rows")


@dataclass(frozen=True, kw_only=True)
class AVEval(Eval):
    """Evaluation on held-out documents."""

    texts: int = 128
    """Held-out rows that the AV explains, when `ar` is given."""


@dataclass(frozen=True, kw_only=True)
class RLEval(Eval):
    """Evaluation on held-out documents, greedy; the step that is best in half of them becomes the pair."""

    every: int = 25
    """Steps between evaluations; there is one before the first step and one after the last."""
    rows: int = 512
    """Held-out vectors of an evaluation: half choose the best step, the others, of other documents, are reported."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(2, "rows")  # half of them choose the best step


@dataclass(frozen=True, kw_only=True)
class Stop(Group):
    """Early stopping of a run whose held-out explanations collapse."""

    called = "stop"
    closed: float = 0.5
    """Stop when fewer held-out explanations than this share close."""
    drop: float = 0.2
    """Stop when the held-out FVE with the frozen AR is so far below its best."""
    repetition: float = 0.5
    """Stop when so large a share of the held-out word pairs repeats."""


@dataclass(frozen=True, kw_only=True)
class Lora(Group):
    """Low-rank adapter (LoRA), where one is trained that starts afresh."""

    called = "lora"
    rank: int = 128
    """Rank of the adapter."""
    alpha: int = 16
    """Its scale, divided by the square root of the rank."""

    def __post_init__(self) -> None:
        self.at_least(1, "rank")


@dataclass(frozen=True, kw_only=True)
class Save(Group):
    """Checkpoints, and the finished weights."""

    called = "save"
    every: int = 500
    """Steps between checkpoints."""
    keep: int = 2
    """Checkpoints that stay; in RL the best step's stays besides."""
    dtype: Literal["float32", "bfloat16", "int8"] = "bfloat16"
    """How the finished weights are stored; int8 is read by this package alone."""

    def __post_init__(self) -> None:
        self.at_least(1, "every", "keep")


@dataclass(frozen=True, kw_only=True)
class Compute(Group):
    """Device, precision and memory."""

    called = "compute"
    device: str = "auto"
    """cpu, cuda or cuda:N; default: an accelerator where there is one."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """What is computed in; default: bfloat16 on an accelerator, float32 on a CPU."""
    micro_tokens: int | None = None
    """Padded tokens of one forward and backward pass; default: 4096 on a CPU, 32768 on an accelerator. RL halves it
    where memory runs out, down to one explanation."""
    gradient_checkpointing: bool = False
    """Recompute blocks in the backward pass to save memory."""
    compile: bool = False
    """Have torch.compile fuse the operations of a block: up to two minutes at the start, then faster steps,
    above all for small models."""

    def __post_init__(self) -> None:
        self.at_least(1, "micro_tokens")

    def in_bfloat16(self, device: str) -> bool:
        """Whether a device of this type computes in bfloat16."""
        return self.dtype == "bfloat16" or (self.dtype == "auto" and device != "cpu")
