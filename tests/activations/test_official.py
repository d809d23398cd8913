"""Data sets pass to and from the official format, whoever wrote them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tiny
import torch
import yaml

from thinkaloud.activations import Activations, read_official, write_official
from thinkaloud.activations.official import _explanations, sidecar_path
from thinkaloud.errors import UserError
from thinkaloud.explanation import wrap
from thinkaloud.site import Site

D, N = 8, 5
CHAT = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))


def raw_vectors(n: int = N) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(n, D)).astype(np.float32)


def write_as_the_official_code(
    path: Path, stage: str = "av_sft", fixed: bool = True, vectors: np.ndarray | None = None, **changes: Any
) -> Path:
    """A data set as the official pipeline leaves it, written with nothing of ours."""
    vectors = raw_vectors() if vectors is None else vectors
    n, flat = len(vectors), pa.array(vectors.reshape(-1))
    offsets = pa.array(range(0, n * D + 1, D), pa.int32())
    column = pa.FixedSizeListArray.from_arrays(flat, D) if fixed else pa.ListArray.from_arrays(offsets, flat)
    texts = [f"it says {i}\n\nand more" for i in range(n)]
    columns: dict[str, Any] = {}
    if stage in ("av_sft", "rl"):
        columns["prompt"] = pa.array([[{"role": "user", "content": "say <c><INJECT></c>"}]] * n, CHAT)
    if stage == "av_sft":
        columns["response"] = [f"<explanation>\n{text}\n</explanation>" for text in texts]
    if stage == "ar_sft":
        columns["prompt"] = [f"Summary: <text>{text}</text> <summary>" for text in texts]
    columns["activation_vector"] = column
    columns["n_raw_tokens"] = [i + 51 for i in range(n)]
    columns["activation_layer"] = [3] * n
    columns["doc_id"] = [f"corpus:train:{i // 2}" for i in range(n)]
    columns["detokenized_text_truncated"] = [f"text {i}" for i in range(n)]
    if stage == "base":
        columns["api_explanation"] = texts
    pq.write_table(pa.table(columns), path)
    meta: dict[str, Any] = {
        "dataset_id": "x",
        "stage": stage,
        "row_count": n,
        "extraction": {
            "base_model": "owner/model",
            "d_model": D,
            "layer_index": 3,
            "norm": "none",
            "corpus": "owner/corpus",
            "corpus_slice": {"start": 0, "length": 3},
            "positions_per_doc": 2,
        },
        "kind": "nla_dataset",
        "schema_version": 1,
        "prompt_templates": {
            "actor": "say <c>{injection_char}</c>",
            "critic": "Summary: <text>{explanation}</text> <summary>",
        },
    }
    meta["extraction"].update(changes.pop("extraction", {}))
    sidecar_path(path).write_text(yaml.safe_dump({**meta, **changes}))
    return path


@pytest.mark.parametrize("fixed", [True, False])
@pytest.mark.parametrize("stage", ["base", "av_sft", "ar_sft", "rl"])
def test_official_data_is_read_whole(tmp_path: Path, stage: str, fixed: bool) -> None:
    found = read_official(write_as_the_official_code(tmp_path / "a.parquet", stage, fixed))
    np.testing.assert_array_equal(found.vectors.numpy(), raw_vectors())
    assert found.site == Site("resid_post", 3)
    assert found.column("position") == [50, 51, 52, 53, 54]
    assert found.column("text") == [f"text {i}" for i in range(N)]
    assert found.column("doc_id")[-1] == "corpus:train:2"
    assert (found.manifest or {})["model"] == {"name": "owner/model"}
    if stage == "rl":
        assert "explanation" not in found.table.column_names
    else:
        assert found.column("explanation") == [f"it says {i}\n\nand more" for i in range(N)]


@pytest.mark.parametrize("stage", ["base", "av_sft", "ar_sft", "rl"])
def test_what_is_written_has_the_official_columns_and_comes_back(tmp_path: Path, stage: str) -> None:
    there = read_official(write_as_the_official_code(tmp_path / "a.parquet", "base"))
    av, ar = tiny.av_contract(tiny.tokenizer()), tiny.ar_contract()
    path = write_official(there, tmp_path / "out" / "b.parquet", stage, av, ar)
    assert av.av_template is not None
    assert ar.ar_template is not None

    schema, rows = pq.read_schema(path), pq.read_table(path).to_pylist()
    assert schema.field("activation_vector").type == pa.list_(pa.float32(), D)
    assert schema.field("n_raw_tokens").type == schema.field("activation_layer").type == pa.int64()
    explanation = "it says 0\n\nand more"
    if stage in ("av_sft", "rl"):
        content = av.av_template.replace("{injection_char}", "<INJECT>")
        assert rows[0]["prompt"] == [{"role": "user", "content": content}]
    if stage == "av_sft":
        assert rows[0]["response"] == f"<explanation>\n{explanation}\n</explanation>"
    if stage == "ar_sft":
        assert rows[0]["prompt"] == ar.ar_template.replace("{explanation}", explanation)

    meta = yaml.safe_load(sidecar_path(path).read_text())
    assert (meta["kind"], meta["stage"], meta["row_count"]) == ("nla_dataset", stage, N)
    assert set(meta["extraction"]) == {
        "base_model", "d_model", "layer_index", "norm", "corpus", "corpus_slice", "positions_per_doc"
    }  # fmt: skip
    if stage != "base":
        marker = av.marker
        assert marker is not None
        assert meta["tokens"]["injection_token_id"] == marker.token_id
        assert meta["tokens"]["critic_suffix_ids"] == list(ar.ar_suffix_ids)
        assert meta["prompt_templates"] == {"actor": av.av_template, "critic": ar.ar_template}

    back = read_official(path)
    assert torch.equal(back.vectors, there.vectors)
    for name in ("doc_id", "position", "text", *(() if stage == "rl" else ("explanation",))):
        assert back.column(name) == there.column(name)


def test_foreign_data_can_be_saved_and_loaded_as_our_own(tmp_path: Path) -> None:
    there = read_official(write_as_the_official_code(tmp_path / "a.parquet"))
    here = Activations.load(there.save(tmp_path / "ours"))
    assert torch.equal(here.vectors, there.vectors.to(torch.bfloat16).float())
    assert here.table.select(["doc_id", "position", "text", "explanation", "writer"]).to_pylist() == (
        there.table.select(["doc_id", "position", "text", "explanation", "writer"]).to_pylist()
    )
    assert here.site == there.site


def broken(row: int, value: float) -> np.ndarray:
    vectors = raw_vectors()
    vectors[row] = value
    return vectors


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "nla_model"}, "must be the sidecar of a data set"),
        ({"extraction": {"layer_index": 4}}, "holds layers [3], its sidecar says layer_index 4"),
        ({"extraction": {"d_model": 16}}, "has a vector of 8 values, its sidecar says d_model 16"),
        ({"extraction": {"d_model": 16}, "fixed": False}, "row 0 of"),
        ({"extraction": {"norm": "l2"}}, "vectors must be raw"),
        ({"extraction": {"d_model": None}}, "extraction.d_model must be a whole number, found None"),
        ({"vectors": broken(2, np.nan)}, "the vector of row 2 of a.parquet holds NaN or infinity"),
        ({"vectors": broken(1, 0.0)}, "the vector of row 1 of a.parquet is zero"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_as_the_official_code(tmp_path / "a.parquet", **changes)
    with pytest.raises(UserError) as error:
        read_official(path)
    assert message in str(error.value)


def test_a_missing_or_broken_file_is_one_line(tmp_path: Path) -> None:
    path = write_as_the_official_code(tmp_path / "a.parquet")
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(UserError, match="not a whole Parquet file"):
        read_official(path)
    path.unlink()
    with pytest.raises(UserError, match="no file"):
        read_official(path)
    sidecar_path(path).unlink()
    with pytest.raises(UserError, match="no sidecar a"):
        read_official(path)


def test_a_stage_without_what_it_needs_is_refused(tmp_path: Path) -> None:
    there = read_official(write_as_the_official_code(tmp_path / "a.parquet", "rl"))
    av = tiny.av_contract(tiny.tokenizer())
    for stage, contract, message in (
        ("sft", av, "stage must be one of"),
        ("rl", None, "needs the AV's contract"),
        ("ar_sft", av, "needs the AR's contract"),
        ("av_sft", av, "an explanation in every row, 5 have none"),
        ("rl", replace(av, plain_prompt=True), "holds the AV's prompt as a chat message: this AV's is a plain text"),
    ):
        with pytest.raises(UserError, match=message):
            write_official(there, tmp_path / "b.parquet", stage, contract)
    assert not (tmp_path / "b.parquet").exists()


def test_tags_are_taken_off_and_put_on() -> None:
    responses = {
        wrap("a\n\nb"): "a\n\nb",
        "thinking <explanation> one </explanation> <explanation>two</explanation>": "one",
        "<explanation> cut off": None,
        "no tags": None,
    }
    assert _explanations(pa.table({"response": list(responses)}), {}) == list(responses.values())
