"""Misspelt words are recognised, help fits the terminal, a shell completes the whole command."""

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from terminal import Terminal

from thinkaloud import cli
from thinkaloud.cli import arguments
from thinkaloud.cli.extract import Args as Extract

KINDS = [
    *([verb] for verb in cli.VERBS if verb not in ("study", "run")),
    *(["warmstart", role] for role in ("ar", "av")),
    *(["study", name] for name in ("answers", "anchors", "survey", "positions")),
    ["run", "recipes/pocket.py"],
]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["raed", "x"], "no verb 'raed': did you mean read?"),
        (["zzz"], f"no verb 'zzz': expected one of {', '.join(cli.VERBS)}"),
        (["read", "--postions", "3", "x"], "thinkaloud read has no option --postions: did you mean --positions?"),
        (["score", "--limt=5"], "thinkaloud score has no option --limt: did you mean --limit?"),
        (["score", "--qqqq"], "thinkaloud score has no option --qqqq: thinkaloud score --help lists them"),
        (["train", "--resum", "x"], "thinkaloud train has no option --resum: did you mean --resume?"),
        (["warmstart", "at"], "thinkaloud warmstart has no 'at': expected one of ar, av"),
        (["warmstart", "ar", "--lrr", "3"], "thinkaloud warmstart ar has no option --lrr: did you mean --lr?"),
        (["study", "anwers"], "no study 'anwers': did you mean answers?"),
        (["study", "survey", "--prest", "x"], "thinkaloud study survey has no option --prest: did you mean --preset?"),
        (["--print-completion", "zssh"], "no completion for the shell 'zssh': did you mean zsh?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_misspelt_word_is_one_line(words: list[str], line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(words) == 2
    printed = capsys.readouterr()
    assert printed.err.splitlines() == [f"thinkaloud: {line}"]
    assert printed.out == ""


@pytest.mark.parametrize("columns", [60, 120])
@pytest.mark.parametrize("words", KINDS, ids=" ".join)
def test_help_fits_and_says_plainly_what_a_value_is(
    words: list[str], columns: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.chdir(Path(__file__).parents[2])
    with pytest.raises(SystemExit) as ended:
        cli.main([*words, "--help"])
    page = capsys.readouterr().out
    assert ended.value.code == 0
    assert page.startswith(f"usage: thinkaloud {words[0]}")
    assert max(map(len, page.splitlines())) <= columns
    assert "{None}" not in page
    assert "default: None" not in page
    assert "default: False" not in page
    assert page == page.strip() + "\n"


@pytest.mark.parametrize("words", [["--help"], ["study"], ["run"]], ids=" ".join)
def test_lists_fit_a_narrow_terminal(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    with suppress(SystemExit):
        cli.main(words)
    page = capsys.readouterr().out
    assert max(map(len, page.splitlines())) <= 60
    assert len(page.splitlines()) > 8


def test_a_value_may_still_be_none() -> None:
    given = ["--corpus", "c", "--out", "o", "--layer", "3", "--window"]
    assert arguments.parse(Extract, [*given, "None"], "extract", None).window is None
    parsed = arguments.parse(Extract, [*given, "70"], "extract", None)
    assert (parsed.window, parsed.layer, parsed.nla) == (70, 3, None)
    assert arguments.parse(Extract, given[:-1], "extract", None, Extract("c", Path("o"), window=90)).window == 90


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("completion") / "thinkaloud.bash"
    path.write_text(arguments.completion("bash", cli.VERBS))
    return path


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("thinkaloud warm\t", "warmstart"),
        ("thinkaloud warmstart av --inj\t-sc\t", "--injection-scale"),
        ("thinkaloud train --resu\t", "--resume"),
        ("thinkaloud study surv\t--pres\t", "study survey --preset"),
        ("thinkaloud train --reward.advantage d\t", "dr_grpo"),
        ("thinkaloud score --data a-fol\tda\t", "a-folder/data"),
        ("thinkaloud run a-fol\t", "a-folder/"),
    ],
    ids=lambda value: value.replace("\t", "") if "thinkaloud" in value else "",
)
def test_bash_completes_verbs_options_values_and_files(script: Path, tmp_path: Path, typed: str, line: str) -> None:
    (tmp_path / "a-folder" / "data").mkdir(parents=True)
    with Terminal(["bash", "--norc", "--noprofile", "-i"], 120, tmp_path) as shell:
        shell.press("PS1='$ '; bind 'set enable-bracketed-paste off'\n")
        shell.press(f"source {script}; echo ready $((40 + 2))\n")
        shell.until("ready 42\n")
        shell.press(typed)
        shell.until(line, 60)


def test_other_shells_have_a_script_too() -> None:
    for shell in ("zsh", "fish"):
        said = arguments.completion(shell, cli.VERBS)
        assert "thinkaloud" in said
        assert "--injection-scale" in said


def test_help_lists_and_mistakes_come_without_torch(tmp_path: Path) -> None:
    """What needs no model answers at once."""
    fast = [
        ["--help"],
        *([verb, "--help"] for verb in cli.VERBS),
        ["runs", str(tmp_path)],
        ["raed"],
        ["score", "--data", str(tmp_path)],
        ["score", "--data", str(tmp_path), "--limit", "0"],
        ["score", "--data", str(tmp_path), "--samples", "0"],
        ["score", "--data", str(tmp_path), "--temperature", "nan"],
        ["explain", "--data", str(tmp_path)],
        ["warmstart", "ar", "--data", str(tmp_path), "--out", "o"],
        ["warmstart", "av", "--data", str(tmp_path), "--out", "o", "--batch", "0"],
        ["train", "--nla", "pocket", "--data", str(tmp_path), "--out", "o"],
        ["train", "--nla", "pocket", "--data", str(tmp_path), "--out", "o", "--group", "1"],
        ["study", "answers", "--out", "o", "--problems", "nowhere.jsonl"],
        ["study", "answers", "--out", "o", "--n", "0"],
    ]
    code = f"""
import sys
from thinkaloud import cli
for words in {fast!r}:
    try:
        cli.main(words)
    except SystemExit:
        pass
    assert "torch" not in sys.modules, words
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len([line for line in done.stderr.splitlines() if line.startswith("thinkaloud: ")]) == 12
    assert not list(tmp_path.iterdir())
