"""Every row of an extraction gets its own explanation, once, whoever and however many write."""

import pickle
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny

from thinkaloud.activations import Activations, read_manifest
from thinkaloud.activations.store import SHARD_DOCS, explanations_path, read_shard
from thinkaloud.errors import UserError
from thinkaloud.site import Site
from thinkaloud.writers import Context, HeuristicWriter
from thinkaloud.writers.base import writer as registered
from thinkaloud.writers.write import contexts, write_all

DOCUMENTS = 2 * SHARD_DOCS + 40
PEOPLE = ("captain", "farmer", "teacher", "sailor")


@dataclass
class Scribe:
    """Writes down all that it was shown; may fail when it has written `enough` shards."""

    name: str = "scribe/1"
    enough: int = 99
    asked: list[int] = field(default_factory=list)

    def write(self, contexts: Sequence[Context]) -> list[str]:
        if len(self.asked) == self.enough:
            raise ConnectionError("gone")
        self.asked.append(len(contexts))
        return [repr(context) for context in contexts]


def rows_of_shards(data: Path) -> list[int]:
    return [read_shard(data, shard).num_rows for shard in range(read_manifest(data)["n_shards"])]


def made(folder: Path, next_tokens: bool = True) -> Path:
    """Three shards: every third document has two rows, the others one; every fifth is a chat."""
    ids = [f"doc-{i}" for i in range(DOCUMENTS) for _ in range(1 + (i % 3 == 0))]
    columns = {
        "doc_id": ids,
        "position": list(range(len(ids))),
        "token": [f" {i}" for i in range(len(ids))],
        "text": [f"The {PEOPLE[i % 4]} came home from the harbour with number {i}" for i in range(len(ids))],
        "chat": [int(name[4:]) % 5 == 0 for name in ids],
    }
    if next_tokens:
        columns["next_tokens"] = [[".", f" of {i}"] for i in range(len(ids))]
        columns["next_probs"] = [[0.5, 0.25] for _ in ids]
    return Activations(tiny.vectors(len(ids), 8), pa.table(columns), Site("resid_post", 2)).save(folder)


def written(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.glob("explanations-*")}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return made(tmp_path / "data")


def test_every_row_has_the_text_written_about_it(data: Path) -> None:
    scribe, seen = Scribe(), []
    rows = write_all(data, scribe, watch=seen.append)
    found = Activations.load(data)
    assert rows == len(found) == read_manifest(data)["counts"]["rows"]
    assert seen == scribe.asked == rows_of_shards(data)
    assert len(seen) == 3
    for row in found.table.to_pylist():
        nexts = tuple(zip(row["next_tokens"], row["next_probs"], strict=True))
        assert row["explanation"] == repr(Context(row["text"], row["token"], nexts, row["chat"]))
        assert row["writer"] == "scribe/1"
    assert {row["chat"] for row in found.table.to_pylist()} == {True, False}


def test_finished_shards_are_kept_and_a_missing_one_is_written(data: Path) -> None:
    write_all(data, Scribe())
    before = written(data)
    explanations_path(data, 1).unlink()
    other = Scribe("scribe/2")
    assert write_all(data, other) == other.asked[0] == pq.read_metadata(data / "shard-00001.parquet").num_rows
    assert len(other.asked) == 1
    after = written(data)
    assert after.keys() == before.keys()
    assert [name for name in after if after[name] != before[name]] == ["explanations-00001.parquet"]
    assert set(Activations.load(data).column("writer")) == {"scribe/1", "scribe/2"}
    assert write_all(data, other) == 0


def test_a_writer_that_fails_keeps_the_shards_before_and_the_next_call_goes_on(data: Path) -> None:
    with pytest.raises(ConnectionError):
        write_all(data, Scribe(enough=1))
    assert list(written(data)) == ["explanations-00000.parquet"]
    again = Scribe()
    write_all(data, again)
    assert len(again.asked) == 2
    assert all(Activations.load(data).column("explanation"))


def test_a_writer_that_drops_a_text_leaves_no_file(data: Path) -> None:
    class Lazy(Scribe):
        def write(self, contexts: Sequence[Context]) -> list[str]:
            return super().write(contexts)[1:]

    rows = len(contexts(data, 0))
    with pytest.raises(UserError, match=f"shard 0 has {rows} rows and needs as many explanations, found {rows - 1}"):
        write_all(data, Lazy())
    assert list(data.glob("*explanations*")) == []


TOKENS = "return [context.token for context in contexts]"
METHOD = f"    def write(self, contexts):\n        {TOKENS}\n"


@pytest.mark.parametrize(
    ("source", "name"),
    [
        (f"@writer\ndef echo(contexts):\n    {TOKENS}\n", "echo"),
        (f"@writer('echo/2')\ndef say(contexts):\n    {TOKENS}\n", "echo/2"),
        (f"@writer('echo/3')\nclass Say:\n{METHOD}", "echo/3"),
        (f"@writer\nclass echo:\n{METHOD}", "echo"),
    ],
)
def test_a_writer_is_a_function_or_a_class_named_by_its_decorator_or_its_definition(
    data: Path, tmp_path: Path, source: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = tmp_path / f"{tmp_path.name}.py"
    file.write_text(f"from thinkaloud.writers.base import writer\n\n\n{source}")
    chosen = registered.find(str(file))()
    monkeypatch.delitem(registered._parts, "echo")
    write_all(data, pickle.loads(pickle.dumps(chosen)))
    found = Activations.load(data)
    assert found.column("explanation") == found.column("token")
    assert set(found.column("writer")) == {name}


@pytest.mark.slow
def test_two_workers_write_what_one_writes(data: Path, tmp_path: Path) -> None:
    alone = made(tmp_path / "alone")
    counts: list[int] = []
    assert write_all(alone, HeuristicWriter()) == write_all(data, HeuristicWriter(), workers=2, watch=counts.append)
    assert written(data) == written(alone)
    assert counts == rows_of_shards(data)
    assert Activations.load(data).column("explanation") == HeuristicWriter().write(
        [context for shard in range(3) for context in contexts(data, shard)]
    )


def test_an_extraction_without_next_tokens_is_refused(tmp_path: Path) -> None:
    folder = made(tmp_path / "data", next_tokens=False)
    scribe = Scribe()
    with pytest.raises(UserError) as error:
        write_all(folder, scribe)
    assert str(error.value) == (
        f"{folder} kept no next tokens: run thinkaloud extract with --next-tokens 6 into a new folder"
    )
    assert scribe.asked == []
    assert written(folder) == {}
