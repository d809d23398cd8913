"""Does a person get a study by its name, with presets, files and limits in that order, and one line for a mistake?"""

import json
from pathlib import Path

import pytest

from thinkaloud.cli import main
from thinkaloud.cli.study import parse
from thinkaloud.errors import UserError
from thinkaloud.studies.config import STUDIES, Anchors, Survey


def test_a_small_study_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "study"
    command = [
        *("study", "anchors", "--preset", "pocket", "--limit", "1", "--rollouts", "2", "--solution-tokens", "40"),
        *("--places", "answer end", "--device", "cpu", "--out", str(out)),
    ]
    assert not main(command)
    first = capsys.readouterr()
    assert "Which sentence of an explanation decides?" in first.out
    assert f" page    {out / 'index.html'}\n" in first.out
    assert first.err == ""
    assert {path.stem for path in (out / "tables").iterdir()} == {
        *("explanations", "rollouts", "deletions", "similarity", "importance", "thresholds")
    }
    assert {path.name for path in (out / "figures").iterdir()} == {"position.svg", "thresholds.svg"}
    assert "<svg" in (out / "index.html").read_text()
    assert not main(command)
    assert capsys.readouterr().out == first.out, "what is made is read"
    assert main([*command, "--seed", "1"]) == 2
    assert capsys.readouterr().err.strip().endswith("holds a study with seed = 0, asked for 1: choose another --out")


def test_the_command_line_is_over_the_file_which_is_over_the_preset(tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps({"rollouts": 7, "seed": 5, "thresholds": [0.5, 0.9]}))
    study = parse(["anchors", "--preset", "pocket", "--config", str(file), "--out", "o", "--seed", "6", "--limit", "3"])
    assert isinstance(study, Anchors)
    assert (study.max_tokens, study.rollouts, study.seed, study.n) == (120, 7, 6, 3)
    assert study.thresholds == (0.5, 0.9)
    assert isinstance(parse(["survey", "--out", "o"]), Survey)
    file.write_text(json.dumps({"n": "5"}))
    with pytest.raises(UserError, match="n must be int, found '5'"):
        parse(["survey", "--config", str(file), "--out", "o"])


@pytest.mark.parametrize(
    ("args", "line"),
    [
        (["nothing"], "no study 'nothing': expected one of answers, anchors, survey, positions"),
        (["anchors", "--config", "no.json", "--out", "o"], "no file no.json"),
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
