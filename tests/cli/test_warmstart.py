"""The whole way from texts to a trained pair works; run folders are as documented; what cannot be is refused."""

import io
import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from terminal import THINKALOUD, Terminal

from thinkaloud import __version__, cli
from thinkaloud.activations import Activations, write_explanations
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.training import checkpoint

AR = ["--ar-template", tiny.AR_TEMPLATE, "--batch", "6", "--warmup", "1", "--eval-every", "2", "--save-every", "2"]
AV = ["--av-template", tiny.AV_TEMPLATE, *AR[2:], "--eval-texts", "3", "--store", "float32", "--lr", "2e-5"]
STEPS = 4
LEAVE = "choose another folder, or take that again"
LR = {"ar": 1e-3, "av": 2e-5}  # decided by size, and said


def said(*arguments: str) -> str:
    """What a verb that has to work printed."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        assert cli.main(arguments) == 0, err.getvalue()
    return out.getvalue()


def process(*arguments: str) -> tuple[str, str]:
    """What a command that has to work prints in a process of its own: (stdout, stderr)."""
    done = subprocess.run([sys.executable, "-m", "thinkaloud.cli", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def way(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The whole way in one folder, and what every verb printed; `unexplained` is the extraction as it was before.

    One of the verbs is a process of its own, which shows what else a person would see.
    """
    root = tmp_path_factory.mktemp("way")
    tiny.model("llama", max_position_embeddings=1024).save_pretrained(str(root / "model"))
    tiny.tokenizer().save_pretrained(str(root / "model"))
    texts = [f"On day {i} the boats stayed in the harbour, for there was a storm at sea." for i in range(10)]
    (root / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    data, pair = str(root / "data"), root / "pair"
    extract = ["--model", str(root / "model"), "--layer", "2", "--corpus", str(root / "texts.jsonl"), "--out", data]
    options = ["--positions", "4", "--next-tokens", "4", "--heldout", "0.3"]
    printed = {"extract": said("extract", *extract, *options)}
    shutil.copytree(data, root / "unexplained")
    printed["explain"] = said("explain", "--data", data)
    ar = ["--data", data, "--out", str(pair / "ar"), "--store", "float32"]
    printed["ar"], printed["ar's progress"] = process("warmstart", "ar", *ar, *AR)
    printed["av"] = said("warmstart", "av", "--data", data, "--ar", str(pair / "ar"), "--out", str(pair / "av"), *AV)
    return root, printed


@pytest.fixture(scope="module")
def root(way: tuple[Path, dict[str, str]]) -> Path:
    return way[0]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tree(folder: Path) -> Mapping[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def heldout(root: Path) -> Activations:
    return Activations.load(root / "data", split="heldout")


def direction_fve(pred: torch.Tensor, found: Activations) -> float:
    """1 − mean squared difference of the directions, over their variance in the split."""
    unit, made = (v.double() / v.double().norm(dim=1, keepdim=True) for v in (found.vectors, pred))
    return float(1 - ((unit - made) ** 2).sum(1).mean() / ((unit - unit.mean(0)) ** 2).sum(1).mean())


def test_every_verb_names_the_next(way: tuple[Path, dict[str, str]]) -> None:
    root, printed = way
    data, pair = root / "data", root / "pair"
    assert printed["extract"].splitlines()[-1] == f"next: thinkaloud explain --data {data}"
    assert printed["explain"].splitlines()[-1].startswith(f"next: thinkaloud warmstart ar --data {data}")
    for role, what, following in (
        (
            "ar",
            "AR on written text: FVE ",
            f"thinkaloud warmstart av --data {data} --ar {pair / 'ar'} --out {pair / 'av'}",
        ),
        ("av", "AV → AR: FVE ", f"thinkaloud score --nla {pair} --data {data}"),
    ):
        wrote, verdict, following_line = printed[role].splitlines()
        assert wrote == f"wrote {pair / role / 'model'}"
        assert verdict.startswith(what)
        assert "shuffled pairs" in verdict
        assert following_line == f"next: {following}"
    progress = printed["ar's progress"].splitlines()
    evaluated = [line for line in progress if line.startswith("step ")]
    amount, expected = (line for line in progress if line not in evaluated)
    assert f"{STEPS} steps of 6" in amount
    assert "GB of memory" in amount
    assert expected.startswith("expect nothing on written text yet")
    assert [line.split()[:2] for line in evaluated] == [["step", f"{n}/{STEPS}"] for n in (2, STEPS)]
    assert all("heldout_fve" in line for line in evaluated)
    said("score", "--nla", str(pair), "--data", str(data), "--limit", "2", "--max-tokens", "4")


@pytest.mark.parametrize("role", ["ar", "av"])
def test_the_folder_of_a_run_is_as_documented(root: Path, role: str) -> None:
    run = root / "pair" / role
    names = {"STATUS", "checkpoints", "config.json", "metrics.jsonl", "model", "samples.jsonl"}
    assert {path.name for path in run.iterdir()} == names
    assert (run / "STATUS").read_text() == "finished"
    rows = len(Activations.load(root / "data", split="train"))
    config = json.loads((run / "config.json").read_text())
    assert (config["steps"], config["rows"]) == (STEPS, rows)
    assert config["versions"].keys() >= {"thinkaloud", "torch", "transformers"}
    assert config["versions"]["thinkaloud"] == __version__
    whole = {"role": role, "data": str(root / "data"), "batch_size": 6, "seed": 0, "rows": None}
    assert {name: config["config"][name] for name in whole} == whole
    optim = {"lr": LR[role], "final_lr_ratio": 0.05, "warmup_steps": 1, "weight_decay": 0.0, "max_grad_norm": 1.0}
    assert config["config"]["optim"] == optim
    metrics = lines(run / "metrics.jsonl")
    assert [(line["step"], line["steps"], line["skipped"]) for line in metrics] == [(2, STEPS, 0), (STEPS, STEPS, 0)]
    assert metrics[-1]["lr"] == pytest.approx(LR[role] / 20)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == ["step-2", "step-4"]
    for step in ("step-2", "step-4"):
        kept = {path.name for path in (run / "checkpoints" / step).iterdir()}
        assert kept == {"weights.safetensors", "optimizer.safetensors", "generators.safetensors", "state.json"}
    assert (run / "model" / "nla_meta.yaml").is_file()


def test_the_figures_of_the_ar_are_those_of_its_model(root: Path) -> None:
    """The folder of the run is the model; what it rebuilds of the held-out rows is what the log says."""
    found = heldout(root)
    pred = Reconstructor.from_pretrained(root / "pair" / "ar").reconstruct(found.column("explanation"))
    logged = lines(root / "pair" / "ar" / "metrics.jsonl")[-1]
    assert logged["heldout_fve"] == pytest.approx(direction_fve(pred, found), abs=1e-4)
    apart = direction_fve(pred.roll(len(found) // 2, dims=0), found)
    assert logged["heldout_fve_shuffled_pairs"] == pytest.approx(apart, abs=1e-4)


def test_the_samples_of_the_av_are_what_its_model_says(root: Path) -> None:
    found, run = heldout(root), root / "pair" / "av"
    samples = lines(run / "samples.jsonl")
    assert [sample["step"] for sample in samples] == [2, 2, 2, STEPS, STEPS, STEPS]
    explained = Verbalizer.from_pretrained(run).explain(found.vectors[:3])
    for sample, row, [said] in zip(samples[3:], found.table.to_pylist()[:3], explained, strict=True):
        assert sample.keys() == {"step", "prefix", "written", "read", "fve"}
        assert row["text"].endswith(sample["prefix"])
        assert sample["written"] == row["explanation"]
        # How many tokens are allowed differs: the shorter text, less what the cut may split, begins the longer.
        short, long = sorted((sample["read"], said.text), key=len)
        assert len(short) > 20
        assert long.startswith(short[:-3])
    logged = lines(run / "metrics.jsonl")[-1]
    assert logged["heldout_ce_gap"] == logged["heldout_ce_shuffled_vectors"] - logged["heldout_ce"]
    assert (run / "model" / "nla_meta.yaml").is_file()


def test_the_pair_reads(root: Path) -> None:
    reading = NLA.from_pretrained(root / "pair", base=root / "model").read("The boats", "last", max_tokens=3)
    assert len(list(reading)) == 1


def test_reading_with_a_pair_that_learnt_nothing_says_so(root: Path) -> None:
    _, err = process("read", "The boats", "--nla", str(root / "pair"), "--positions", "last", "--max-tokens", "3")
    assert "thinkaloud: believe nothing of this pair: AR on written text: FVE -" in err


def test_a_finished_run_is_left_as_it_is(root: Path) -> None:
    run = root / "pair" / "ar"
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    arguments = ["--data", str(root / "data"), "--out", str(run), "--store", "float32", *AR, "--save-every", "3"]
    assert said("warmstart", "ar", *arguments).startswith(f"wrote {run / 'model'}\n")
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_a_stopped_run_says_so_and_goes_on_to_the_same_model(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run, save = tmp_path / "ar", checkpoint.save
    command = ["warmstart", "ar", "--data", str(root / "data"), "--out", str(run), "--store", "float32", *AR]

    def stopped(folder: Path, step: int, *more: Any) -> None:
        if step == STEPS:
            raise KeyboardInterrupt
        save(folder, step, *more)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", stopped)
        assert cli.main(command) == 130
    assert (run / "STATUS").read_text() == f"running 2 of {STEPS}"
    assert not (run / "model").exists()
    before = tree(run)
    capsys.readouterr()
    assert cli.main([*command, "--lr", "2e-3"]) == 2
    line = f"thinkaloud: {run} was begun with optim.lr = 0.001, now it is 0.002: {LEAVE}\n"
    assert capsys.readouterr().err == line
    assert tree(run) == before
    assert cli.main(command) == 0
    whole = root / "pair" / "ar"
    assert tree(run / "model") == tree(whole / "model")
    clocks = ("tokens_per_second", "seconds_eval")
    timeless = [[{k: v for k, v in line.items() if k not in clocks} for line in lines(path / "metrics.jsonl")]
                for path in (run, whole)]  # fmt: skip
    assert timeless[0] == timeless[1]


@pytest.mark.parametrize(
    ("role", "arguments", "line"),
    [
        ("ar", ["--lr", "2e-3"], "optim.lr = 0.001, now it is 0.002"),
        ("ar", ["--ar-template", "{explanation} is"], f"ar_template = {tiny.AR_TEMPLATE!r}, now it is"),
        ("ar", ["--control", "shuffled"], "control = 'none', now it is 'shuffled'"),
        ("ar", ["--rows", "12"], "rows = None, now it is 12"),
        ("av", ["--seed", "1"], "seed = 0, now it is 1"),
        ("av", ["--injection-scale", "2.5"], "injection_scale = None, now it is 2.5"),
    ],
)
def test_another_config_in_the_same_folder_is_refused_by_its_field(
    root: Path, role: str, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run = root / "pair" / role
    given = {"ar": ["--store", "float32", *AR], "av": ["--ar", str(root / "pair" / "ar"), *AV]}[role]
    before = tree(run)
    assert cli.main(["warmstart", role, "--data", str(root / "data"), "--out", str(run), *given, *arguments]) == 2
    seen = capsys.readouterr()
    assert seen.err.startswith(f"thinkaloud: {run} was begun with {line}")
    assert seen.err.endswith(f": {LEAVE}\n")
    assert seen.err.count("\n") == 1
    assert tree(run) == before


def test_one_role_does_not_go_on_with_the_run_of_the_other(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = root / "pair" / "ar"
    assert cli.main(["warmstart", "av", "--data", str(root / "data"), "--out", str(run), *AV]) == 2
    assert f"{run} was begun with role = 'ar', now it is 'av'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("role", "arguments", "line"),
    [
        ("ar", ["--data", "UNEXPLAINED"], "DATA has no explanations yet: run thinkaloud explain --data DATA"),
        ("av", ["--data", "UNEXPLAINED"], "DATA has no explanations yet: run thinkaloud explain --data DATA"),
        ("ar", ["--data", "HALF"], "DATA: 3 of ROWS rows have no explanation; run thinkaloud explain again"),
        ("ar", ["--data", "UNSPLIT"], "no rows in DATA in the split 'heldout'"),
        ("ar", ["--lr", "-1"], "optim.lr must be a positive number, found -1.0"),
        ("av", ["--final-lr-ratio", "2"], "optim.final_lr_ratio must be from 0 to 1, found 2.0"),
        ("ar", ["--batch", "0"], "batch_size must be 1 or more, found 0"),
        ("ar", ["--ar-template", "Said:"], "ar_template must hold {explanation}"),
        (
            "ar",
            ["--ar-template", "Said: {explanation}"],
            "the AR template must end with text behind {explanation}: its last token is where the AR is read",
        ),
        ("av", ["--av-template", "What is held?"], "av_template must hold {injection_char} where the vector goes"),
        ("av", ["--injection-scale", "0"], "injection_scale must be a positive number, found 0.0"),
        ("av", ["--marker", "☃"], "the marker '☃' must be one token, this tokenizer makes it 3: choose another"),
        (
            "av",
            ["--ar", "MODEL"],
            "no nla_meta.yaml in MODEL: an NLA checkpoint keeps its contract beside its weights",
        ),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    root: Path, tmp_path: Path, role: str, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = root / "data", tmp_path / "out"
    made = {"UNEXPLAINED": lambda: root / "unexplained", "HALF": lambda: half(root, tmp_path),
            "UNSPLIT": lambda: unsplit(root, tmp_path), "MODEL": lambda: root / "model"}  # fmt: skip
    given = [str(made[word]()) if word in made else word for word in arguments]
    if arguments[0] == "--data":
        data = Path(given[1])
    before = tree(root)
    capsys.readouterr()
    assert cli.main(["warmstart", role, "--data", str(root / "data"), "--out", str(out), *given]) == 2
    seen = capsys.readouterr()
    rows = len(Activations.load(root / "data", split="train"))
    for word, value in (("DATA", data), ("ROWS", rows), ("MODEL", root / "model")):
        line = line.replace(word, str(value))
    assert seen.err == f"thinkaloud: {line}\n"
    assert seen.out == ""
    assert not out.exists()
    assert tree(root) == before


def half(root: Path, place: Path) -> Path:
    """The extraction with three of its train rows not yet explained."""
    folder = Path(shutil.copytree(root / "data", place / "half"))
    found = Activations.load(folder)
    missing = [i for i, split in enumerate(found.column("split")) if split == "train"][:3]
    texts = [None if i in missing else text for i, text in enumerate(found.column("explanation"))]
    write_explanations(folder, 0, texts, "scribe/1")
    return folder


def test_rows_whose_writer_gave_no_text_are_left_out_and_counted(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = half(root, tmp_path)
    texts = Activations.load(folder).column("explanation")
    write_explanations(folder, 0, texts, ["openai:m/1"] * len(texts))
    assert cli.main(["warmstart", "ar", "--data", str(folder), "--out", str(tmp_path / "ar"), *AR]) == 0
    assert "3 rows are left out: their writer was asked and gave no text" in capsys.readouterr().err
    config = json.loads((tmp_path / "ar" / "config.json").read_text())
    assert config["rows"] == len(Activations.load(root / "data", split="train")) - 3
    write_explanations(folder, 0, [None] * len(texts), ["openai:m/1"] * len(texts))
    assert cli.main(["warmstart", "ar", "--data", str(folder), "--out", str(tmp_path / "other"), *AR]) == 2
    assert "the writer gave no text for any of " in capsys.readouterr().err


def unsplit(root: Path, place: Path) -> Path:
    """The train rows alone."""
    return Activations.load(root / "data", split="train").save(place / "unsplit")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["critic"], "thinkaloud warmstart has no 'critic': expected one of ar, av"),
        ([], "thinkaloud warmstart expects one of ar, av first, found --data"),
        (["ar", "--no-such-option", "1"], "thinkaloud warmstart ar has no option --no-such-option"),
    ],
)
def test_an_unknown_role_is_one_line(
    root: Path, tmp_path: Path, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["warmstart", *arguments, "--data", str(root / "data"), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"thinkaloud: {line}")
    assert len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_says_what_is_kept_and_how_to_go_on(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "ar"
    options = ["--data", str(root / "data"), "--out", str(out), *AR, "--epochs", "500"]
    with Terminal([*THINKALOUD, "warmstart", "ar", *options], 100) as terminal:
        terminal.until(r"step [1-9]\d*/2000 [^/]* left")  # in two rows, where an evaluation is shown
        terminal.press("\x03")
        assert terminal.finish() == 130, terminal.text
        said = terminal.text.replace("\n", "")
    step = checkpoint.steps(out / "checkpoints")[-1]
    assert "told to stop: the step is finished and saved first" in said
    assert f"{out}: stopped at {step} of 2000" in said
    assert f"next: thinkaloud warmstart ar --data {root / 'data'} --out {out}" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (["--model", "./nowhere"], "no folder ./nowhere: expected a checkpoint folder"),
        (["--ar", "./nowhere"], "no folder ./nowhere: expected a checkpoint folder"),
        (["--ar", "pocket/ar"], "the pair reads resid_post:5: extract with --nla"),
        (["--ar", "pocket/av"], "is an AV: expected an AR"),
    ],
)
def test_a_bad_name_is_refused_before_anything_is_loaded(
    root: Path,
    tmp_path: Path,
    change: list[str],
    line: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("safetensors.torch.load_file", None)
    monkeypatch.setattr(Activations, "load", None)
    out = tmp_path / "av"
    assert cli.main(["warmstart", "av", "--data", str(root / "data"), "--out", str(out), *AV, *change]) == 2
    assert line in capsys.readouterr().err
    assert not out.exists()
