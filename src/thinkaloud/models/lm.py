"""The target model's own text: greedy generation from token ids, and its next-token distribution."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from thinkaloud import families
from thinkaloud.batching import default_batch_tokens, length_batches

CACHED = 4  # tokens in the cache for one of a forward pass
HEAD_ROWS = 1024  # rows of logits held at once: 0.6 GB in float32 at a vocabulary of 152k


@dataclass(frozen=True)
class Continuation:
    """Token ids behind a prompt, without the end token; `cut` says that the limit ended them."""

    ids: list[int]
    cut: bool


def turn_ends(model: Any, tokenizer: Any) -> set[int]:
    """Every token that ends a text or a turn."""
    ends = set(families.end_ids(model, tokenizer))
    for token in ("<|end|>", "<|im_end|>", "<|eot_id|>", "<end_of_turn>"):
        found = tokenizer.convert_tokens_to_ids(token)
        if isinstance(found, int) and found != tokenizer.unk_token_id:
            ends.add(found)
    return ends


@torch.no_grad()
def greedy(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    max_tokens: int,
    ends: Collection[int] | None = None,
    batch_tokens: int | None = None,
) -> list[Continuation]:
    """The likeliest continuation of each prompt, up to one of `ends` (by default `turn_ends`) or `max_tokens`.

    `batch_tokens` are those of the prompts and continuations that are held at once, by default what fits the device.
    """
    device, ends = next(model.parameters()).device, turn_ends(model, tokenizer) if ends is None else ends
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else min(ends)
    out = [Continuation([], True)] * len(prompts)
    # A cached token takes a fraction of what one in a forward pass does.
    budget = batch_tokens or CACHED * default_batch_tokens(device.type)
    for some in length_batches([len(prompt) + max_tokens for prompt in prompts], budget):
        width = max(len(prompts[i]) for i in some)
        fill = [width - len(prompts[i]) for i in some]
        ids = torch.tensor([[pad] * f + list(prompts[i]) for f, i in zip(fill, some, strict=True)], device=device)
        mask = torch.tensor([[0] * f + [1] * (width - f) for f in fill], device=device)
        made = model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=min(max_tokens, families.context_length(model) - width),
            do_sample=False,
            # A checkpoint's own settings may hold penalties, and the text would not be the likeliest any more.
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            eos_token_id=sorted(ends),
            pad_token_id=pad,
        )
        for i, row in zip(some, made[:, width:].tolist(), strict=True):
            stop = next((k for k, token in enumerate(row) if token in ends), len(row))
            out[i] = Continuation(row[:stop], stop == len(row))
    return out


def next_tokens(
    model: nn.Module, hidden: Float[Tensor, "m d"], k: int
) -> tuple[Int[Tensor, "m k"], Float[Tensor, "m k"]]:
    """The `k` likeliest next tokens and their probabilities, from final hidden states."""
    tops = [
        torch.softmax(families.logits(model, part).float(), dim=-1).topk(k, dim=-1) for part in hidden.split(HEAD_ROWS)
    ]
    return torch.cat([t.indices for t in tops]), torch.cat([t.values for t in tops])
