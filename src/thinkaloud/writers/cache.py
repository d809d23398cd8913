"""Answers and explanations kept in SQLite, so that none is asked for twice, and the batches that are under way."""

import hashlib
import json
import sqlite3
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from ..errors import UserError
from .base import Context, Usage, Writer, Written

BUSY_SECONDS = 60.0
TABLES = (
    "CREATE TABLE IF NOT EXISTS texts (key BLOB PRIMARY KEY, text TEXT NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS pending (key BLOB PRIMARY KEY, batch TEXT NOT NULL, service TEXT NOT NULL)",
)
ADDED = {"refusal": "TEXT", "input": "INTEGER NOT NULL DEFAULT 0", "output": "INTEGER NOT NULL DEFAULT 0"}
"""Columns that the first version of the file did not have."""


def cache_key(*fields: Any) -> bytes:
    """32 bytes that stand for these fields."""
    return hashlib.sha256(json.dumps(fields).encode()).digest()


class Cache(AbstractContextManager["Cache"]):
    """Answers by key in the SQLite file at `path`, each there for good once `put` returns. Processes may share it."""

    def __init__(self, path: str | Path) -> None:
        self._db = _open(Path(path))

    def get(self, keys: Iterable[bytes]) -> dict[bytes, Written]:
        """The answers that are there."""
        rows = (self._db.execute("SELECT * FROM texts WHERE key = ?", [key]).fetchone() for key in set(keys))
        return {key: Written(text, refusal, Usage(*usage)) for key, text, refusal, *usage in filter(None, rows)}

    def put(self, answers: Mapping[bytes, Written]) -> None:
        """Keep answers; they are pending no more."""
        rows = [(key, one.text, one.refusal, one.usage.input, one.usage.output) for key, one in answers.items()]
        with self._db:
            self._db.executemany("INSERT OR IGNORE INTO texts VALUES (?, ?, ?, ?, ?)", rows)
            self._db.executemany("DELETE FROM pending WHERE key = ?", [[key] for key in answers])

    def begun(self, batch: str, service: str, keys: Collection[bytes]) -> None:
        """Note that a batch with the requests of these keys is under way."""
        with self._db:
            self._db.executemany("INSERT OR REPLACE INTO pending VALUES (?, ?, ?)", [(k, batch, service) for k in keys])

    def over(self, batch: str) -> None:
        """Forget a batch."""
        with self._db:
            self._db.execute("DELETE FROM pending WHERE batch = ?", [batch])

    def batches(self, service: str) -> dict[str, int]:
        """Batches of a service that are under way, with their requests that have no answer yet."""
        asked = "SELECT batch, count(*) FROM pending WHERE service = ? GROUP BY batch ORDER BY batch"
        return dict(self._db.execute(asked, [service]).fetchall())

    def is_pending(self, key: bytes) -> bool:
        """Whether a request is in a batch that is under way."""
        return self._db.execute("SELECT 1 FROM pending WHERE key = ?", [key]).fetchone() is not None

    def close(self) -> None:
        self._db.close()

    def __exit__(self, *error: object) -> None:
        self.close()


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
        self._cache = Cache(path)

    @property
    def name(self) -> str:
        return self.writer.name

    def write(self, contexts: Sequence[Context]) -> list[str | None]:
        keys = [cache_key(self.name, c.prefix, c.token, c.next_tokens, c.is_chat) for c in contexts]
        found = self._cache.get(keys)
        missing = {key: context for key, context in zip(keys, contexts, strict=True) if key not in found}
        asked = list(missing)
        for start in range(0, len(asked), self.batch):
            chunk = asked[start : start + self.batch]
            texts = self.writer.write([missing[key] for key in chunk])
            if len(texts) != len(chunk):
                raise ValueError(f"writer {self.name} gave {len(texts)} texts for {len(chunk)} contexts")
            written = [Written("", "no text") if text is None else Written(text) for text in texts]
            self._cache.put(dict(zip(chunk, written, strict=True)))
            found.update(zip(chunk, written, strict=True))
        self.misses += len(missing)
        self.hits += len(keys) - len(missing)
        return [None if found[key].refusal else found[key].text for key in keys]

    def close(self) -> None:
        self._cache.close()

    def __exit__(self, *error: object) -> None:
        self.close()


def _open(path: Path) -> sqlite3.Connection:
    try:
        db = sqlite3.connect(path, timeout=BUSY_SECONDS)
        # Readers and one writer at a time work side by side in WAL mode. It cannot be set while another process opens
        # the file, and that one sets it.
        with suppress(sqlite3.OperationalError):
            db.execute("PRAGMA journal_mode=WAL")
        db.execute("BEGIN IMMEDIATE")  # another process may be adding the same columns
        with db:
            for table in TABLES:
                db.execute(table)
            there = {row[1] for row in db.execute("PRAGMA table_info(texts)")}
            if not {"key", "text"} <= there <= {"key", "text", *ADDED}:
                raise sqlite3.DatabaseError(f"a table texts with the columns {', '.join(sorted(there))}")
            for name in [name for name in ADDED if name not in there]:
                db.execute(f"ALTER TABLE texts ADD COLUMN {name} {ADDED[name]}")
    except sqlite3.OperationalError as error:
        wanted = "name a file in a folder that can be written"
        raise UserError(f"cannot open the cache {path} ({error}): {wanted}") from None
    except sqlite3.DatabaseError as error:
        wanted = f"expected a cache of explanations at {path}"
        raise UserError(f"{wanted}, found something else ({error}): name another file") from None
    return db
