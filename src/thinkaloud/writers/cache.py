"""Explanations kept in SQLite, so that no context is written about twice."""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from ..errors import UserError
from .base import Context, Writer

BUSY_SECONDS = 60.0
# SQLite before 3.32 takes at most 999 variables in a statement.
LOOKUP_ROWS = 900

Item = TypeVar("Item")


def cache_key(writer_name: str, context: Context) -> bytes:
    """32 bytes that stand for this writer (name and version) and everything it sees of the context."""
    fields = [writer_name, context.prefix, context.token, context.next_tokens, context.is_chat]
    return hashlib.sha256(json.dumps(fields).encode()).digest()


class CachedWriter:
    """A writer that asks ``writer`` only for what the SQLite file at ``path`` does not hold yet.

    Misses go to ``writer`` in batches of ``batch`` contexts, each committed before the next is asked for: a killed run
    loses one batch at most. Several processes may share the file.

    ``hits`` counts contexts answered without asking, ``misses`` those that were asked for.
    """

    def __init__(self, writer: Writer, path: str | Path, batch: int = 1024):
        self.writer = writer
        self.path = Path(path)
        self.batch = batch
        self.hits = 0
        self.misses = 0
        self._db = _open(self.path)

    @property
    def name(self) -> str:
        return self.writer.name

    def write(self, contexts: Sequence[Context]) -> list[str]:
        keys = [cache_key(self.name, context) for context in contexts]
        texts = self._look_up(keys)
        missing = {key: context for key, context in zip(keys, contexts, strict=True) if key not in texts}
        for chunk in _chunks(list(missing.items()), self.batch):
            written = self.writer.write([context for _, context in chunk])
            if len(written) != len(chunk):
                raise ValueError(f"writer {self.name} gave {len(written)} texts for {len(chunk)} contexts")
            rows = [(key, text) for (key, _), text in zip(chunk, written, strict=True)]
            with self._db:
                self._db.executemany("INSERT OR IGNORE INTO texts VALUES (?, ?)", rows)
            texts.update(rows)
        self.misses += len(missing)
        self.hits += len(keys) - len(missing)
        return [texts[key] for key in keys]

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> "CachedWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _look_up(self, keys: Sequence[bytes]) -> dict[bytes, str]:
        found: dict[bytes, str] = {}
        for chunk in _chunks(list(dict.fromkeys(keys)), LOOKUP_ROWS):
            marks = ",".join("?" * len(chunk))
            found.update(self._db.execute(f"SELECT key, text FROM texts WHERE key IN ({marks})", chunk))
        return found


def _open(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, timeout=BUSY_SECONDS)
    except sqlite3.OperationalError as error:
        raise UserError(
            f"cannot open the cache {path} ({error}): name a file in a folder that can be written"
        ) from None
    try:
        # Readers and one writer at a time work side by side in WAL mode.
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE IF NOT EXISTS texts (key BLOB PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID")
    except sqlite3.DatabaseError as error:
        db.close()
        raise UserError(
            f"expected a cache of explanations at {path}, found something else ({error}): name another file"
        ) from None
    return db


def _chunks(items: list[Item], size: int) -> Iterator[list[Item]]:
    return (items[start : start + size] for start in range(0, len(items), size))
