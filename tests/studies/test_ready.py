"""Ready-made explanations are surveyed with what their file has, and it is said what falls away."""

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from thinkaloud.errors import UserError
from thinkaloud.pair.nla import NLA
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import Page, render
from thinkaloud.studies.results import Read
from thinkaloud.studies.survey import Survey
from thinkaloud.studies.survey.ready import has_vectors, read

SAID = [f'A tale about house {i}.\n"the old house" is quoted.\nEnds on "house"; next is a comma.' for i in range(30)]
FULL: dict[str, Any] = {
    "explanation": SAID,
    "text": ["They came to the old house"] * 30,
    "token": [" house"] * 30,
    "doc_id": [f"d{i}" for i in range(30)],
    "position": list(range(30)),
    "kind": ["text", "chat"] * 15,
    "fve": [0.5 + i / 100 for i in range(30)],
}


def surveyed(path: Path, nla: NLA | None = None, **changes: Any) -> tuple[Page, Folder]:
    config = Survey(out=str(path.parent / f"out-{path.stem}"), explanations=str(path), ablated=10, **changes)
    config.check()
    folder = Folder(config.out, "survey", config.asked())
    config.run(folder, nla)  # type: ignore[arg-type]
    config.analyse(folder).write(folder.out)
    return config.page(folder), folder


def test_without_vectors_no_pair_is_needed(tmp_path: Path) -> None:
    path = tmp_path / "made.parquet"
    pd.DataFrame(FULL).to_parquet(path)
    assert not Survey(out="x", explanations=str(path)).loads_pair
    page, folder = surveyed(path)
    found = Read(folder.out)
    assert page.facts["Not there"].startswith("vector, an AR for the vectors; left out: paragraph ablation")
    assert found["templates"][0]["paragraphs"] == 30
    assert {row["class"] for row in found["classes"]} == {"whole word"}
    verdicts = {claim["id"]: claim["verdict"] for claim in page.claims}
    assert (verdicts["B1"], verdicts["C2"], verdicts["B4"]) == ("holds", "holds", "not shown")
    render(page)


def test_with_texts_alone_the_form_is_left(tmp_path: Path) -> None:
    path = tmp_path / "plain.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in SAID), encoding="utf-8")
    page, folder = surveyed(path)
    assert "context, token, doc_id, vector" in page.facts["Not there"]
    assert "everything by error" in page.answer
    assert [section.title for section in page.sections] == ["Form", "Openings", "Templates", "Paragraphs"]
    assert Read(folder.out).values["whole"].n == 0
    render(page)


def test_vectors_of_the_width_of_the_pair_are_rebuilt_and_ablated(tmp_path: Path) -> None:
    pocket, path = NLA.from_pretrained("pocket"), tmp_path / "vectors.parquet"
    table = pocket.read("The old boat lay upside down on the shingle, and the tide came in.", max_tokens=60)
    vectors = pocket.reconstruct(SAID).tolist()
    frame = pd.DataFrame({**{k: v for k, v in FULL.items() if k != "fve"}, "vector": vectors})
    frame.to_parquet(path)
    assert has_vectors(path)
    page, folder = surveyed(path, pocket)
    rows = folder.kept("explanations")
    assert all(row["mse"] == pytest.approx(0, abs=1e-4) for row in rows)  # each is what the AR makes of it
    assert len(Read(folder.out)["parts"]) == 3
    assert page.facts["Pair"] == "pocket"
    assert table.positions
    frame["vector"] = [v[:7] for v in vectors]
    frame.to_parquet(tmp_path / "narrow.parquet")
    page, _ = surveyed(tmp_path / "narrow.parquet", pocket)
    assert page.facts["Vectors"].startswith("of width 7, which the AR of pocket does not rebuild")


def test_what_the_survey_wrote_is_surveyed_again(tmp_path: Path) -> None:
    path = tmp_path / "made.parquet"
    pd.DataFrame(FULL).to_parquet(path)
    _, folder = surveyed(path)
    again, vectors, lacking = read(folder.out / "tables" / "explanations.parquet", 100)
    assert vectors is None
    assert lacking == []
    assert again["text"].tolist() == SAID
    assert again["context"].iloc[0] == "They came to the old house"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.parquet", "no parquet", "neither a Parquet file nor JSON lines"),
        ("a.jsonl", "{", "neither a Parquet file nor JSON lines"),
        ("a.jsonl", '{"said": "x"}\n', r"expected rows with a column explanation \(or text\), found 1 rows, said"),
        ("a.jsonl", "", "found 0 rows, no columns"),
        ("a.jsonl", '{"explanation": "x", "kind": "poem"}\n', "kind must be text or chat, found 'poem'"),
        (
            "a.jsonl",
            '{"text": "x", "vector": [1, 2]}\n{"text": "y", "vector": [1]}\n',
            "lists of numbers of one length",
        ),
    ],
)
def test_files_that_cannot_be_surveyed(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read(tmp_path / name, 10)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="explanations must be a Parquet file or JSON lines"):
        Survey(out="x", explanations=str(tmp_path / "none.parquet")).check()
