"""Explanations that are there already, from any system: a Parquet file or JSON lines, read as a table of the survey."""

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.errors import UserError
from thinkaloud.studies.survey.published import PREFIX
from thinkaloud.studies.survey.tokens import class_of

# The spellings of each column, that of this survey's own data set and of other systems; a column is taken once.
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
    "token": "token classes and frequency",
    "doc_id": "intervals over documents (each row counts as one)",
    "position": "position",
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
    rows = frame[list(taken.values())].set_axis(list(taken), axis=1)
    vectors = _vectors(rows.pop("vector"), path) if "vector" in rows else None
    lacking = [name for name in FALL_AWAY if name not in rows]
    text, context, token = (
        rows[name].fillna("").astype(str) if name in rows else pd.Series("", rows.index)
        for name in ("explanation", "context", "token")
    )
    mse, cos, fve, position = (
        pd.to_numeric(rows[name], errors="coerce") if name in rows else pd.Series(np.nan, rows.index)
        for name in ("mse", "cos", "fve", "position")
    )
    kinds = rows["kind"] if "kind" in rows else pd.Series("text", rows.index)
    if odd := sorted(set(map(str, kinds)) - {"text", "chat"}):
        raise UserError(f"{path}: kind must be text or chat, found {odd[0]!r}")
    classes = [class_of(t, c.removesuffix(t)[-1:]) for t, c in zip(token, context, strict=True)]
    made = {
        "kind": kinds,
        "doc_id": rows["doc_id"].astype(str) if "doc_id" in rows else [f"row {i}" for i in range(len(rows))],
        "position": position,
        "token": token,
        "token_class": classes if "token" in rows else None,
        "prefix": context.str[-PREFIX:],
        "context": context,
        "text": text,
        "mse": mse.fillna(2 - 2 * cos),
        "fve": fve,
    }
    return pd.DataFrame(made), vectors, lacking


def _frame(path: Path, n: int) -> pd.DataFrame:
    try:
        if path.suffix != ".parquet":
            return pd.read_json(path, lines=True, nrows=n, dtype=False, convert_dates=False)
        batches = pq.ParquetFile(path).iter_batches(n)
        first = next(batches, None)
        return pd.DataFrame() if first is None else first.to_pandas()
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is neither a Parquet file nor JSON lines: {error}") from None


def _vectors(column: pd.Series, path: Path) -> Float[Tensor, "n d"]:
    try:
        return torch.from_numpy(np.stack([np.asarray(v, dtype=np.float32) for v in column]))
    except (ValueError, TypeError):
        raise UserError(f"{path}: the vectors of all rows must be lists of numbers of one length") from None
