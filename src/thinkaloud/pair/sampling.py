"""Sampling responses to injected prompts, one token at a time for a whole batch, with a random stream for every row.

A row's random numbers depend on the seed, its vector's index and its sample's index alone, so the batch size changes
nothing about what is drawn.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from thinkaloud import families
from thinkaloud.contract import CLOSE
from thinkaloud.errors import UserError
from thinkaloud.pair.explanation import Explanation

_TAIL = 16  # tokens decoded to look for the closing tag; it is never longer than this


@dataclass(frozen=True)
class Sampling:
    """How to sample: `temperature` 0 is greedy; `max_tokens` caps the response."""

    temperature: float = 0.0
    max_tokens: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        if not (self.temperature >= 0 and np.isfinite(self.temperature)):
            raise UserError(f"temperature must be 0 (greedy) or more, found {self.temperature}")
        if self.max_tokens < 1:
            raise UserError(f"max tokens must be 1 or more, found {self.max_tokens}")


def uniforms(seed: int, row: int, sample: int, n: int) -> np.ndarray:
    """The `n` uniform numbers in [0, 1) that draw sample `sample` of row `row`."""
    key = np.array([seed & (2**64 - 1), (row << 20) + sample], dtype=np.uint64)
    return np.random.Generator(np.random.Philox(key=key)).random(n)


def closing_tokens(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that can end the closing tag: those whose text holds its last character."""
    return frozenset(index for token, index in tokenizer.get_vocab().items() if CLOSE[-1] in token)


def draw(
    logits: Float[Tensor, "n v"], temperature: float, u: Float[Tensor, " n"] | None
) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
    """Next tokens and their log-probabilities (nats): greedy where `u` is None, else the distribution inverted at u."""
    logprobs = torch.log_softmax(logits.float() / (temperature or 1.0), dim=-1)
    if u is None:
        ids = logprobs.argmax(dim=-1)
    else:
        cumulative = logprobs.double().exp().cumsum(dim=-1)
        # Scaled by the last entry, u can never fall behind the end of the distribution.
        ids = torch.searchsorted(cumulative, (u.double() * cumulative[:, -1])[:, None], right=True)[:, 0]
        ids = ids.clamp_max(logits.shape[-1] - 1)
    return ids, logprobs.gather(1, ids[:, None])[:, 0]


@dataclass
class _Row:
    index: int
    sample: int
    ids: list[int]
    logprobs: list[float]


@torch.inference_mode()
def sample(
    model: Any,
    tokenizer: Any,
    prompt: Float[Tensor, "n t d"],
    n: int,
    sampling: Sampling,
    arguments: dict[str, Any] | None = None,
    first_row: int = 0,
    watch: Callable[[int], None] = lambda rows: None,
) -> list[list[Explanation]]:
    """`n` explanations for each of the prompts, which are embeddings as `inputs_embeds` takes them.

    `arguments` are further keyword arguments of the prompt's forward call. `first_row` is the global index of the first
    prompt (its random stream). `watch` is told how many rows have ended since it was last called.
    """
    inner = families.text_model(model)
    device, (rows, length, _) = prompt.device, prompt.shape
    ends = torch.tensor(families.end_ids(model, tokenizer), device=device)
    if length + sampling.max_tokens > families.context_length(model):
        room = families.context_length(model) - length
        raise UserError(f"max tokens {sampling.max_tokens} do not fit behind the prompt: the context leaves {room}")
    closers = closing_tokens(tokenizer)
    output = inner(inputs_embeds=prompt, use_cache=True, **(arguments or {}))
    cache, hidden = output.past_key_values, output.last_hidden_state[:, -1]
    if n > 1:
        cache.batch_repeat_interleave(n)
        hidden = hidden.repeat_interleave(n, dim=0)
    live = [_Row(first_row + i, j, [], []) for i in range(rows) for j in range(n)]
    noise = None
    if sampling.temperature > 0:
        table = np.stack([uniforms(sampling.seed, row.index, row.sample, sampling.max_tokens) for row in live])
        noise = torch.from_numpy(table).to(device)
    done: dict[tuple[int, int], Explanation] = {}
    for step in range(sampling.max_tokens):
        u = None if noise is None else noise[:, step]
        ids, logprobs = draw(families.logits(model, hidden), sampling.temperature, u)
        is_end = torch.isin(ids, ends).tolist()
        keep = []
        for k, (token, logprob) in enumerate(zip(ids.tolist(), logprobs.tolist(), strict=True)):
            row = live[k]
            row.ids.append(token)
            row.logprobs.append(logprob)
            closed = token in closers and CLOSE in tokenizer.decode(row.ids[-_TAIL:])
            last = step == sampling.max_tokens - 1
            if closed or is_end[k] or last:
                raw = tokenizer.decode(row.ids[:-1] if is_end[k] else row.ids)
                done[row.index, row.sample] = Explanation.parse(
                    raw, tuple(row.ids), tuple(row.logprobs), cut=last and not is_end[k]
                )
            else:
                keep.append(k)
        if len(keep) < len(live):
            watch(len(live) - len(keep))
        if not keep:
            break
        if len(keep) < len(live):  # ended rows leave the batch, so that the rest runs on less
            index = torch.tensor(keep, device=device)
            cache.batch_select_indices(index)
            ids, live = ids[index], [live[k] for k in keep]
            noise = None if noise is None else noise[index]
        output = inner(input_ids=ids[:, None], past_key_values=cache, use_cache=True)
        hidden = output.last_hidden_state[:, -1]
    return [[done[first_row + i, j] for j in range(n)] for i in range(rows)]
