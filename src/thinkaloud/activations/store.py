"""Vectors on disk: Parquet shards with bf16 vectors, explanations beside them, a manifest over all."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.activations.corpus import split_of
from thinkaloud.atomic import read_mapping, sha256_of, write_json, write_whole
from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.fingerprint import same_model
from thinkaloud.site import Site

FORMAT = 1
MANIFEST = "manifest.json"
SHARD_DOCS = 256
ROW_GROUP = 8192
PERCENTILES = (25, 50, 75, 95)  # of the norms, in the manifest
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


def is_split(table: pa.Table, split: str) -> np.ndarray:
    """Which rows of `table` are of `split`: bool [n]."""
    return np.array(table["split"].to_pylist(), dtype=object) == split


def to_bits(vectors: Float[Tensor, "n d"]) -> np.ndarray:
    """The bf16 bits of `vectors`, rounded to nearest even: uint16 [n, d]."""
    return vectors.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16).numpy().view(np.uint16)


def check_vectors(
    vectors: Float[Tensor, "*n d"],
    d_model: int,
    row_name: Callable[[int], str] = lambda i: f"vector {i}",
    advice: str = "",
) -> None:
    """Refuse vectors that cannot be read: a wrong width, NaN or infinity, or all zeros (which have no direction)."""
    if vectors.shape[-1] != d_model:
        raise UserError(f"vectors must be {d_model} wide, found {vectors.shape[-1]}: they are of another model")
    rows = vectors.detach().float().reshape(-1, d_model)
    broken, zero = ~rows.isfinite().all(dim=1), (rows == 0).all(dim=1)
    for bad, what, do in ((broken, "holds NaN or infinity", "do"), (zero, "is zero and has no direction", "are")):
        if bad.any():
            raise UserError(f"{row_name(int(bad.nonzero()[0]))} {what}: {int(bad.sum())} of {len(rows)} {do}{advice}")


def norms_of(vectors: Float[Tensor, "n d"]) -> np.ndarray:
    """L2 norms, summed in float64: float32 [n]."""
    return np.concatenate(
        [np.zeros(0), *(np.sqrt((part.double() ** 2).sum(dim=1).numpy()) for part in vectors.split(4096))]
    ).astype(np.float32)


def with_defaults(table: pa.Table, vectors: Float[Tensor, "n d"]) -> pa.Table:
    """`table` with the stored columns in their order and types; what it lacks and can be known is filled in."""
    if "doc_id" not in table.column_names:
        raise UserError("activations need a doc_id column: splits and intervals go by document")
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
        elif name in COLUMNS:
            out[name] = pa.array(known[name](), kind) if name in known else pa.nulls(n, kind)
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
    name = "the vector of document {doc_id}, position {position}"
    row_name, advice = (lambda i: name.format(**names.slice(i, 1).to_pylist()[0])), "; check the model and its dtype"
    check_vectors(rounded, vectors.shape[1], row_name, advice)
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
    path, begun = Path(directory) / MANIFEST, shards_in(directory) > 0
    what = "the extraction there is not finished: run it again, it goes on" if begun else "run thinkaloud extract first"
    data = read_mapping(path, f"no {MANIFEST} in {directory}: {what}")
    if data.get("format") != FORMAT:
        raise UserError(f"{path} must have format {FORMAT}: written by another version, or not by thinkaloud")
    return data


def check_read_by(
    reader: str, data: str | Path, manifest: Mapping[str, Any], site: Site | None, d_model: int, model: Any = None
) -> None:
    """Refuse activations of another site, width or model than `reader`, a pair or half of one, reads.

    A site or a model that is None is not known, and not compared.
    """
    if site is not None and manifest["site"] != site.to_dict():
        found = Site(**manifest["site"])
        raise UserError(f"{data} holds activations of {found}, {reader} reads {site}: extract with --nla")
    if manifest["d_model"] != d_model:
        raise UserError(f"{data} holds vectors {manifest['d_model']} wide, {reader} reads {d_model}: of another model")
    theirs = (manifest.get("model") or {}).get("name")
    if model is not None and theirs is not None and not same_model(str(model), str(theirs)):
        raise UserError(f"{data} holds activations of {theirs}, {reader} reads {model}: extract with --nla")


def build_manifest(directory: Path, n_shards: int, source: Mapping[str, Any], unreadable: int) -> dict[str, Any]:
    """Count, measure and hash the shards, write manifest.json, return what it says.

    `norm_percentiles` are over all rows (the 75th is the usual injection scale); `baseline` is V of each split.
    """
    shards, counts = range(n_shards), dict.fromkeys(("documents", "windows", "tokens", "truncated", "rejected"), 0)
    for shard in shards:
        for name, value in shard_meta(directory, shard)["counts"].items():
            counts[name] += value
    table = pa.concat_tables(read_shard(directory, shard, ["doc_id", "split", "norm"]) for shard in shards)
    norms = table["norm"].to_numpy().astype(np.float64)
    # A chat its template refuses is as unreadable as a broken line; both are counted, neither is fatal.
    counts |= {"unreadable": unreadable + counts.pop("rejected"), "rows": len(norms)}
    splits, baselines = {}, {}
    for split in sorted(table["split"].unique().to_pylist()):
        docs = table["doc_id"].filter(pa.array(is_split(table, split)))
        splits[split] = {"rows": len(docs), "documents": len(docs.unique())}
        baselines[split] = Baseline.of_blocks(_blocks(directory, n_shards, split), docs.to_pylist(), split).to_dict()
    data = {
        "format": FORMAT,
        **source,
        "d_model": read_vectors(directory, 0).shape[1],
        "n_shards": n_shards,
        "counts": {**counts, "splits": splits},
        "norm_percentiles": {str(p): float(np.percentile(norms, p)) if len(norms) else None for p in PERCENTILES},
        "baseline": baselines,
        "shards": {path.name: sha256_of(path) for path in (shard_path(directory, shard) for shard in shards)},
    }
    write_json(directory / MANIFEST, data)
    return data


def _blocks(directory: Path, n_shards: int, split: str) -> Iterator[np.ndarray]:
    """The vectors of a split, shard by shard."""
    for shard in range(n_shards):
        keep = is_split(read_shard(directory, shard, ["split"]), split)
        if keep.any():
            yield read_vectors(directory, shard).float().numpy()[keep]


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
    if added := [name for name in wanted if name in BESIDE]:
        rows = pq.read_metadata(path).num_rows
        missing = {name: pa.nulls(rows, kind) for name, kind in BESIDE.items()}
        more = pq.read_table(beside) if beside.is_file() else pa.table(missing)
        if more.num_rows != rows:
            raise UserError(f"{beside.name} has {more.num_rows} rows, its shard has another number: write it again")
        for name in added:
            table = table.append_column(name, more[name])
    return table.select(wanted)


def read_vectors(directory: str | Path, shard: int) -> Tensor:
    """The vectors of one shard: bfloat16 [n, d]."""
    column = pq.read_table(shard_path(directory, shard), columns=["vector"])["vector"]
    width = column.type.byte_width
    parts = [np.frombuffer(p.buffers()[1], np.int16, len(p) * width // 2, p.offset * width) for p in column.chunks]
    bits = np.concatenate([np.zeros(0, np.int16), *parts]).reshape(-1, width // 2)
    return torch.from_numpy(bits).view(torch.bfloat16)
