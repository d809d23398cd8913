"""`thinkaloud score` says how a pair does on stored activations, as a table and as JSON."""

import json
import re
from pathlib import Path

import pyarrow as pa
import pytest
import tiny

from thinkaloud import NLA, cli
from thinkaloud.activations import Activations
from thinkaloud.pair.formats import save
from thinkaloud.site import Site

N = 24


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair in `pair` and its activations in `data`: documents of three rows, a third of them held out."""
    root = tmp_path_factory.mktemp("score")
    save(tiny.verbalizer(), root / "pair" / "av")
    save(tiny.reconstructor(), root / "pair" / "ar")
    columns = {
        "doc_id": [f"doc-{i // 3}" for i in range(N)],
        "position": list(range(N)),
        "split": ["heldout" if i // 3 % 3 == 0 else "train" for i in range(N)],
        "text": [f"The boat of row {i}" for i in range(N)],
        "token": [str(i) for i in range(N)],
        "explanation": [f"Row {i}." for i in range(N)],
    }
    Activations(tiny.vectors(N), pa.table(columns), Site("resid_post", 2)).save(root / "data")
    return root


def score(folder: Path, *more: str) -> int:
    pair = ["--nla", str(folder / "pair"), "--max-tokens", "4", "--device", "cpu"]
    return cli.main(["score", "--data", str(folder / "data"), *pair, *more])


def test_json_is_one_object_with_the_split_its_baseline_and_every_line(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert score(folder, "--json") == 0
    out = capsys.readouterr()
    found = json.loads(out.out)
    assert out.out.count("\n") == 1
    assert (found["split"], found["samples"], found["temperature"]) == ("heldout", 1, 0.0)
    assert found["site"] == {"kind": "resid_post", "layer": 2}
    assert (found["baseline"]["n"], found["baseline"]["n_docs"], found["baseline"]["split"]) == (9, 3, "heldout")
    lines = {line["name"]: line for line in found["lines"]}
    assert lines["AV → AR"]["n"] == 9
    assert lines["AV → AR"]["low"] <= lines["AV → AR"]["fve"] <= lines["AV → AR"]["high"]
    assert lines["written explanation → AR"]["n_docs"] == 3
    assert lines["always the mean vector"]["cos"] is None
    assert found["tokens"] == 4.0


def test_the_table_says_what_the_figures_rest_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    assert score(folder, "--samples", "2", "--limit", "5", "--split", "train") == 0
    out = capsys.readouterr().out
    assert "on 15 vectors of 5 documents (train)" in out  # the whole split, though five rows are scored
    assert "2 sampled at temperature 1" in " ".join(out.split())  # a long name of the pair breaks the line
    assert "0.0 % closed, 4.0 tokens on average" in out
    assert " interval  95 %, over documents, V taken as known" in out
    own = next(line for line in out.splitlines() if "AV → AR " in line and "shuffled" not in line)
    assert own.split()[-2] == "10"
    assert max(map(len, out.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--limit", "0"], "limit must be 1 or more"),
        (["--split", "none"], "no rows in"),
        (["--samples", "0"], "samples must be 1 or more"),
        (["--temperature", "-1"], "temperature must be 0"),
    ],
)
def test_mistakes_are_one_line(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert score(folder, *arguments) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert expected in out.err
    assert len(out.err.splitlines()) == 1


def test_a_folder_without_activations_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["score", "--data", str(folder / "pair")]) == 2
    assert "run thinkaloud extract first" in capsys.readouterr().err


def test_the_table_keeps_its_names_on_a_narrow_terminal(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    assert score(folder, "--limit", "4") == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 60
    assert any(line.startswith("AV → AR") and line.split()[-1] == "3" for line in lines)
    assert "…" not in "".join(lines)


@pytest.mark.parametrize(
    ("pair", "line"),
    [
        ("pocket", "the pair reads resid_post:5: extract with --nla"),
        ("./nowhere", "no folder ./nowhere: expected a checkpoint folder"),
    ],
)
def test_a_pair_that_does_not_fit_is_refused_before_anything_is_loaded(
    folder: Path, pair: str, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("safetensors.torch.load_file", None)
    monkeypatch.setattr("thinkaloud.activations.Activations.load", None)
    for verb in (["score"], ["train", "--out", str(folder / "no run")]):
        assert cli.main([*verb, "--nla", pair, "--data", str(folder / "data")]) == 2
        assert line in capsys.readouterr().err
    assert not (folder / "no run").exists()


def test_a_pair_that_reads_nothing_is_called_so(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The pair is random: what it says is no better than the mean vector, or than its shuffled pairs."""
    assert score(folder) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert re.search(r"AR on written text: FVE -?\d\.\d\d, shuffled pairs -?\d\.\d\d: (worse than|the words say)", out)
    assert re.search(r"AV → AR: FVE -?\d\.\d\d, shuffled pairs", out)
    assert out.count("Give it more rows") == 2
    assert score(folder, "--json") == 0
    assert len(json.loads(capsys.readouterr().out)["verdicts"]) == 2


def test_more_evaluations_look_at_the_same_explanations(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A new evaluation is one file: `brevity` is registered from outside the package."""
    (tmp_path / "brevity.py").write_text(
        "from thinkaloud.evals.explained import evaluation\n\n\n"
        "@evaluation\n"
        "def brevity(found):\n"
        "    return {'letters': found.share(len), 'documents': len(set(found.column('doc_id')))}\n"
    )
    outside = str(tmp_path / "brevity.py")
    assert score(folder, "--json", "--also", "text_stats", "degenerate", "claims", outside) == 0
    found = json.loads(capsys.readouterr().out)["also"]
    assert set(found) == {"text_stats", "degenerate", "claims", outside}
    assert found[outside]["documents"] == 3
    assert found[outside]["letters"]["n"] == 9
    assert sum(share["value"] for share in found["degenerate"].values()) == pytest.approx(1)
    assert score(folder, "--also", "text_stats", outside) == 0
    assert "letters" in capsys.readouterr().out
    data = Activations.load(folder / "data")
    assert data.site is not None
    Activations(data.vectors, data.table.drop_columns(["token"]), data.site).save(tmp_path / "data")
    monkeypatch.setattr(NLA, "explain", None)
    assert score(folder, "--also", "claims", "--data", str(tmp_path / "data")) == 2
    assert "a writer needs the columns text and token, found no token" in capsys.readouterr().err
    assert score(folder, "--also", "reconstruction") == 2
    assert "measures more than the explanations: thinkaloud eval --only reconstruction" in capsys.readouterr().err
    assert score(folder, "--also", "text_stat") == 2
    assert "no evaluation 'text_stat': did you mean text_stats?" in capsys.readouterr().err
