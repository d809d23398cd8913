"""The survey's data set and its card."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

import pandas as pd
import pyarrow as pa

from thinkaloud.atomic import write_text
from thinkaloud.render.page import prose
from thinkaloud.studies.folder import write_table
from thinkaloud.studies.survey.tokens import CLASSES

PREFIX = 200  # characters of the document that a row shows
COLUMNS = {
    "kind": (pa.string(), "text or chat"),
    "doc_id": (pa.string(), "document; positions of one document are not independent"),
    "position": (pa.int32(), "index of the token in its document, 0 is the first"),
    "token_id": (pa.int32(), "id of the token in M's vocabulary"),
    "token": (pa.string(), "the token alone, decoded; U+FFFD for a part of a character"),
    "token_class": (pa.string(), f"{', '.join(CLASSES[:-1])} or {CLASSES[-1]}"),
    "prefix": (pa.string(), f"the last {PREFIX} characters of the document up to the token and with it"),
    "quotes": (pa.bool_(), "whether the explanation quotes two words or more of the text before the token"),
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


def publish(table: pd.DataFrame, folder: Path, facts: Mapping[str, str]) -> Path:
    """Write the table as one Parquet file for each kind, and the data set's card; returns the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    parts = {name: table.loc[table["kind"] == kind, list(COLUMNS)] for kind, name in FILES.items()}
    counts = {name: len(part) for name, part in parts.items() if len(part)}
    for name in counts:
        write_table(pa.Table.from_pandas(parts[name], SCHEMA, preserve_index=False), folder / f"{name}.parquet")
    total = sum(counts.values())
    size = next((s for n, s in ((1e3, "n<1K"), (1e4, "1K<n<10K"), (1e5, "10K<n<100K")) if total < n), "100K<n<1M")
    text = files("thinkaloud.studies.survey").joinpath("card.jinja").read_text(encoding="utf-8")
    card = prose(text, facts=facts, counts=counts, size=size, some=next(iter(counts)), columns=COLUMNS)
    write_text(folder / "README.md", f"{card}\n")
    return folder
