"""Vectors and explanations come back from disk as they went, and nothing half-written stays."""

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud.activations import Activations, write_explanations
from thinkaloud.activations.store import read_shard, read_vectors, to_bits, write_shard
from thinkaloud.atomic import write_whole
from thinkaloud.errors import UserError
from thinkaloud.site import Site

N, D = 600, 6


def activations(n: int = N, explained: bool = False, per_document: int = 2) -> Activations:
    """Rows of documents of `per_document` rows each."""
    vectors = torch.randn(n, D, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16).float()
    columns: dict[str, Any] = {
        "doc_id": [f"doc-{i // per_document}" for i in range(n)],
        "position": pa.array(range(n), pa.int32()),
        "text": [f"text {i}" for i in range(n)],
    }
    if explained:
        columns["explanation"] = [None if i == 3 else f"it is {i}" for i in range(n)]
    return Activations(vectors, pa.table(columns), Site("resid_post", 4))


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50))
def test_bits_are_bf16_rounded_to_nearest_even(values: list[float]) -> None:
    single = np.array(values, np.float32).view(np.uint32).astype(np.uint64)
    # The upper half, plus one where the lower half is above one half, or is one half and the upper is odd.
    expected = ((single + 0x7FFF + ((single >> 16) & 1)) >> 16).astype(np.uint16)
    found = to_bits(torch.tensor([values], dtype=torch.float32))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found[0], expected)


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    here = activations(explained=True)
    found = Activations.load(here.save(tmp_path / "a"))
    assert torch.equal(found.vectors, here.vectors)
    assert found.site == here.site
    for name in here.table.column_names:
        assert found.column(name) == here.column(name)
    assert found.table.schema.field("position").type == pa.int32()
    assert (found.manifest or {})["n_shards"] == 2, "300 documents in shards of 256"
    assert set(found.column("split")) == {"train", "heldout"}
    np.testing.assert_allclose(found.column("norm"), here.vectors.norm(dim=1), rtol=1e-6)
    with pytest.raises(UserError, match="already holds activations"):
        here.save(tmp_path / "a")


def test_a_part_can_be_loaded(tmp_path: Path) -> None:
    folder, whole = tmp_path / "a", activations()
    whole.save(folder)
    held = Activations.load(folder, split="heldout", columns=["position"])
    rows = held.column("position")
    assert held.table.column_names == ["position"]
    assert 0 < len(held) < 60
    assert torch.equal(held.vectors, whole.vectors[rows])
    first = Activations.load(folder, limit=515)
    assert first.column("position") == list(range(515))
    assert torch.equal(first.vectors, whole.vectors[:515])
    part = first.filter(np.arange(515) % 2 == 0)
    assert torch.equal(part.vectors, whole.vectors[:515:2])
    assert part.column("position") == list(range(0, 515, 2))
    with pytest.raises(UserError, match=r"no rows in .* in the split 'test'"):
        Activations.load(folder, split="test")
    with pytest.raises(UserError, match="no column 'nothing'"):
        Activations.load(folder, columns=["nothing"])


def test_explanations_stand_beside_their_shard(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    activations().save(folder)
    assert "explanation" not in Activations.load(folder).table.column_names
    rows = [read_shard(folder, shard, ["position"]).num_rows for shard in range(2)]
    assert rows == [512, 88]
    write_explanations(folder, 1, [None, *(f"says {i}" for i in range(87))], "rule/1")
    found = Activations.load(folder, columns=["explanation", "writer"])
    assert found.column("explanation")[511:515] == [None, None, "says 0", "says 1"]
    assert found.column("writer")[511:515] == [None, None, "rule/1", "rule/1"]
    with pytest.raises(UserError, match="shard 0 has 512 rows and needs as many explanations, found 1"):
        write_explanations(folder, 0, ["one"], "rule/1")
    pq.write_table(pa.table({"explanation": ["x"], "writer": ["y"]}), folder / "explanations-00000.parquet")
    with pytest.raises(UserError, match="has 1 rows, its shard has another number"):
        Activations.load(folder)


def test_the_vector_column_is_fixed_binary_and_uncompressed(tmp_path: Path) -> None:
    folder = activations().save(tmp_path / "a")
    file = pq.ParquetFile(folder / "shard-00000.parquet")
    assert file.schema_arrow.field("vector").type == pa.binary(2 * D)
    group = file.metadata.row_group(0)
    codecs = {group.column(i).path_in_schema: group.column(i).compression for i in range(group.num_columns)}
    assert codecs.pop("vector") == "UNCOMPRESSED"
    assert set(codecs.values()) == {"ZSTD"}


@pytest.mark.parametrize(
    ("value", "what"), [(float("nan"), "NaN or infinity"), (float("inf"), "NaN or infinity"), (0.0, "is zero")]
)
def test_bad_vectors_are_refused_with_their_row(tmp_path: Path, value: float, what: str) -> None:
    bad = activations()
    bad.vectors[7] = value
    with pytest.raises(UserError, match=f"the vector of document doc-3, position 7 .*{what}"):
        bad.save(tmp_path / "a")
    assert list((tmp_path / "a").iterdir()) == []


def test_a_table_of_another_length_is_refused() -> None:
    here = activations()
    with pytest.raises(UserError, match="the table has 600, vectors are"):
        Activations(here.vectors[:5], here.table, here.site)
    with pytest.raises(UserError, match="need a doc_id column"):
        Activations(here.vectors, here.table.drop_columns(["doc_id"]), here.site).save(Path("nowhere"))


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"no room to write .*a\.txt"):
        write_whole(tmp_path / "a.txt", lambda file: file.write(b"text"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_shard_too_large_for_the_disk_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    """A real limit on the size of files, in a process of its own: the write fails in the middle of a shard."""
    code = f"""
import resource, sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
from test_store import activations
from thinkaloud.errors import UserError
here = activations(40_000, per_document=40_000)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    here.save({str(tmp_path / "out")!r})
except UserError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.startswith("no room to write"), done.stderr[-2000:]
    assert "shard-00000.parquet" in done.stdout
    assert list((tmp_path / "out").iterdir()) == []


def test_an_interrupted_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted(file: Any) -> None:
        file.write(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_whole(path, interrupted)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


def test_damaged_folders_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="run thinkaloud extract first"):
        Activations.load(tmp_path)
    folder = activations().save(tmp_path / "a")
    (folder / "shard-00001.parquet").unlink()
    with pytest.raises(UserError, match=r"shard-00001\.parquet is missing"):
        Activations.load(folder)
    (folder / "manifest.json").write_text('{"format": 99}')
    with pytest.raises(UserError, match="must have format 1"):
        Activations.load(folder)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(UserError, match="is not JSON"):
        Activations.load(folder)


def test_an_empty_shard_is_a_shard(tmp_path: Path) -> None:
    here = activations().filter(np.zeros(N, dtype=bool))
    table = pa.table({"doc_id": pa.array([], pa.string()), "position": pa.array([], pa.int32())})
    write_shard(tmp_path, 0, table, here.vectors, {"counts": {}})
    assert read_vectors(tmp_path, 0).shape == (0, D)
