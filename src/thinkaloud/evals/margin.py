"""Margins: the log-probability that an AV gives to each of several continuations, with one vector or another."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud import families
from thinkaloud.batching import default_batch_tokens, length_batches
from thinkaloud.contract import OPEN
from thinkaloud.pair.verbalizer import Verbalizer


def logprobs(
    verbalizer: Verbalizer, vectors: Float[Tensor, "n d"], begins: Sequence[str], endings: Sequence[Sequence[str]]
) -> list[list[float]]:
    """For each vector the log-probability, nats, of each ending of an explanation that begins so.

    What all endings of a vector have in common as tokens is left out: it is equal for all of them.
    """
    ids: list[list[int]] = []
    first: list[int] = []
    of: list[int] = []
    for row, (begin, some) in enumerate(zip(begins, endings, strict=True)):
        texts = [f"{OPEN}\n{begin}{ending}" for ending in some]
        tokens = verbalizer.tokenizer(texts, add_special_tokens=False)["input_ids"] if texts else []
        shared = _shared(tokens)
        ids += tokens
        first += [shared] * len(tokens)
        of += [row] * len(tokens)
    found = _summed(verbalizer, vectors[of], ids, first).tolist()
    out: list[list[float]] = [[] for _ in endings]
    for row, value in zip(of, found, strict=True):
        out[row].append(value)
    return out


def _shared(tokens: Sequence[Sequence[int]]) -> int:
    """How many tokens all begin with; one at least of each is left over."""
    most = min(map(len, tokens), default=1) - 1
    return next((i for i in range(most) if len({one[i] for one in tokens}) > 1), most)


@torch.no_grad()
def _summed(
    verbalizer: Verbalizer, vectors: Float[Tensor, "m d"], ids: Sequence[Sequence[int]], first: Sequence[int]
) -> Float[Tensor, " m"]:
    """The summed log-probabilities of responses from their token `first` on."""
    model, device, out = verbalizer.model, verbalizer.device, torch.zeros(len(ids))
    prompt = len(verbalizer.prompt_ids)
    for some in length_batches([prompt + len(one) for one in ids], default_batch_tokens(device.type)):
        width = max(len(ids[i]) for i in some)
        padded = torch.tensor([list(ids[i]) + [0] * (width - len(ids[i])) for i in some], device=device)
        embeds, more = verbalizer.inputs(verbalizer.slot_vectors(vectors[some]))
        embeds = torch.cat([embeds, families.embed(model, padded[:, :-1])], dim=1)
        hidden = families.text_model(model)(inputs_embeds=embeds, use_cache=False, **more).last_hidden_state
        hidden = hidden[:, prompt - 1 :]
        at = torch.arange(width)[None]
        begin, end = (torch.tensor(one)[:, None] for one in ([first[i] for i in some], [len(ids[i]) for i in some]))
        row, column = ((at >= begin) & (at < end)).nonzero(as_tuple=True)
        logits = families.logits(model, hidden[row.to(device), column.to(device)]).float()
        chosen = torch.log_softmax(logits, dim=-1).gather(1, padded[row.to(device), column.to(device)][:, None])
        out[some] = torch.zeros(len(some)).index_add(0, row, chosen[:, 0].cpu())
    return out
