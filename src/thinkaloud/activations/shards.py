"""Documents to shards: windows and positions before the forward pass, the table and the file after it."""

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch

from thinkaloud.activations import store
from thinkaloud.activations.corpus import Document, split_of
from thinkaloud.activations.forward import Picked
from thinkaloud.activations.positions import allowed_positions, choose_positions, special_ids
from thinkaloud.activations.settings import ExtractOptions
from thinkaloud.activations.tokens import Reader, Window, encode, windows_of
from thinkaloud.errors import UserError


@dataclass(frozen=True)
class Prepared:
    """A shard before the model has seen it."""

    shard: int
    windows: list[Window]
    places: list[list[int]]
    counts: dict[str, int]
    source: str


class ShardMaker:
    """Makes shards of documents: all that stands before and after the forward pass."""

    def __init__(self, directory: Path, tokenizer: Any, options: ExtractOptions, context: int) -> None:
        self.directory, self.tokenizer, self.options = directory, tokenizer, options
        self.context, self.special, self.reader = context, special_ids(tokenizer), Reader(tokenizer)

    def is_done(self, shard: int, documents: Sequence[Document]) -> bool:
        if not store.shard_path(self.directory, shard).is_file():
            return False
        if store.shard_meta(self.directory, shard).get("source") != source_hash(documents):
            path = store.shard_path(self.directory, shard)
            raise UserError(f"{path} was made from other documents than the corpus has now: use another folder")
        return True

    def prepare(self, shard: int, documents: Sequence[Document]) -> Prepared:
        windows: list[Window] = []
        encoded = encode(self.tokenizer, documents)
        for document, ids in zip(documents, encoded, strict=True):
            bos = self.tokenizer.bos_token_id
            windows += windows_of(document, ids or [], bos, self.options.window, self.context)
        places = [self._places(window) for window in windows]
        counts = {
            "documents": sum(ids is not None for ids in encoded),
            "windows": len(windows),
            "tokens": sum(len(w.ids) for w in windows),
            "truncated": sum(w.truncated for w in windows),
            "rejected": sum(ids is None for ids in encoded),
        }
        return Prepared(shard, windows, places, counts, source_hash(documents))

    def _places(self, window: Window) -> list[int]:
        o = self.options
        allowed = allowed_positions(window.ids, self.special, o.min_position)
        return choose_positions(o.seed, window.doc_id, allowed, o.positions, window.start)

    def write(self, prepared: Prepared, result: Callable[[], Picked]) -> None:
        heldout = self.options.heldout
        table = rows_table(prepared.windows, prepared.places, self.reader, lambda doc: split_of(doc, heldout))
        picked = result()
        vectors = picked.vectors.to(torch.bfloat16)
        norms = pa.array(store.norms_of(vectors.float()))
        table = table.set_column(table.column_names.index("norm"), "norm", norms)
        table = with_next(table, picked, self.reader)
        meta = {"counts": prepared.counts, "source": prepared.source}
        store.write_shard(self.directory, prepared.shard, table, vectors, meta)


def rows_table(
    windows: Sequence[Window], places: Sequence[Sequence[int]], reader: Reader, split: Callable[[str], str]
) -> pa.Table:
    """The table of the wanted rows, by window and position; `norm` is filled in by whoever has the vectors."""
    rows = [(window, position) for window, chosen in zip(windows, places, strict=True) for position in chosen]
    columns: dict[str, list[Any]] = {
        "doc_id": [w.doc_id for w, _ in rows],
        "window": [w.start for w, _ in rows],
        "position": [p for _, p in rows],
        "token_id": [w.ids[p] for w, p in rows],
        "token": [reader.token(w.ids[p]) for w, p in rows],
        "text": [reader.prefix(w.ids[: p + 1]) for w, p in rows],
        "norm": [0.0] * len(rows),
        "split": [split(w.doc_id) for w, _ in rows],
        "truncated": [w.truncated for w, _ in rows],
        "chat": [w.chat for w, _ in rows],
    }
    return pa.table({name: pa.array(columns[name], kind) for name, kind in store.COLUMNS.items()})


def with_next(table: pa.Table, picked: Picked, reader: Reader) -> pa.Table:
    """The table with M's own most probable next tokens and their probabilities, where the pass looked at them."""
    if picked.next_ids is None or picked.next_probs is None:
        return table
    names = [[reader.token(i) for i in row] for row in picked.next_ids.tolist()]
    table = table.append_column("next_tokens", pa.array(names, store.OPTIONAL["next_tokens"]))
    k = picked.next_ids.shape[1]
    offsets = pa.array(range(0, len(names) * k + 1, k), pa.int32())
    return table.append_column(
        "next_probs", pa.ListArray.from_arrays(offsets, pa.array(picked.next_probs.flatten().numpy()))
    )


def source_hash(documents: Iterable[Document]) -> str:
    """A short hash of documents, ids included."""
    digest = hashlib.blake2b(digest_size=16)
    for document in documents:
        digest.update(json.dumps([document.id, document.text, document.messages], default=str).encode())
    return digest.hexdigest()
