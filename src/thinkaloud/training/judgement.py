"""How is a pair doing on held-out documents while it is trained, and has it gone wrong?"""

from typing import Any

from thinkaloud.pair.prose import measures
from thinkaloud.pair.scores import Scores
from thinkaloud.rollout.base import Sampling
from thinkaloud.training.config import RL
from thinkaloud.training.critic import Critic
from thinkaloud.training.data import Held
from thinkaloud.training.policy import Policy

SAMPLES = 24  # texts of an evaluation that are kept


def judge(policy: Policy, critic: Critic, held: Held, config: RL) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Greedy explanations of the held-out vectors: figures, and a table of texts.

    `heldout_fve_frozen` is by the AR as it was at the start: what the words say to a reader that did not learn with
    the AV. `heldout_kl` is the divergence from the warm-started AV over the very texts, nats a token.
    """
    sampling = Sampling(0.0, config.max_tokens, config.seed)
    said = [row[0] for row in policy.sample(held.vectors, 1, sampling)]
    texts = [one.text for one in said]
    live = Scores.of(critic.reconstruct(texts), held.vectors, held.baseline)
    frozen = Scores.of(critic.reconstruct(texts, frozen=True), held.vectors, held.baseline)
    told = policy.update(held.vectors, [one.token_ids for one in said], None, config.micro_tokens)
    figures = {
        "heldout_fve": live.fve,
        "heldout_fve_frozen": frozen.fve,
        "closed": sum(one.finish == "closed" for one in said) / len(said),
        "length": sum(len(one.token_ids) for one in said) / len(said),
        "heldout_kl": float(told.kl.mean()),
        **measures(texts),
    }
    table = [
        {
            "prefix": held.prefixes[i][-200:],
            "read": texts[i],
            "finish": said[i].finish,
            "fve": live[i].fve,
            "fve_frozen": frozen[i].fve,
        }
        for i in range(min(SAMPLES, len(said)))
    ]
    return figures, table


def collapse(figures: dict[str, Any], best: float, config: RL) -> str:
    """Why the run should stop, in words; empty if it should not. `best` is the best FVE with the frozen AR so far."""
    if figures["closed"] < config.stop_closed:
        return f"only {100 * figures['closed']:.0f} % of the held-out explanations close"
    if figures["heldout_fve_frozen"] < best - config.stop_drop:
        return f"FVE with the frozen AR fell from {best:.3f} to {figures['heldout_fve_frozen']:.3f}"
    if figures["repetition"] > config.stop_repetition:
        return f"{100 * figures['repetition']:.0f} % of the word pairs repeat"
    return ""
