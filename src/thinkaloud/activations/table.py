"""Activations in memory: vectors with a table of what is known of each, read from a folder and saved to one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.activations.store import (
    BESIDE,
    MANIFEST,
    SHARD_DOCS,
    build_manifest,
    is_split,
    read_manifest,
    read_shard,
    read_vectors,
    with_defaults,
    write_explanations,
    write_shard,
)
from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.site import Site


@dataclass(frozen=True)
class Activations:
    """Vectors with what is known of each: row i of `vectors` belongs to row i of `table`.

    `table` has the columns of `COLUMNS`, `next_tokens` and `next_probs` where they were asked for, `explanation`
    and `writer` where they have been written. `site` is None only for foreign data that does not say.

    >>> found = extract("pocket/base", ["The sea was calm.", "Nobody spoke."], Site("resid_post", 5), positions="last")
    >>> found
    Activations(2 vectors of d 256 at resid_post:5, of 2 documents)
    >>> found.column("token")
    ['.', '.']
    >>> found.filter([True, False]).baseline().n
    1
    """

    vectors: Float[Tensor, "n d"]  # float32, raw, never normalised
    table: pa.Table
    site: Site | None
    manifest: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.vectors.shape[0] != self.table.num_rows:
            shape = list(self.vectors.shape)
            raise UserError(
                f"activations need one vector a row: the table has {self.table.num_rows}, vectors are {shape}"
            )

    def __len__(self) -> int:
        return self.table.num_rows

    def __repr__(self) -> str:
        docs = len(self.table["doc_id"].unique()) if "doc_id" in self.table.column_names else 0
        of = f", of {docs:,} document{'s' * (docs != 1)}" if docs else ""
        return f"Activations({len(self):,} vectors of d {self.vectors.shape[1]} at {self.site or 'no known site'}{of})"

    def column(self, name: str) -> list[Any]:
        """A column of the table as Python values."""
        if name not in self.table.column_names:
            raise UserError(f"no column {name!r} here: there are {', '.join(self.table.column_names)}")
        return self.table.column(name).to_pylist()

    def baseline(self, split: str | None = None) -> Baseline:
        """What explanations of these vectors have to beat: as the manifest says, else computed from the rows in `split`
        (all rows for None).
        """
        stored = ((self.manifest or {}).get("baseline") or {}).get(split)
        if stored:
            return Baseline.from_dict(stored)
        part = self if split is None else self.filter(is_split(self.table, split))
        return Baseline.of(part.vectors.numpy(), part.column("doc_id"), split or "all")

    def filter(self, mask: Any) -> "Activations":
        """The rows where `mask` (booleans: list, numpy, torch or arrow) is true."""
        keep = torch.as_tensor(np.asarray(mask, dtype=bool))
        return replace(self, vectors=self.vectors[keep], table=self.table.filter(pa.array(keep.numpy())))

    @classmethod
    def load(
        cls,
        directory: str | Path,
        split: str | None = None,
        columns: Sequence[str] | None = None,
        limit: int | None = None,
        rows: np.ndarray | None = None,
    ) -> "Activations":
        """The activations in `directory`: of one split, with these columns only, at most the first `limit` rows.

        `rows` are the places in the split of the rows that are wanted, in the order in which they are wanted; no more
        than these and one shard are held in memory.
        """
        manifest = read_manifest(directory)
        parts: list[Tensor] = []
        tables: list[pa.Table] = []
        left = manifest["counts"]["rows"] if limit is None else limit
        ascending, seen = None if rows is None else np.sort(rows), 0
        for shard in range(manifest["n_shards"]):
            if left <= 0:
                break
            table = read_shard(directory, shard, [*dict.fromkeys([*(columns or ()), "split"])] if columns else None)
            keep = np.arange(table.num_rows) if split is None else np.flatnonzero(is_split(table, split))
            if ascending is not None:
                first, last = np.searchsorted(ascending, [seen, seen + len(keep)])
                seen += len(keep)
                keep = keep[ascending[first:last] - seen + len(keep)]
            bits = read_vectors(directory, shard) if len(keep) else torch.empty(0, manifest["d_model"])
            if len(keep) < table.num_rows:
                table, bits = table.take(pa.array(keep)), bits[torch.from_numpy(keep)]
            table, bits = table.slice(0, left), bits[:left]
            left -= table.num_rows
            tables.append(table.select(list(columns)) if columns else table)
            parts.append(bits)
        if not sum(t.num_rows for t in tables):
            raise UserError(f"no rows in {directory}" + (f" in the split {split!r}" if split else ""))
        table = pa.concat_tables(tables, promote_options="default")
        vectors = torch.cat(parts, out=torch.empty(table.num_rows, manifest["d_model"]))
        if rows is not None and ascending is not None:
            order = np.searchsorted(ascending, rows)
            vectors, table = vectors[torch.from_numpy(order)], table.take(pa.array(order))
        return cls(vectors, table, Site(**manifest["site"]), manifest)

    def save(self, directory: str | Path) -> Path:
        """Write shards, explanations where there are any, and the manifest; returns the folder."""
        directory = Path(directory)
        if (directory / MANIFEST).exists():
            raise UserError(f"{directory} already holds activations: choose another folder")
        if not len(self):
            raise UserError(f"no activations to write into {directory}")
        if self.site is None:
            raise UserError("these activations do not say their site: give them one before saving")
        source = {k: (self.manifest or {}).get(k) for k in ("model", "corpus", "options")}
        table = with_defaults(self.table, self.vectors)
        directory.mkdir(parents=True, exist_ok=True)
        ids = table.column("doc_id").to_numpy(zero_copy_only=False)
        new_doc = np.flatnonzero(np.append(True, ids[1:] != ids[:-1]))
        edges = [*new_doc[::SHARD_DOCS].tolist(), len(ids)]
        for shard, (start, stop) in enumerate(pairwise(edges)):
            part = table.slice(start, stop - start)
            n_docs = len(part["doc_id"].unique())
            counts = {"documents": n_docs, "windows": n_docs, "tokens": 0, "truncated": 0, "rejected": 0}
            stored = part.select([c for c in part.column_names if c not in BESIDE])
            write_shard(directory, shard, stored, self.vectors[start:stop], {"counts": counts})
            if "explanation" in part.column_names:
                writer = part["writer"].to_pylist() if "writer" in part.column_names else "unknown"
                write_explanations(directory, shard, part["explanation"].to_pylist(), writer)
        build_manifest(directory, len(edges) - 1, {**source, "site": self.site.to_dict()}, unreadable=0)
        return directory
