"""Stored activations read again: the token ids up to each, and the cosine of what the model gives for them today."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from thinkaloud import families, hooks
from thinkaloud.activations import Activations
from thinkaloud.activations.forward import Pass, length_bound, vectors_at
from thinkaloud.batching import default_batch_tokens, length_batches
from thinkaloud.errors import UserError
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.scores import cosine
from thinkaloud.site import Site

ALIKE = 0.99  # cosine from which what is read again is the stored vector


@dataclass(frozen=True)
class Reread:
    """Of each stored activation the token `ids` up to it, empty where they are not known; `cos` of the vector that M
    gives for them today with the stored one (NaN without ids); and `rows`, those where it is above `ALIKE`.
    """

    ids: list[list[int]]
    cos: np.ndarray

    @property
    def rows(self) -> np.ndarray:
        """The rows that an evaluation may run M on."""
        return np.flatnonzero(self.cos > ALIKE)

    def some(self, most: int, least: int = 2, room: int = 1 << 30) -> np.ndarray:
        """Of those rows `most` evenly spread, whose tokens number `least` to `room`; UserError where there are none."""
        fits = self.rows[[least <= len(self.ids[row]) <= room for row in self.rows]] if len(self.rows) else self.rows
        if not len(fits):
            best = f"best cosine {np.nanmax(self.cos):.3f}" if np.isfinite(self.cos).any() else "no text that tokenises"
            raise UserError(
                f"no activation of {least} tokens or more that M gives again for its text: {len(self.rows)} of "
                f"{len(self.cos)} agree, {best}; give longer texts of the model that the pair reads"
            )
        return fits[np.unique(np.linspace(0, len(fits) - 1, min(most, len(fits))).round().astype(int))]


def reread(nla: NLA, data: Activations) -> Reread:
    """Read every stored activation again with M, from its column `ids` where it has one, else from its text."""
    names = set(data.table.column_names)
    if missing := {"text", "token_id", "position"} - names:
        raise UserError(f"reading again needs the columns text, token_id and position, found no {min(missing)}")
    kept = data.column("ids") if "ids" in names else [None] * len(data)
    columns = (data.column(name) for name in ("text", "token_id", "position"))
    ids = [
        own or _tokenised(nla.model_tokenizer, text or "", last, position)
        for own, text, last, position in zip(kept, *columns, strict=True)
    ]
    room = families.context_length(nla.model)
    ids = [some if len(some) <= room else [] for some in ids]
    known = [i for i, some in enumerate(ids) if some]
    cos = np.full(len(data), np.nan)
    if known:
        cos[known] = cosine(last_vectors(nla.model, nla.site, [ids[i] for i in known]), data.vectors[known]).numpy()
    return Reread(ids, cos)


def last_vectors(model: nn.Module, site: Site, sequences: Sequence[Sequence[int]]) -> Float[Tensor, "n d"]:
    """The vector of each sequence's last token; sequences that begin another one are read with it."""
    if length_bound(model):
        return vectors_at(model, site, sequences, [[len(ids) - 1] for ids in sequences])
    order = sorted(range(len(sequences)), key=lambda i: tuple(sequences[i]))  # what begins another stands before it
    longest: list[list[int]] = []
    places: list[list[int]] = []
    of: list[list[int]] = []
    for i in reversed(order):
        ids = list(sequences[i])
        if not longest or longest[-1][: len(ids)] != ids:
            longest.append(ids)
            places.append([])
            of.append([])
        places[-1].append(len(ids) - 1)
        of[-1].append(i)
    out = vectors_at(model, site, longest, places)
    return out[torch.argsort(torch.tensor([i for group in of for i in group]))]


@torch.no_grad()
def at_layers(
    model: nn.Module, sites: Sequence[Site], sequences: Sequence[Sequence[int]]
) -> dict[Site, Float[Tensor, "n d"]]:
    """The vectors of each sequence's last token at several sites, in one forward pass."""
    highest = max(sites, key=lambda site: site.layer)
    view, device = Pass(model, highest).view, families.embedding(model).weight.device
    out = {site: torch.zeros(len(sequences), families.d_model(model)) for site in sites}
    budget = default_batch_tokens(device.type)
    for some in length_batches([len(ids) for ids in sequences], budget, equal=length_bound(model)):
        rows = [torch.tensor(list(sequences[i])) for i in some]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(device)
        at = (torch.arange(len(some), device=device), torch.tensor([len(row) - 1 for row in rows], device=device))
        with hooks.capture(model, *sites, keep=lambda hidden, at=at: hidden[at]) as seen:
            view(input_ids=ids, use_cache=False)
        for site in sites:
            out[site][some] = seen[site].float().cpu()
    return out


def _tokenised(tokenizer: Any, text: str, last: int | None, position: int | None) -> list[int]:
    """The ids of a decoded text that end in the token `last` at `position`; none where no encoding gives them."""
    return next((ids for ids in _ways(tokenizer, text) if ids and ids[-1] == last and len(ids) - 1 == position), [])


def _ways(tokenizer: Any, text: str) -> Iterator[list[int]]:
    """As a plain text, and as what a template wrote, behind the BOS or without one."""
    yield tokenizer.encode(text)
    bare, bos = tokenizer.encode(text, add_special_tokens=False), tokenizer.bos_token_id
    yield bare
    if bos is not None:
        yield [bos, *bare]
