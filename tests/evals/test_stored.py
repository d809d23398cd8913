"""Stored vectors: what is read again is what was stored, and where it is not, that is said."""

from dataclasses import replace
from pathlib import Path

import known_bench
import numpy as np
import pyarrow as pa
import pytest
import tiny
import torch

from thinkaloud.activations import extract
from thinkaloud.errors import UserError
from thinkaloud.evals.rereading import last_vectors, reread
from thinkaloud.evals.stored import Stored


def test_what_was_stored_is_read_again() -> None:
    (row,) = known_bench.results(known_bench.bench(), Stored())
    assert (row["read by"], row["read again"], row["not tokenised alike"]) == ("M", 48, 0)
    assert row["share above 0.999"].value == 1
    assert row["cosine"].value == pytest.approx(1, abs=1e-5)


def test_changed_vectors_and_texts_are_found_out() -> None:
    bench = known_bench.bench()
    vectors = bench.vectors.clone()
    vectors[::4] += 12 * torch.nn.functional.normalize(tiny.vectors(12), dim=-1)
    texts = bench.data.column("text")
    texts[1], texts[2] = texts[1] + "x", None
    table = bench.data.table.set_column(bench.data.table.column_names.index("text"), "text", pa.array(texts))
    changed = replace(bench.data, vectors=vectors, table=table)
    (row,) = known_bench.results(known_bench.bench(data=changed), Stored())
    assert (row["read again"], row["not tokenised alike"]) == (46, 2)
    assert row["share above 0.999"].value == pytest.approx(34 / 46)


def test_ids_that_were_kept_are_used() -> None:
    bench = known_bench.bench()
    ids = bench.reread.ids
    table = bench.data.table.drop_columns(["text"]).append_column("text", pa.array(["?"] * 48))
    again = reread(bench.nla, replace(bench.data, table=table.append_column("ids", pa.array(ids))))
    assert again.ids == ids
    assert len(again.rows) == 48


def test_chats_are_read_again_from_their_text() -> None:
    bench = known_bench.bench()
    chat = [{"role": "user", "content": "a bad cab"}, {"role": "assistant", "content": "a fed bee"}]
    data = extract(bench.nla.model, [chat], known_bench.SITE, 8, bench.nla.model_tokenizer)
    assert len(reread(bench.nla, data).rows) == 8


def test_sequences_that_begin_one_another_are_read_together() -> None:
    model, draw = tiny.model("llama"), np.random.default_rng(0)
    long = draw.integers(5, 200, 30).tolist()
    sequences = [long[:9], [*long[:20], 3], long, long[:9], long[:21], [7, 8], [7]]
    alone = torch.cat([last_vectors(model, known_bench.SITE, [ids]) for ids in sequences])
    torch.testing.assert_close(last_vectors(model, known_bench.SITE, sequences), alone, atol=1e-4, rtol=1e-4)


def test_a_fine_tune_is_explained_too(tmp_path: Path) -> None:
    bench = known_bench.bench(other=str(tiny.save_base("llama", tmp_path / "same")))
    m, other = known_bench.results(bench, Stored())
    assert other["cosine"].value == pytest.approx(1, abs=1e-5)
    assert other["FVE, its own vectors"].value == pytest.approx(1, abs=1e-4)
    assert m["FVE, its own vectors"] is None
    moved = known_bench.bench(other=str(tiny.save_base("llama", tmp_path / "moved", seed=3)))
    other = known_bench.results(moved, Stored())[1]
    assert other["cosine"].value < 0.9
    assert other["FVE, its own vectors"].value == pytest.approx(1, abs=1e-4)
    assert other["FVE, M's vectors"].value < 0.5


def test_data_without_texts_is_refused() -> None:
    bench = known_bench.bench()
    with pytest.raises(UserError, match="needs the columns text, token_id and position, found no text"):
        Stored().measure(replace(bench, data=replace(bench.data, table=bench.data.table.drop_columns(["text"]))))
