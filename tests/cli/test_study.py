"""A study is found by its name, with presets and limits in that order, and a mistake is one line."""

import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from scipy.stats import spearmanr

from thinkaloud import NLA
from thinkaloud.cli import main
from thinkaloud.cli.study import parse
from thinkaloud.errors import UserError
from thinkaloud.studies.anchors import Anchors
from thinkaloud.studies.config import study as STUDIES
from thinkaloud.studies.results import Read
from thinkaloud.studies.survey import Survey

ROOT = Path(__file__).parents[2]


def test_a_small_study_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "study"
    command = [
        *("study", "anchors", "--preset", "pocket", "--limit", "1", "--rollouts", "2", "--solution-tokens", "40"),
        *("--places", "answer end", "--device", "cpu", "--out", str(out)),
    ]
    assert not main(command)
    first = capsys.readouterr()
    assert "Which sentences decide?" in first.out
    assert f" page    {out / 'index.html'}\n" in first.out
    assert first.err == ""
    assert {path.stem for path in (out / "tables").iterdir()} == {
        *("explanations", "rollouts", "similarity"),
        *("traces", "trace_rollouts", "trace_similarity", "trace_said"),
    }
    assert {path.name for path in (out / "figures").iterdir()} == {"positions.svg", "classes.svg", "thresholds.svg"}
    assert "<svg" in (out / "index.html").read_text()
    assert not main(command)
    assert capsys.readouterr().out == first.out, "what is made is read"
    page = (out / "index.html").read_bytes()
    assert not main([*command, "--threshold", "0.7"]), "an option of the analysis"
    assert "similarity to it is below 0.7" in " ".join((out / "index.html").read_text().split())
    assert not main(command)
    capsys.readouterr()
    (out / "index.html").unlink()
    monkeypatch.setattr(NLA, "from_pretrained", None)  # a page is drawn again without a model
    assert not main([*command, "--redraw"])
    assert capsys.readouterr().out == first.out
    assert (out / "index.html").read_bytes() == page
    assert main([*command, "--seed", "1"]) == 2
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith("was begun with seed = 0, now it is 1: choose another folder, or take that again")
    )


def test_the_command_line_is_over_the_preset() -> None:
    args = ["--preset", "pocket", "--out", "o", "--seed", "6", "--limit", "3", "--thresholds", "0.5", "0.9"]
    study = parse(["anchors", *args]).study
    assert isinstance(study, Anchors)
    assert (study.max_tokens, study.seed, study.n) == (120, 6, 3)
    assert parse(["anchors", *args, "--max-tokens", "99"]).study.max_tokens == 99
    assert study.thresholds == (0.5, 0.9)
    assert isinstance(parse(["survey", "--out", "o"]).study, Survey)


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["nothing"], "no study 'nothing': expected one of "),
        (["anchors", "--limit", "0", "--out", "o"], "n must be 1 or more, found 0"),
        (["anchors", "--temperature", "0", "--out", "o"], "temperature must be above 0, found 0.0"),
        (["anchors", "--threshold", "2", "--out", "o"], "a threshold is a cosine, from -1 to 1, found 2.0"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_a_mistake_is_one_line(args: list[str], line: str) -> None:
    with pytest.raises(UserError) as caught:
        parse(args)
    assert str(caught.value).startswith(line)


def test_without_the_packages_of_studies_it_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for package in ("pandas", "matplotlib"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError, match=r"^studies need pandas and matplotlib: pip install 'thinkaloud\[studies\]'$"):
        parse(["survey", "--out", "o"])
    with pytest.raises(SystemExit):
        parse(["survey", "--help"])


@pytest.mark.parametrize("name", sorted(STUDIES))
def test_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["study", name, "--help"])
    printed = capsys.readouterr().out
    assert "--out" in printed
    assert "--preset {pocket}" in printed


def test_the_list_of_studies(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["study"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in STUDIES)


def test_bad_problems_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "problems.jsonl"
    for text, line in (
        ('{"question": "How many?"}\n', "line 1: expected a JSON object with question and answer"),
        ('{"question": "How many?", "answer": "several"}\n', "line 1: the answer 'several' holds no number"),
        ("\n", "holds no problems"),
    ):
        file.write_text(text)
        args = ["--problems", str(file), "--out", str(tmp_path / "out"), "--device", "cpu"]
        assert main(["study", "anchors", *args]) == 2
        assert line in capsys.readouterr().err


def test_a_new_study_is_one_file(tmp_path: Path) -> None:
    """The worked example of docs, by the command, from its pair to its page."""
    out = tmp_path / "out"

    def run(*more: str) -> str:
        command = [
            sys.executable,
            "-m",
            "thinkaloud.cli",
            "study",
            "docs/example_study.py",
            "--limit",
            "4",
            "--each",
            "3",
        ]
        command += ["--max-tokens", "60", "--device", "cpu", "--out", str(out), *more]
        return subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout

    printed = run()
    assert "Its rank correlation with" in printed
    rows = pq.read_table(out / "tables" / "readings.parquet").to_pylist()
    assert len(rows) == 4 * 3
    results = Read(out)
    assert results.values["whole"].value == pytest.approx(sum(row["fve"] for row in rows) / 12)
    assert results.values["sure"].value == pytest.approx(
        spearmanr([row["sure"] for row in rows], [row["fve"] for row in rows]).statistic
    )
    assert [row["tokens"] for row in results["quarters"]] == [3] * 8
    page = (out / "index.html").read_text()
    assert "<b>Figure 1.</b> FVE in each quarter" in page
    assert "thinkaloud study example_study.py --max-tokens 60 --n 4 --each 3 --out DIR" in page
    assert page.count("num few") == 8, "four texts are few, and the page marks it"
    assert run("--redraw") == printed
    assert (out / "index.html").read_text() == page


def test_a_file_that_registers_nothing_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "none.py").write_text("")
    assert main(["study", str(tmp_path / "none.py"), "--out", "o"]) == 2
    assert "none.py registers 0 parts of the kind study: expected one" in capsys.readouterr().err
    assert main(["study", str(tmp_path / "gone.py"), "--out", "o"]) == 2
    assert "gone.py: a study is a name, or a Python file that registers one" in capsys.readouterr().err


def test_a_study_that_was_never_run_is_not_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["study", "positions", "--out", str(tmp_path / "o"), "--redraw"]) == 2
    assert "holds no finished study to draw: run it without --redraw first" in capsys.readouterr().err
