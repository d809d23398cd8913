"""The survey's data set and its card."""

from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from thinkaloud.atomic import write_text, write_whole

PREFIX = 200  # characters of the document that a row shows
COLUMNS = {
    "kind": (pa.string(), "text or chat"),
    "doc_id": (pa.string(), "document; positions of one document are not independent"),
    "position": (pa.int32(), "index of the token in its document, 0 is the first"),
    "token_id": (pa.int32(), "id of the token in M's vocabulary"),
    "token": (pa.string(), "the token alone, decoded; U+FFFD for a part of a character"),
    "token_class": (
        pa.string(),
        "whitespace, punctuation, whole word, word piece, number, symbol, special or byte piece",
    ),
    "prefix": (pa.string(), f"the last {PREFIX} characters of the document up to the token and with it"),
    "norm": (pa.float32(), "L2 norm of the activation"),
    "text": (pa.string(), "the explanation, greedy"),
    "finish": (pa.string(), "how it ended: closed, cut (at the token limit) or eos"),
    "tokens": (pa.int32(), "tokens of the explanation as sampled"),
    "fve": (pa.float32(), "1 − mse / V; null for an empty explanation"),
    "mse": (pa.float32(), "direction MSE of the reconstruction, 0 to 4, 2 is orthogonal"),
    "cos": (pa.float32(), "cosine of reconstruction and activation"),
}
SCHEMA = pa.schema([(name, kind) for name, (kind, _) in COLUMNS.items()])
FILES = {"text": "texts", "chat": "chats"}


def publish(table: pa.Table, folder: Path, facts: Mapping[str, str]) -> Path:
    """Write the table as one Parquet file for each kind, and the card; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    counts: dict[str, int] = {}
    for kind, name in FILES.items():
        part = of_kind(table, kind).select(list(COLUMNS))
        if part.num_rows:
            counts[name] = part.num_rows
            _write(part, folder / f"{name}.parquet")
    write_text(folder / "README.md", card(facts, counts))
    return folder


def of_kind(table: pa.Table, kind: str) -> pa.Table:
    """The rows of one kind."""
    return table.filter(pa.array([value == kind for value in table["kind"].to_pylist()], pa.bool_()))


def _write(table: pa.Table, path: Path) -> None:
    write_whole(path, lambda file: pq.write_table(table, file, compression="zstd"))


def card(facts: Mapping[str, str], counts: Mapping[str, int]) -> str:
    """The data set's card: a head that hubs read, and what is in it in words."""
    splits = "\n".join(f"  - split: {name}\n    path: {name}.parquet" for name in counts)
    total = sum(counts.values())
    size = next((s for n, s in ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K")) if total < n), "100K<n<1M")
    some = next(iter(counts))
    return f"""---
pretty_name: Explained activations of {facts["pair"]}
tags:
- interpretability
- natural-language-autoencoder
size_categories:
- {size}
configs:
- config_name: default
  data_files:
{splits}
---

# Explained activations of {facts["pair"]}

Activations of a language model put into words by a verbalizer (AV), and rebuilt from those words alone by a
reconstructor (AR). One row is one token of one document. Made by `thinkaloud study survey`.

{chr(10).join(f"- **{name}**: {value}" for name, value in facts.items())}

FVE = 1 − MSE / V, both vectors scaled to one norm; V is what always answering the mean of all directions
would leave. It means nothing without the baseline named above.

| split | rows |
|---|---|
{chr(10).join(f"| {name} | {n:,} |" for name, n in counts.items())}

| column | type | what it is |
|---|---|---|
{chr(10).join(f"| `{name}` | {kind} | {what} |" for name, (kind, what) in COLUMNS.items())}

## Reading it

```python
from datasets import load_dataset

rows = load_dataset("path/to/this/folder", split="{some}")
```

or one file, `load_dataset("parquet", data_files="{some}.parquet")`; with DuckDB:

```sql
SELECT token_class, count(*) AS n, avg(fve) AS fve FROM '{some}.parquet' GROUP BY token_class ORDER BY fve;
```

## What to keep in mind

An explanation is what a model was trained to write so that another model can rebuild a vector from it. That it rebuilds
the vector well does not make what it says true. The texts in `prefix` keep the licence of their source.
"""
