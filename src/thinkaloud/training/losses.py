"""Losses: cross-entropy, GRPO advantages, policy gradient, KL to the reference policy (k3, exact)."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def response_cross_entropy(logits: Float[Tensor, "m v"], targets: Int[Tensor, " m"]) -> Float[Tensor, ""]:
    """Summed cross-entropy (nats) of response tokens; divide by the step's token count, whatever the micro-batches."""
    return torch.nn.functional.cross_entropy(logits.float(), targets, reduction="sum")


def advantages(rewards: Float[Tensor, "p g"], normalise: bool) -> Float[Tensor, "p g"]:
    """Rewards less their group's mean, divided by its standard deviation if `normalise`; 0 where a group is all alike.

    GRPO: Shao et al., "DeepSeekMath", 2024, section 4.1; Dr. GRPO, without the division: Liu et al., "Understanding
    R1-Zero-Like Training", 2025.
    """
    rewards = rewards.double()  # the mean of equal numbers is then that number, without a rounding to be blown up
    centred = rewards - rewards.mean(dim=1, keepdim=True)
    if normalise:
        centred = centred / (rewards.std(dim=1, keepdim=True) + 1e-6)
    return centred.float()


def k3(logprobs: Float[Tensor, " m"], reference: Float[Tensor, " m"], clamp: float) -> Float[Tensor, " m"]:
    """An unbiased estimate of KL(policy ‖ reference) at sampled tokens, nats, never negative: exp(r) − r − 1.

    r = reference − policy log-probability, at most `clamp`, where the exponential would overflow. There is no lower
    bound: where the policy is far likelier than the reference, −r − 1 is what pulls it back. Schulman, "Approximating
    KL Divergence", 2020.
    """
    r = (reference - logprobs).clamp_max(clamp)
    return torch.expm1(r) - r  # exp(r) − 1 rounds to less than r where they are close


def full_kl(logits: Float[Tensor, "m v"], reference: Float[Tensor, "m v"]) -> Float[Tensor, " m"]:
    """KL(policy ‖ reference) over the whole vocabulary, nats, in float32."""
    log_p, log_q = torch.log_softmax(logits.float(), dim=-1), torch.log_softmax(reference.float(), dim=-1)
    return (log_p.exp() * (log_p - log_q)).sum(dim=-1)


def policy_loss(
    logprobs: Float[Tensor, " m"], advantages: Float[Tensor, " m"], kl: Float[Tensor, " m"], kl_weight: float
) -> Float[Tensor, ""]:
    """Policy gradient on on-policy rollouts with a KL penalty, summed over tokens.

    Divide by a count that does not depend on what was sampled (Dr. GRPO's denominator). There is one update to a
    rollout, so the ratio of new to old probability is 1 and its gradient that of the log-probability: nothing is
    clipped, and no old log-probabilities are needed.
    """
    return (kl_weight * kl - advantages * logprobs).sum()
