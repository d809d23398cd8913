"""How do vectors lie on disk? Parquet shards with bf16 vectors, explanations beside them, a manifest over all."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.activations.corpus import split_of
from thinkaloud.atomic import write_whole
from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.site import Site

FORMAT = 1
MANIFEST = "manifest.json"
SHARD_DOCS = 256
ROW_GROUP = 8192
COLUMNS = {
    "doc_id": pa.string(),
    "window": pa.int32(),
    "position": pa.int32(),
    "token_id": pa.int32(),
    "token": pa.string(),
    "text": pa.string(),
    "norm": pa.float32(),
    "split": pa.string(),
    "truncated": pa.bool_(),
    "chat": pa.bool_(),
}
OPTIONAL = {"next_tokens": pa.list_(pa.string()), "next_probs": pa.list_(pa.float32())}
BESIDE = {"explanation": pa.string(), "writer": pa.string()}


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
        vectors, at = torch.empty(table.num_rows, manifest["d_model"]), 0
        for bits in parts:
            vectors[at : at + len(bits)] = bits
            at += len(bits)
        if rows is not None and ascending is not None:
            order = np.searchsorted(ascending, rows)
            vectors, table = vectors[torch.from_numpy(order)], table.take(pa.array(order))
        return cls(vectors, table, Site(**manifest["site"]), manifest)

    def save(self, directory: str | Path) -> Path:
        """Write shards, explanations where there are any, and the manifest; returns the folder."""
        from thinkaloud.activations.manifest import build_manifest

        directory = Path(directory)
        if (directory / MANIFEST).exists():
            raise UserError(f"{directory} already holds activations: choose another folder")
        if self.site is None:
            raise UserError("these activations do not say their site: give them one before saving")
        source = {k: (self.manifest or {}).get(k) for k in ("model", "corpus", "options")}
        table = with_defaults(self.table, self.vectors)
        directory.mkdir(parents=True, exist_ok=True)
        ids = table.column("doc_id").to_numpy(zero_copy_only=False)
        new_doc = np.flatnonzero(np.append(True, ids[1:] != ids[:-1])) if len(ids) else np.zeros(0, np.int64)
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


def is_split(table: pa.Table, split: str) -> np.ndarray:
    """Which rows of `table` are of `split`: bool [n]."""
    return np.array(table["split"].to_pylist(), dtype=object) == split


def to_bits(vectors: Float[Tensor, "n d"]) -> np.ndarray:
    """The bf16 bits of `vectors`, rounded to nearest even: uint16 [n, d]."""
    return vectors.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16).numpy().view(np.uint16)


def refuse_bad(vectors: Float[Tensor, "n d"], row_name: Callable[[int], str]) -> None:
    """UserError for the first vector that is zero or not finite, naming its row."""
    rows = vectors.float()
    broken = ~torch.isfinite(rows).all(dim=1)
    bad = torch.nonzero(broken | (rows == 0).all(dim=1)).flatten()
    if len(bad):
        i = int(bad[0])
        what = "has values that are not finite" if bool(broken[i]) else "is zero"
        raise UserError(
            f"the vector of {row_name(i)} {what} ({len(bad)} of {len(rows)} rows): check the model and its dtype"
        )


def norms_of(vectors: Float[Tensor, "n d"]) -> np.ndarray:
    """L2 norms, summed in float64: float32 [n]."""
    return np.concatenate(
        [np.zeros(0), *(np.sqrt((part.double() ** 2).sum(dim=1).numpy()) for part in vectors.split(4096))]
    ).astype(np.float32)


def with_defaults(table: pa.Table, vectors: Float[Tensor, "n d"]) -> pa.Table:
    """`table` with the stored columns in their order and types; what it lacks and can be known is filled in."""
    n = table.num_rows
    known: dict[str, Callable[[], Any]] = {
        "window": lambda: np.zeros(n, np.int32),
        "norm": lambda: norms_of(vectors),
        "split": lambda: [split_of(doc) for doc in table["doc_id"].to_pylist()],
        "truncated": lambda: np.zeros(n, bool),
        "chat": lambda: np.zeros(n, bool),
    }
    out: dict[str, Any] = {}
    for name, kind in {**COLUMNS, **OPTIONAL, **BESIDE}.items():
        if name in table.column_names:
            out[name] = table[name].cast(kind)
        elif name in known:
            out[name] = pa.array(known[name](), kind)
        elif name in COLUMNS:
            if name == "doc_id":
                raise UserError("activations need a doc_id column: splits and intervals go by document")
            out[name] = pa.nulls(n, kind)
    return pa.table(out)


def write_shard(
    directory: Path,
    shard: int,
    table: pa.Table,
    vectors: Float[Tensor, "n d"],
    meta: Mapping[str, Any],
) -> None:
    """Write one shard: `table` (without vectors) and the bf16 bits of `vectors`, with `meta` in the file's metadata."""
    rounded = vectors.detach().to("cpu", torch.bfloat16)
    names = table.select(["doc_id", "position"])
    refuse_bad(rounded, lambda i: "document {doc_id}, position {position}".format(**names.slice(i, 1).to_pylist()[0]))
    bits, d = to_bits(rounded), vectors.shape[1]
    column = pa.FixedSizeBinaryArray.from_buffers(pa.binary(2 * d), len(bits), [None, pa.py_buffer(bits)])
    full = table.append_column(pa.field("vector", column.type), column)
    full = full.replace_schema_metadata({"thinkaloud": json.dumps({"format": FORMAT, **meta}, sort_keys=True)})
    compression: Any = {name: "zstd" for name in full.column_names if name != "vector"} | {"vector": "none"}
    dictionary: Any = [name for name in ("doc_id", "split", "token") if name in full.column_names]

    def write(file: IO[bytes]) -> None:
        with pq.ParquetWriter(file, full.schema, compression=compression, use_dictionary=dictionary) as writer:
            writer.write_table(full, row_group_size=ROW_GROUP)

    write_whole(shard_path(directory, shard), write)


def write_explanations(
    directory: str | Path, shard: int, explanations: Sequence[str | None], writer: str | Sequence[str | None]
) -> Path:
    """Write the explanations of a shard, one for each of its rows (None where there is none); returns the file."""
    rows = pq.read_metadata(shard_path(directory, shard)).num_rows
    if len(explanations) != rows:
        raise UserError(f"shard {shard} has {rows} rows and needs as many explanations, found {len(explanations)}")
    writers = [None if e is None else writer for e in explanations] if isinstance(writer, str) else list(writer)
    table = pa.table({"explanation": pa.array(explanations, pa.string()), "writer": pa.array(writers, pa.string())})
    path = explanations_path(directory, shard)
    write_whole(path, lambda file: pq.write_table(table, file, compression="zstd"))
    return path


def shard_path(directory: str | Path, shard: int) -> Path:
    return Path(directory) / f"shard-{shard:05d}.parquet"


def shards_in(directory: str | Path) -> int:
    """How many finished shards there are."""
    return sum(1 for _ in Path(directory).glob("shard-*.parquet"))


def explanations_path(directory: str | Path, shard: int) -> Path:
    return Path(directory) / f"explanations-{shard:05d}.parquet"


def read_manifest(directory: str | Path) -> dict[str, Any]:
    """The manifest of a finished extraction."""
    path = Path(directory) / MANIFEST
    if not path.is_file():
        begun = any(Path(directory).glob("shard-*.parquet"))
        what = (
            "the extraction there is not finished: run it again, it goes on"
            if begun
            else "run thinkaloud extract first"
        )
        raise UserError(f"no {MANIFEST} in {directory}: {what}")
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise UserError(f"{path} must have format {FORMAT}: written by another version, or not by thinkaloud")
    return data


def shard_meta(directory: str | Path, shard: int) -> dict[str, Any]:
    """What a shard says of itself (counts, and the hash of the documents it was made from)."""
    path = shard_path(directory, shard)
    try:
        return json.loads((pq.read_schema(path).metadata or {})[b"thinkaloud"])
    except (pa.ArrowInvalid, KeyError, ValueError):
        raise UserError(f"{path} is not a whole shard of this format: delete it and run again") from None


def read_shard(directory: str | Path, shard: int, columns: Sequence[str] | None = None) -> pa.Table:
    """The table of one shard without its vectors, with its explanations where they are written."""
    path, beside = shard_path(directory, shard), explanations_path(directory, shard)
    if not path.is_file():
        raise UserError(f"{path} is missing: run the extraction again, it goes on")
    stored = [name for name in pq.read_schema(path).names if name != "vector"]
    wanted = list(columns) if columns is not None else [*stored, *(BESIDE if beside.is_file() else ())]
    unknown = [name for name in wanted if name not in stored and name not in BESIDE]
    if unknown:
        raise UserError(f"no column {unknown[0]!r} in {path.name}: it has {', '.join(stored)}")
    table = pq.read_table(path, columns=[name for name in wanted if name in stored]).replace_schema_metadata()
    if any(name in BESIDE for name in wanted):
        if beside.is_file():
            more = pq.read_table(beside)
            if more.num_rows != pq.read_metadata(path).num_rows:
                raise UserError(f"{beside.name} has {more.num_rows} rows, its shard has another number: write it again")
        else:
            n = pq.read_metadata(path).num_rows
            more = pa.table({name: pa.nulls(n, kind) for name, kind in BESIDE.items()})
        for name in (n for n in wanted if n in BESIDE):
            table = table.append_column(name, more[name])
    return table.select(wanted)


def iter_shards(directory: str | Path, columns: Sequence[str] | None = None) -> Iterator[tuple[int, pa.Table]]:
    """(number, table without vectors) of every shard."""
    for shard in range(read_manifest(directory)["n_shards"]):
        yield shard, read_shard(directory, shard, columns)


def read_vectors(directory: str | Path, shard: int) -> Tensor:
    """The vectors of one shard: bfloat16 [n, d]."""
    parts = pq.read_table(shard_path(directory, shard), columns=["vector"])["vector"].chunks
    width = pq.read_schema(shard_path(directory, shard)).field("vector").type.byte_width
    out = torch.empty(sum(map(len, parts)), width // 2, dtype=torch.bfloat16)
    view, at = out.view(torch.int16).numpy(), 0
    for part in parts:
        values = np.frombuffer(part.buffers()[1], np.int16, len(part) * width // 2, part.offset * width)
        view[at : at + len(part)] = values.reshape(len(part), width // 2)
        at += len(part)
    return out
