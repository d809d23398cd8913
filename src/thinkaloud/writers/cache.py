"""Explanations kept in SQLite, so that no context is written about twice."""

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from ..errors import UserError
from .base import Context, Writer

BUSY_SECONDS = 60.0


def cache_key(writer_name: str, context: Context) -> bytes:
    """32 bytes that stand for this writer (name and version) and everything it sees of the context."""
    fields = [writer_name, context.prefix, context.token, context.next_tokens, context.is_chat]
    return hashlib.sha256(json.dumps(fields).encode()).digest()


class CachedWriter(AbstractContextManager["CachedWriter"]):
    """A writer that asks ``writer`` only for what the SQLite file at ``path`` does not hold yet.

    Misses go to ``writer`` in batches of ``batch`` contexts, each committed before the next is asked for: a killed run
    loses one batch at most. Several processes may share the file.

    ``hits`` counts contexts answered without asking, ``misses`` those that were asked for.
    """

    def __init__(self, writer: Writer, path: str | Path, batch: int = 1024):
        self.writer = writer
        self.batch = batch
        self.hits = 0
        self.misses = 0
        self._db = _open(Path(path))

    @property
    def name(self) -> str:
        return self.writer.name

    def write(self, contexts: Sequence[Context]) -> list[str]:
        keys = [cache_key(self.name, context) for context in contexts]
        rows = (self._db.execute("SELECT key, text FROM texts WHERE key = ?", [key]).fetchone() for key in set(keys))
        texts: dict[bytes, str] = dict(filter(None, rows))
        missing = {key: context for key, context in zip(keys, contexts, strict=True) if key not in texts}
        asked = list(missing)
        for start in range(0, len(asked), self.batch):
            chunk = asked[start : start + self.batch]
            written = self.writer.write([missing[key] for key in chunk])
            if len(written) != len(chunk):
                raise ValueError(f"writer {self.name} gave {len(written)} texts for {len(chunk)} contexts")
            texts.update(zip(chunk, written, strict=True))
            with self._db:
                self._db.executemany("INSERT OR IGNORE INTO texts VALUES (?, ?)", zip(chunk, written, strict=True))
        self.misses += len(missing)
        self.hits += len(keys) - len(missing)
        return [texts[key] for key in keys]

    def close(self) -> None:
        self._db.close()

    def __exit__(self, *error: object) -> None:
        self.close()


def _open(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, timeout=BUSY_SECONDS)
        # Readers and one writer at a time work side by side in WAL mode.
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE IF NOT EXISTS texts (key BLOB PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID")
    except sqlite3.OperationalError as error:
        wanted = "name a file in a folder that can be written"
        raise UserError(f"cannot open the cache {path} ({error}): {wanted}") from None
    except sqlite3.DatabaseError as error:
        wanted = f"expected a cache of explanations at {path}"
        raise UserError(f"{wanted}, found something else ({error}): name another file") from None
    return db
