"""Manifest of a folder of activations: counts, norms, V and checksums, made from the shards alone."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from thinkaloud.activations import store
from thinkaloud.atomic import sha256_of, write_json
from thinkaloud.baseline import Baseline

PERCENTILES = (25, 50, 75, 95)


def build_manifest(directory: Path, n_shards: int, source: Mapping[str, Any], unreadable: int) -> dict[str, Any]:
    """Count, measure and hash the shards, write manifest.json, return what it says.

    `norm_percentiles` are over all rows (the 75th is the usual injection scale); `baseline` is V of each split.
    """
    counts: dict[str, Any] = {"documents": 0, "windows": 0, "tokens": 0, "truncated": 0, "rejected": 0}
    rows_by_split: dict[str, int] = {}
    docs_by_split: dict[str, set[str]] = {}
    norms: list[np.ndarray] = []
    for shard in range(n_shards):
        for name, value in store.shard_meta(directory, shard)["counts"].items():
            counts[name] += value
        table = store.read_shard(directory, shard, ["doc_id", "split", "norm"])
        norms.append(table["norm"].to_numpy())
        for doc, split in zip(table["doc_id"].to_pylist(), table["split"].to_pylist(), strict=True):
            rows_by_split[split] = rows_by_split.get(split, 0) + 1
            docs_by_split.setdefault(split, set()).add(doc)
    all_norms = np.concatenate(norms).astype(np.float64) if norms else np.zeros(0)
    # A chat its template refuses is as unreadable as a broken line; both are counted, neither is fatal.
    counts["unreadable"] = unreadable + counts.pop("rejected")
    counts["rows"] = len(all_norms)
    counts["splits"] = {
        s: {"rows": rows_by_split[s], "documents": len(docs_by_split[s])} for s in sorted(rows_by_split)
    }
    width = pq.read_schema(store.shard_path(directory, 0)).field("vector").type.byte_width // 2 if n_shards else None
    data = {
        "format": store.FORMAT,
        **source,
        "d_model": width,
        "n_shards": n_shards,
        "counts": counts,
        "norm_percentiles": {
            str(p): float(np.percentile(all_norms, p)) if len(all_norms) else None for p in PERCENTILES
        },
        "baseline": {
            split: Baseline.of_blocks(_blocks(directory, n_shards, split), docs_by_split[split], split).to_dict()
            for split in sorted(rows_by_split)
        },
        "shards": {
            store.shard_path(directory, i).name: sha256_of(store.shard_path(directory, i)) for i in range(n_shards)
        },
    }
    write_json(directory / store.MANIFEST, data)
    return data


def _blocks(directory: Path, n_shards: int, split: str) -> Iterator[np.ndarray]:
    for shard in range(n_shards):
        keep = store.read_shard(directory, shard, ["split"])["split"].to_numpy(zero_copy_only=False) == split
        if keep.any():
            yield store.read_vectors(directory, shard).float().numpy()[keep]
