"""Token sampling: greedy, or inverse-CDF sampling at given uniform numbers, on the device and without a sync."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

_BLOCK = 128
_BELOW_1 = 1 - 1e-12


def draw(
    logits: Float[Tensor, "n v"], temperature: float | Float[Tensor, " n"], u: Float[Tensor, " n"] | None
) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
    """Next tokens and their log-probabilities (nats): greedy where `u` is None, else by inverse-CDF sampling at u.

    With a temperature for each row, 0 is greedy, and its log-probability that of temperature 1. The distribution is
    inverted in two steps, first among blocks of tokens and then within one, as the running sum of a whole vocabulary in
    double precision would cost more than the model does.
    """
    logits = logits.float()
    greedy = None
    if isinstance(temperature, Tensor):
        greedy = temperature == 0
        logits = logits / torch.where(greedy, 1.0, temperature)[:, None]
    elif temperature not in (0.0, 1.0):
        logits = logits / temperature
    if u is None:
        ids = logits.argmax(dim=-1)
        return ids, _at(torch.log_softmax(logits, dim=-1), ids)
    n, v = logits.shape
    weights = (logits - logits.amax(dim=-1, keepdim=True)).exp_()
    blocks = (torch.nn.functional.pad(weights, (0, -v % _BLOCK)) if v % _BLOCK else weights).view(n, -1, _BLOCK)
    sums = blocks.sum(dim=-1).double().cumsum(dim=-1)
    target = u.double().clamp_max(_BELOW_1) * sums[:, -1]
    block = _first_above(sums, target)
    inside = blocks[torch.arange(n, device=logits.device), block].double().cumsum(dim=-1)
    before = torch.where(block > 0, _at(sums, (block - 1).clamp_min(0)), 0.0)
    # Two ways of summing a block differ in the last bit; the target may not fall behind its end.
    place = _first_above(inside, torch.minimum(target - before, inside[:, -1] * _BELOW_1))
    ids = block * _BLOCK + place
    if greedy is not None:
        ids = torch.where(greedy, logits.argmax(dim=-1), ids)
    return ids, (_at(weights, ids).double() / sums[:, -1]).log().float()


def _first_above(sums: Float[Tensor, "n k"], target: Float[Tensor, " n"]) -> Int[Tensor, " n"]:
    found = torch.searchsorted(sums, target[:, None], right=True)[:, 0]
    return found.clamp_max(sums.shape[1] - 1)


def _at(table: Tensor, index: Int[Tensor, " n"]) -> Tensor:
    return table.gather(1, index[:, None])[:, 0]
