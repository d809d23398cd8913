"""Every step gets the rows it should, from the documents it should."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud.activations import Activations
from thinkaloud.errors import UserError
from thinkaloud.site import Site
from thinkaloud.training.data import Ragged, load_held, load_rows, load_vectors, step_rows


@given(n=st.integers(1, 60), batch=st.integers(1, 20), seed=st.integers(0, 5), epoch=st.integers(0, 3))
def test_an_epoch_holds_every_row_once(n: int, batch: int, seed: int, epoch: int) -> None:
    per_epoch = -(-n // batch)
    steps = [step_rows(epoch * per_epoch + i, n, batch, seed) for i in range(per_epoch)]
    assert sorted(row for rows in steps for row in rows) == list(range(n))
    assert all(len(rows) == batch for rows in steps[:-1])


def test_the_order_follows_from_seed_and_step_alone() -> None:
    first = [step_rows(i, 100, 10, 3) for i in range(20)]
    again = {i: step_rows(i, 100, 10, 3) for i in reversed(range(20))}
    assert first == [again[i] for i in range(20)]
    assert first[:10] != first[10:]
    assert first != [step_rows(i, 100, 10, 4) for i in range(20)]


def test_ragged_rows_are_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("thinkaloud.training.data._CHUNK", 3)  # so that ten texts are four chunks
    tok = tiny.tokenizer()
    texts = ["one", "two two", "", "the third", "e", "f" * 9, "g", "h h", "i", "j"]
    ragged = Ragged.of(texts, lambda some: tok(list(some))["input_ids"])
    assert [ragged[i].tolist() for i in range(len(ragged))] == tok(texts)["input_ids"]
    assert ragged.lengths.tolist() == [len(ids) for ids in tok(texts)["input_ids"]]


def test_rows_are_of_their_split_and_its_baseline(data: Path) -> None:
    whole = Activations.load(data)
    split, docs = np.array(whole.column("split")), np.array(whole.column("doc_id"))
    train, _ = load_rows(data, "train", seed=0)
    held, _ = load_rows(data, "heldout", seed=0)
    assert np.array_equal(train.vectors.numpy(), whole.vectors.numpy()[split == "train"])
    assert np.array_equal(held.vectors.numpy(), whole.vectors.numpy()[split == "heldout"])
    assert not set(docs[split == "train"]) & set(docs[split == "heldout"])
    assert (held.baseline.split, held.baseline.n) == ("heldout", len(held))


def test_a_limit_draws_rows_that_keep_their_words(data: Path) -> None:
    train, _ = load_rows(data, "train", seed=0)
    some, _ = load_rows(data, "train", seed=0, limit=9)
    other, _ = load_rows(data, "train", seed=1, limit=9)
    words = {tuple(v.tolist()): text for v, text in zip(train.vectors, train.texts, strict=True)}
    assert [words[tuple(v.tolist())] for v in some.vectors] == some.texts
    assert some.texts != other.texts
    assert len(some) == 9


def test_vectors_are_drawn_from_the_whole_split_by_the_seed(data: Path) -> None:
    """The same rows as by a permutation of the whole split, in its order."""
    whole = Activations.load(data)
    split = np.array(whole.column("split"))
    mine = whole.filter(split == "train")
    order = np.random.Generator(np.random.Philox(key=[3, 1])).permutation(len(mine))[:7]
    vectors, texts, written = load_vectors(data, 3, 7, contexts=True, written=True)
    assert np.array_equal(vectors.numpy(), mine.vectors.numpy()[order])
    assert texts == [mine.column("text")[i] for i in order]
    assert written == [mine.column("explanation")[i] for i in order]
    everything, *none = load_vectors(data, 3, 10**6)
    assert none == [[], []]
    assert np.array_equal(everything.numpy(), whole.vectors.numpy()[split == "train"])


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is Linux's to reset")
def test_a_few_rows_of_many_take_little_memory(tmp_path: Path) -> None:
    """Ten shards of 2 MiB each; the system counts what is held at once."""
    n, d = 10 * 2048, 512
    ids = [f"d{i // 8}" for i in range(n)]
    table = pa.table({"doc_id": ids, "position": [0] * n, "text": ["x"] * n})
    made = tmp_path / "data"
    Activations(torch.randn(n, d, generator=torch.Generator().manual_seed(0)), table, Site("resid_post", 2)).save(made)
    code = f"""
from pathlib import Path
from thinkaloud.training.data import load_held, load_vectors
def peak():
    return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if line.startswith("VmHWM"))
load_held({str(made)!r}, 2)
Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
before = peak()
vectors, *_ = load_vectors({str(made)!r}, 0, 10)
assert len(vectors) == 10
print((peak() - before) // 1024)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 20, "MiB; all vectors take 40 in float32, and 20 as they are stored"


def test_held_out_rows_are_the_same_for_every_seed(data: Path) -> None:
    some, other = (load_rows(data, "heldout", seed=seed, limit=9)[0] for seed in (0, 1))
    assert some.vectors.equal(other.vectors)
    assert some.texts == other.texts


@pytest.mark.parametrize("limit", [6, 12, 10_000])
def test_held_out_rows_to_choose_by_and_to_report_share_no_document(data: Path, limit: int) -> None:
    found = Activations.load(data, split="heldout")
    docs = dict(zip(found.column("text"), found.column("doc_id"), strict=True))
    vectors = {tuple(v.tolist()): text for v, text in zip(found.vectors, found.column("text"), strict=True)}
    parts = load_held(data, limit)
    for part in parts:
        assert [vectors[tuple(v.tolist())] for v in part.vectors] == part.prefixes
        assert part.baseline == found.baseline("heldout")
    choosing, reported = ({docs[text] for text in part.prefixes} for part in parts)
    assert not choosing & reported
    assert len(reported) - len(choosing) in (0, 1)
    assert sum(len(part.prefixes) for part in parts) == min(limit, len(found))


def test_held_out_rows_of_one_document_cannot_be_parted(data: Path, tmp_path: Path) -> None:
    found = Activations.load(data, split="heldout")
    docs = found.column("doc_id")
    one = found.filter([doc == docs[0] for doc in docs])
    one.save(tmp_path / "one")
    with pytest.raises(UserError, match="are of one document, two are needed"):
        load_held(tmp_path / "one", 12)


def test_rows_without_words_are_refused(data: Path, tmp_path: Path) -> None:
    for file in data.iterdir():
        if not file.name.startswith("explanations"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match="has no explanations yet: run thinkaloud explain"):
        load_rows(tmp_path, "train", seed=0)
    for file in data.glob("explanations-*.parquet"):
        table = pq.read_table(file)
        words = [None, *table["explanation"].to_pylist()[1:]]
        said = [None, *table["writer"].to_pylist()[1:]]
        pq.write_table(pa.table({"explanation": words, "writer": said}), tmp_path / file.name)
    split = Activations.load(data).column("split")[0]
    with pytest.raises(UserError, match=r"1 of \d+ rows have no explanation"):
        load_rows(tmp_path, split, seed=0)
