import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from thinkaloud.errors import UserError
from thinkaloud.writers import CachedWriter, Context, HeuristicWriter

CONTEXTS = [Context(f"The ship number {i}", f" {i}", ((" is", 0.5),)) for i in range(5)]


@dataclass
class Scribe:
    """Writes the prefix back and remembers what it was asked."""

    name: str = "scribe/1"
    asked: list[list[Context]] = field(default_factory=list)

    def write(self, contexts: Sequence[Context]) -> list[str]:
        self.asked.append(list(contexts))
        return [f"{self.name}: {context.prefix}" for context in contexts]


def test_a_second_time_nothing_is_asked(tmp_path: Path):
    with CachedWriter(Scribe(), tmp_path / "cache.sqlite") as first:
        texts = first.write(CONTEXTS)
        assert (first.hits, first.misses) == (0, 5)
    scribe = Scribe()
    with CachedWriter(scribe, tmp_path / "cache.sqlite") as second:
        assert second.write(CONTEXTS) == texts
        assert (second.hits, second.misses) == (5, 0)
    assert scribe.asked == []


def test_only_misses_are_asked_once_each_and_order_is_kept(tmp_path: Path):
    scribe = Scribe()
    with CachedWriter(scribe, tmp_path / "cache.sqlite") as writer:
        writer.write(CONTEXTS[1:3])
        texts = writer.write([CONTEXTS[4], CONTEXTS[2], CONTEXTS[0], CONTEXTS[4]])
        assert (writer.hits, writer.misses) == (2, 4)
    assert texts == [f"scribe/1: {CONTEXTS[i].prefix}" for i in (4, 2, 0, 4)]
    assert scribe.asked[1] == [CONTEXTS[4], CONTEXTS[0]]


@pytest.mark.parametrize(
    "changed",
    [
        replace(CONTEXTS[0], prefix="The ship number 0 "),
        replace(CONTEXTS[0], token="0"),
        replace(CONTEXTS[0], next_tokens=((" is", 0.4),)),
        replace(CONTEXTS[0], is_chat=True),
    ],
)
def test_every_field_of_the_context_counts(tmp_path: Path, changed: Context):
    with CachedWriter(Scribe(), tmp_path / "cache.sqlite") as writer:
        writer.write([CONTEXTS[0]])
        writer.write([changed])
        assert writer.misses == 2


def test_another_version_starts_anew(tmp_path: Path):
    with CachedWriter(Scribe(), tmp_path / "cache.sqlite") as writer:
        writer.write(CONTEXTS)
    with CachedWriter(Scribe("scribe/2"), tmp_path / "cache.sqlite") as writer:
        assert writer.write(CONTEXTS[:1]) == ["scribe/2: The ship number 0"]
        assert writer.misses == 1


def test_more_contexts_than_one_statement_takes(tmp_path: Path):
    contexts = [Context(f"{i}", f"{i}") for i in range(2500)]
    scribe = Scribe()
    with CachedWriter(scribe, tmp_path / "cache.sqlite", batch=1000) as writer:
        texts = writer.write(contexts)
        assert writer.write(contexts) == texts
        assert (writer.hits, writer.misses) == (2500, 2500)
    assert [len(batch) for batch in scribe.asked] == [1000, 1000, 500]


def test_a_failing_writer_keeps_the_batches_before(tmp_path: Path):
    class Tired(Scribe):
        def write(self, contexts: Sequence[Context]) -> list[str]:
            if self.asked:
                raise ConnectionError("gone")
            return super().write(contexts)

    with CachedWriter(Tired(), tmp_path / "cache.sqlite", batch=2) as writer, pytest.raises(ConnectionError):
        writer.write(CONTEXTS)
    with CachedWriter(Scribe(), tmp_path / "cache.sqlite") as writer:
        writer.write(CONTEXTS)
        assert (writer.hits, writer.misses) == (2, 3)


def test_a_writer_that_drops_a_text_is_refused(tmp_path: Path):
    class Lazy(Scribe):
        def write(self, contexts: Sequence[Context]) -> list[str]:
            return super().write(contexts)[1:]

    with (
        CachedWriter(Lazy(), tmp_path / "cache.sqlite") as writer,
        pytest.raises(ValueError, match="gave 4 texts for 5 contexts"),
    ):
        writer.write(CONTEXTS)


SLOW_RUN = """
import sys, time
from thinkaloud.writers import CachedWriter, Context

class Slow:
    name = "slow/1"
    def write(self, contexts):
        time.sleep(0.02)
        return [context.prefix for context in contexts]

first, last = int(sys.argv[2]), int(sys.argv[3])
with CachedWriter(Slow(), sys.argv[1], batch=4) as writer:
    writer.write([Context(str(i), "x") for i in range(first, last)])
    print(writer.hits, writer.misses)
"""


def _run(path: Path, first: int, last: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", SLOW_RUN, str(path), str(first), str(last)]
    return subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=os.environ)


def _rows(path: Path) -> int:
    if not path.exists():
        return 0
    db = sqlite3.connect(path, timeout=10)
    try:
        return db.execute("SELECT count(*) FROM texts").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        db.close()


def test_a_killed_run_goes_on_where_it_was(tmp_path: Path):
    path = tmp_path / "cache.sqlite"
    run = _run(path, 0, 100_000)
    while _rows(path) < 8:
        assert run.poll() is None, "the run ended before it could be killed"
        time.sleep(0.01)
    run.send_signal(signal.SIGKILL)
    run.communicate()
    kept = _rows(path)
    assert kept >= 8
    assert kept % 4 == 0
    out, _ = _run(path, 0, kept + 4).communicate()
    assert out.split() == [str(kept), "4"]


def test_two_processes_share_one_file(tmp_path: Path):
    path = tmp_path / "cache.sqlite"
    runs = [_run(path, 0, 120), _run(path, 60, 180)]
    assert [run.wait() for run in runs] == [0, 0]
    for run in runs:
        run.communicate()
    assert _rows(path) == 180


def test_a_foreign_file_is_refused_in_one_line(tmp_path: Path):
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be taken for one " * 40)
    with pytest.raises(UserError, match=r"expected a cache of explanations at .*notes\.txt"):
        CachedWriter(HeuristicWriter(), path)
    with pytest.raises(UserError, match="cannot open the cache"):
        CachedWriter(HeuristicWriter(), tmp_path / "missing" / "cache.sqlite")


def test_a_cache_of_the_first_version_goes_on_working(tmp_path: Path):
    path = tmp_path / "cache.sqlite"
    with CachedWriter(Scribe(), path) as writer:
        texts = writer.write(CONTEXTS)
    db = sqlite3.connect(path)
    with db:
        for column in ("refusal", "input", "output"):
            db.execute(f"ALTER TABLE texts DROP COLUMN {column}")
        db.execute("DROP TABLE pending")
        assert [row[1] for row in db.execute("PRAGMA table_info(texts)")] == ["key", "text"]
    db.close()
    scribe = Scribe()
    with CachedWriter(scribe, path) as writer:
        assert writer.write([*CONTEXTS, Context("new", "new")]) == [*texts, "scribe/1: new"]
    assert scribe.asked == [[Context("new", "new")]]


def test_a_text_that_is_missing_is_remembered_too(tmp_path: Path):
    class Silent(Scribe):
        def write(self, contexts: Sequence[Context]) -> list[str | None]:
            return [
                None if context.token == " 1" else text
                for context, text in zip(contexts, super().write(contexts), strict=True)
            ]

    for n in (1, 0):
        scribe = Silent()
        with CachedWriter(scribe, tmp_path / "cache.sqlite") as writer:
            assert writer.write(CONTEXTS[:3]) == ["scribe/1: The ship number 0", None, "scribe/1: The ship number 2"]
        assert len(scribe.asked) == n


def test_a_database_of_something_else_is_refused_and_left_alone(tmp_path: Path):
    path = tmp_path / "other.sqlite"
    db = sqlite3.connect(path)
    with db:
        db.execute("CREATE TABLE texts (id INTEGER, body TEXT)")
    db.close()
    with pytest.raises(UserError, match=r"found something else .a table texts with the columns body, id.: name"):
        CachedWriter(HeuristicWriter(), path)
    tables = sqlite3.connect(path).execute("SELECT name FROM sqlite_master").fetchall()
    assert tables == [("texts",)]
