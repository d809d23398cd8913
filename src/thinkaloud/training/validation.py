"""Validation in RL: held-out FVE and KL, early stopping, rollout–trainer log-probability mismatch."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.config.train import RL
from thinkaloud.errors import UserError
from thinkaloud.evals.prose import measures
from thinkaloud.explanation import Explanation
from thinkaloud.pair.failures import explanation_mse, valid_explanations
from thinkaloud.pair.scores import direction_mse, fve
from thinkaloud.training.data import Held
from thinkaloud.training.policy import Policy
from thinkaloud.training.reward_model import RewardModel

SAMPLES = 24  # texts of an evaluation that are kept
MISMATCH_BOUND = {"float32": 1e-3, "bfloat16": 0.05}  # nats a token, mean over a step
_RESPONSE_FACTOR = 4  # a single response's bound over the mean's
_FEW_TOKENS = 16  # a shorter response counts as so long


def validate(
    said: Sequence[Explanation],
    policy: Policy,
    reward_model: RewardModel,
    selection: Held,
    reported: Held,
    config: RL,
    micro_tokens: int,
) -> tuple[dict[str, Any], dict[str, Any], list[dict[str, Any]]]:
    """Figures of greedy explanations of the selection vectors and, behind them, the reported ones; a table of texts.

    The first figures are those of the selection documents, by which the best step is chosen and a run is stopped. The
    second are for the log, on other documents (`heldout_fve_written`, where the data's explanations are read, is the
    live AR's on those): `heldout_fve_frozen` is by the AR as it was at the start, what the words
    say to a reader that did not learn with the AV; `heldout_kl` is the exact KL to the AV at the start where each token
    of these texts is predicted, nats a token. A failed explanation counts as `fail_mse`.
    """
    n = len(selection.prefixes)
    chosen, _, _ = _figures(said[:n], selection, reward_model, config, micro_tokens)
    said = said[n:]
    figures, live, frozen = _figures(said, reported, reward_model, config, micro_tokens)
    kl = policy.evaluate(reported.vectors, [one.token_ids for one in said], micro_tokens).kl
    logged = {
        "heldout_fve": figures.pop("fve"),
        "heldout_fve_frozen": figures.pop("fve_frozen"),
        "selection_fve": chosen["fve"],
        "selection_fve_frozen": chosen["fve_frozen"],
        **figures,
        "heldout_kl": float(kl.mean()),
    }
    if reported.written:
        read = partial(reward_model.reconstruct, batch_tokens=micro_tokens)
        written = direction_mse(read(reported.written), reported.vectors)
        logged["heldout_fve_written"] = fve(float(written.mean()), reported.baseline)
    table = [
        {
            "prefix": reported.prefixes[i][-200:],
            "read": said[i].text,
            "finish": said[i].finish,
            "fve": fve(float(live[i]), reported.baseline),
            "fve_frozen": fve(float(frozen[i]), reported.baseline),
        }
        for i in range(min(SAMPLES, len(said)))
    ]
    return chosen, logged, table


def _figures(
    said: Sequence[Explanation], held: Held, reward_model: RewardModel, config: RL, micro_tokens: int
) -> tuple[dict[str, Any], Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Means over the explanations, and the direction MSE of each by the live AR and by the frozen one."""
    valid = valid_explanations(said, reward_model.reconstructor)
    live, frozen = (
        explanation_mse(
            said,
            valid,
            held.vectors,
            partial(reward_model.reconstruct, frozen=which, batch_tokens=micro_tokens),
            config.reward.fail_mse,
        )
        for which in (False, True)
    )
    closed = sum(one.finish == "closed" for one in said)
    figures = {
        "fve": fve(float(live.mean()), held.baseline),
        "fve_frozen": fve(float(frozen.mean()), held.baseline),
        "closed": closed / len(said),
        "refused": (closed - int(valid.sum())) / len(said),
        "length": sum(len(one.token_ids) for one in said) / len(said),
        **measures([one.text for one in said]),
    }
    return figures, live, frozen


def collapse(figures: dict[str, Any], best: float, config: RL) -> str:
    """Why the run should stop, in words; empty if it should not. `best` is the best FVE with the frozen AR so far."""
    if figures["closed"] < config.stop.closed:
        return f"only {100 * figures['closed']:.0f} % of the held-out explanations close"
    if figures["fve_frozen"] < best - config.stop.drop:
        return f"FVE with the frozen AR fell from {best:.3f} to {figures['fve_frozen']:.3f}"
    if figures["repetition"] > config.stop.repetition:
        return f"{100 * figures['repetition']:.0f} % of the word pairs repeat"
    return ""


def check_mismatch(logprobs: Float[Tensor, " m"], said: Sequence[Explanation], bound: float) -> float:
    """Rollout–trainer log-probability mismatch: mean |difference| on the same tokens, nats; UserError above `bound`.

    A single response may be off by four times as much, so that a few wrong vectors do not hide in the mean of many
    right ones: rounding averages out over a response (to about 0.02 nats a token in bfloat16), another vector does not.
    The sum over a response is divided by 16 tokens at least, as a single token may be rounded far.
    """
    sampled = torch.tensor([value for one in said for value in one.logprobs])
    difference = (logprobs - sampled).abs()
    each = [
        float(part.sum()) / max(len(part), _FEW_TOKENS)
        for part in difference.split([len(one.token_ids) for one in said])
    ]
    mean, most = float(difference.mean()), max(each)
    if not (mean <= bound and most <= _RESPONSE_FACTOR * bound):
        wrong = sum(not value <= _RESPONSE_FACTOR * bound for value in each)
        raise UserError(
            "rollout–trainer log-probability mismatch: the same tokens differ by "
            f"{mean:.3g} nats on average (bound {bound:g}) and by {most:.3g} in the worst of {len(said)} responses "
            f"({wrong} above {_RESPONSE_FACTOR * bound:g}); training would go wrong silently"
        )
    return mean
