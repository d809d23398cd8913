"""Explanations that are there already, from any system: a Parquet file or JSON lines, read as a table of the survey."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.activations.token_class import class_of
from thinkaloud.errors import UserError

# The spellings of each column, that of this survey's own table and of other systems; a column is taken once.
NAMES = {
    "explanation": ("explanation", "description", "response", "text"),
    "context": ("context", "prefix", "detokenized_text_truncated", "text"),
    "token": ("token",),
    "kind": ("kind",),
    "doc_id": ("doc_id", "id"),
    "position": ("position", "n_raw_tokens"),
    "vector": ("vector", "activation_vector", "activation"),
    "mse": ("mse",),
    "cos": ("cos", "cosine_similarity"),
    "fve": ("fve",),
}
# What cannot be said without a column.
FALL_AWAY = {
    "context": "quotation of the context",
    "token": "token classes",
    "doc_id": "intervals over documents (each row counts as one)",
}


def has_vectors(path: Path) -> bool:
    """Whether a file of explanations has vectors."""
    return bool(set(_frame(path, 1)) & set(NAMES["vector"]))


def read(path: Path, n: int) -> tuple[pd.DataFrame, Float[Tensor, "n d"] | None, list[str]]:
    """At most `n` rows as the survey's table has them, with their whole `context`; their vectors; what is not there."""
    frame, taken = _frame(path, n), dict[str, str]()
    for name, spellings in NAMES.items():
        found = next((s for s in spellings if s in frame and s not in taken.values()), None)
        taken |= {name: found} if found else {}
    if "explanation" not in taken or frame.empty:
        columns = ", ".join(map(str, frame.columns)) or "no columns"
        raise UserError(
            f"{path}: expected rows with a column explanation (or text), found {len(frame)} rows, {columns}"
        )
    rows = frame[list(taken.values())].set_axis(list(taken), axis=1).reindex(columns=list(NAMES))
    vectors = _vectors(rows["vector"], path) if "vector" in taken else None
    texts = ["explanation", "context", "token"]
    rows[texts] = rows[texts].astype(object).fillna("").astype(str)
    rows["kind"] = rows["kind"].astype(object).fillna("text").astype(str)
    if odd := sorted(set(rows["kind"]) - {"text", "chat"}):
        raise UserError(f"{path}: kind must be text or chat, found {odd[0]!r}")
    numbers = ["position", "mse", "cos", "fve"]
    rows[numbers] = rows[numbers].apply(pd.to_numeric, errors="coerce").astype(float)
    rows["doc_id"] = rows["doc_id"].astype(str) if "doc_id" in taken else [f"row {i}" for i in range(len(rows))]
    beside = zip(rows["token"], rows["context"], strict=True)
    classes = [class_of(t, c.removesuffix(t)[-1:]) for t, c in beside] if "token" in taken else None
    rows = rows.assign(token_class=classes, mse=rows["mse"].fillna(2 - 2 * rows["cos"]))
    return rows.rename(columns={"explanation": "text"}), vectors, [name for name in FALL_AWAY if name not in taken]


def _frame(path: Path, n: int) -> pd.DataFrame:
    try:
        if path.suffix != ".parquet":
            return pd.read_json(path, lines=True, nrows=n, dtype=False, convert_dates=False)
        first = next(pq.ParquetFile(path).iter_batches(n), None)
        return pd.DataFrame() if first is None else first.to_pandas()
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is neither a Parquet file nor JSON lines: {error}") from None


def _vectors(column: pd.Series, path: Path) -> Float[Tensor, "n d"]:
    try:
        return torch.from_numpy(np.stack([np.asarray(v, dtype=np.float32) for v in column]))
    except (ValueError, TypeError):
        raise UserError(f"{path}: the vectors of all rows must be lists of numbers of one length") from None
