"""Extraction of activations into memory, for a few texts; and the table of what is known of each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pyarrow as pa
from jaxtyping import Float
from torch import Tensor, nn

from thinkaloud import families, loading
from thinkaloud.activations.corpus import Document, split_of
from thinkaloud.activations.forward import Pass, Picked
from thinkaloud.activations.positions import parse_positions, special_ids
from thinkaloud.activations.store import with_defaults
from thinkaloud.activations.table import Activations
from thinkaloud.activations.tokens import Reader, Window, encode, places_drawn, windows_to_read
from thinkaloud.batching import default_batch_tokens
from thinkaloud.config.data import Extract
from thinkaloud.errors import UserError
from thinkaloud.site import Site


def extract(
    model: nn.Module | str | Path,
    texts: Sequence[str | Sequence[dict[str, Any]]],
    site: Site,
    positions: str | int | Sequence[int] = "all",
    tokenizer: Any = None,
    *,
    seed: int = 0,
    min_position: int = 0,
    next_tokens: int = 0,
    batch_tokens: int | None = None,
    window: int | None = None,
) -> Activations:
    """The vectors of `texts` (strings or lists of messages) at `site`.

    `positions`: "all", "last", "0,-1", "50:" or a list of indices, or a whole number n for n tokens a text, chosen by
    `seed` from `min_position` on and never special tokens. With `window`, texts are read in consecutive windows of so
    many tokens, each beginning with the BOS: indices count the tokens of the whole text, n tokens are chosen of each
    window. With `next_tokens` k, the table also holds the k tokens that the model itself finds likeliest next, and
    their probabilities. Vectors are float32 [n, d], unscaled. UserError for a text that is empty, or longer than the
    model's context without windows.

    >>> extract("pocket/base", ["The old captain looked at the sea"], Site("resid_post", 5), positions="0,-1")
    Activations(2 vectors of d 256 at resid_post:5, of 1 document)
    """
    if not isinstance(model, nn.Module):
        tokenizer = tokenizer if tokenizer is not None else loading.load_tokenizer(model)
        whole = loading.load_causal_lm(model) if next_tokens else loading.load_backbone(model, site.layer)
        model = cast(nn.Module, whole)
    if tokenizer is None:
        raise UserError("extract needs a tokenizer beside a model that is already loaded: pass tokenizer=")
    if isinstance(texts, str):
        raise UserError("texts must be a list of texts or chats, found one text: put it in a list")
    documents = [
        Document(f"text-{i}", text=t) if isinstance(t, str) else Document(f"text-{i}", messages=tuple(t))
        for i, t in enumerate(texts)
    ]
    context, special = families.context_length(model), special_ids(tokenizer)
    windows: list[Window] = []
    places: list[list[int]] = []
    for i, (document, ids) in enumerate(zip(documents, encode(tokenizer, documents), strict=True)):
        name = "the text" if len(documents) == 1 else f"text {i}"
        mine = windows_to_read(document, ids, tokenizer.bos_token_id, window, context, name)
        windows += mine
        if isinstance(positions, int) and not isinstance(positions, bool):
            places += places_drawn(mine, seed, positions, special, min_position)
        else:
            named = parse_positions(positions, len(ids or ()))
            places += [w.positions_of(named) for w in mine]
    run = Pass(model, site, next_tokens)
    picked = run([w.ids for w in windows], places, batch_tokens or default_batch_tokens(run.device.type))()
    vectors = picked.vectors.float()
    return Activations(vectors, rows_table(windows, places, picked, vectors, Reader(tokenizer), Extract.heldout), site)


def rows_table(
    windows: Sequence[Window],
    places: Sequence[Sequence[int]],
    picked: Picked,
    vectors: Float[Tensor, "n d"],
    reader: Reader,
    heldout: float,
) -> pa.Table:
    """The table of the wanted rows, by window and position; `vectors` are those of `picked` as they will be kept."""
    rows = [(window, position) for window, chosen in zip(windows, places, strict=True) for position in chosen]
    columns: dict[str, list[Any]] = {
        "doc_id": [w.doc_id for w, _ in rows],
        "window": [w.start for w, _ in rows],
        "position": [p for _, p in rows],
        "token_id": [w.ids[p] for w, p in rows],
        "token": [reader.token(w.ids[p]) for w, p in rows],
        "text": [reader.prefix(w.ids[: p + 1]) for w, p in rows],
        "split": [split_of(w.doc_id, heldout) for w, _ in rows],
        "truncated": [w.truncated for w, _ in rows],
        "chat": [w.chat for w, _ in rows],
    }
    if picked.next_ids is not None and picked.next_probs is not None:
        columns["next_tokens"] = [[reader.token(i) for i in row] for row in picked.next_ids.tolist()]
        columns["next_probs"] = picked.next_probs.tolist()
    return with_defaults(pa.table(columns), vectors)
