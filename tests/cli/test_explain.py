"""`thinkaloud explain` writes an explanation for every activation, keeps what is there, and says what comes next."""

import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pytest
import tiny
from terminal import THINKALOUD, Terminal

from thinkaloud import cli
from thinkaloud.activations import Activations
from thinkaloud.activations.store import SHARD_DOCS, explanations_path
from thinkaloud.site import Site
from thinkaloud.writers import CachedWriter, HeuristicWriter
from thinkaloud.writers.write import contexts


@pytest.fixture(scope="module")
def extractions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An extraction with next tokens in `data`, and one that kept none in `bare`."""
    root = tmp_path_factory.mktemp("explain")
    model = tiny.save_base("llama", root / "model")
    texts = [f"On day {i} the boats stayed in the harbour, for there was a storm at sea." for i in range(6)]
    (root / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    extract = ["extract", "--model", str(model), "--layer", "2", "--corpus", str(root / "texts.jsonl")]
    few = ["--positions", "3", "--min-position", "20"]
    assert cli.main([*extract, *few, "--next-tokens", "4", "--out", str(root / "data")]) == 0
    assert cli.main([*extract, *few, "--out", str(root / "bare")]) == 0
    return root


@pytest.fixture
def data(extractions: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(extractions / "data", tmp_path / "data"))


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_as_a_person_runs_it(data: Path) -> None:
    command = [sys.executable, "-m", "thinkaloud.cli", "explain", "--data", str(data)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == "", "no progress where nobody watches"
    assert done.stdout.splitlines() == [
        f"wrote 18 explanations in {data}",
        f"next: thinkaloud warmstart ar --data {data} --out {data.parent / 'pair' / 'ar'}",
    ]
    found = Activations.load(data)
    assert found.column("explanation") == HeuristicWriter().write(contexts(data, 0))
    assert set(found.column("writer")) == {HeuristicWriter().name}


def test_a_second_call_keeps_what_is_there(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["explain", "--data", str(data)]) == 0
    before = tree(data)
    capsys.readouterr()
    assert cli.main(["explain", "--data", str(data)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"wrote 0 explanations, kept 18 in {data}"
    assert tree(data) == before


def test_a_killed_run_goes_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    n, data = SHARD_DOCS + 30, tmp_path / "data"
    columns = {"doc_id": [f"doc-{i}" for i in range(n)], "token": [" sea"] * n, "text": ["Down by the sea"] * n,
               "next_tokens": [["."]] * n, "next_probs": [[0.5]] * n}  # fmt: skip
    Activations(tiny.vectors(n, 8), pa.table(columns), Site("resid_post", 2)).save(data)
    assert cli.main(["explain", "--data", str(data)]) == 0
    explanations_path(data, 1).unlink()
    capsys.readouterr()
    assert cli.main(["explain", "--data", str(data)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"wrote 30 explanations, kept {SHARD_DOCS} in {data}"
    assert all(Activations.load(data).column("explanation"))


def test_a_cache_serves_other_extractions(data: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(data, tmp_path / "other"))
    cache = tmp_path / "cache.sqlite"
    assert cli.main(["explain", "--data", str(data), "--cache", str(cache)]) == 0
    with CachedWriter(HeuristicWriter(), cache) as writer:
        writer.write(contexts(other, 0))
        assert (writer.hits, writer.misses) == (18, 0)
    assert cli.main(["explain", "--data", str(other), "--cache", str(cache)]) == 0
    assert tree(other) == tree(data)


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--workers", "0"], "workers must be 1 or more, found 0"),
        (["--cache", "c.sqlite", "--workers", "2"], "a cache is kept by one process: use --workers 1 with --cache"),
        (["--data", "BARE"], "BARE kept no next tokens: run thinkaloud extract with --next-tokens 6 into a new folder"),
        (["--data", "ROOT"], "no manifest.json in ROOT: run thinkaloud extract first"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    extractions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    line: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {"BARE": str(extractions / "bare"), "ROOT": str(extractions)}
    before = tree(extractions)
    given = [names.get(word, word) for word in arguments]
    assert cli.main(["explain", "--data", str(extractions / "data"), *given]) == 2
    seen = capsys.readouterr()
    assert seen.out == ""
    for word, path in names.items():
        line = line.replace(word, path)
    assert seen.err == f"thinkaloud: {line}\n"
    assert tree(extractions) == before
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_new_writer_is_one_file(data: Path, tmp_path: Path, workers: int) -> None:
    """`parrot` is registered from outside the package, and other processes find it too."""
    (tmp_path / "parrot_writer.py").write_text(
        "from thinkaloud.writers.base import writer\n\n\n"
        "@writer\n"
        "class Parrot:\n"
        "    name = 'parrot/1'\n\n"
        "    def write(self, contexts):\n"
        "        return [f'Ends on {context.token!r}.' for context in contexts]\n"
    )
    command = [sys.executable, "-m", "thinkaloud.cli", "explain", "--data", str(data), "--workers", str(workers)]
    done = subprocess.run([*command, "--writer", str(tmp_path / "parrot_writer.py")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = Activations.load(data)
    assert found.column("explanation") == [f"Ends on {token!r}." for token in found.column("token")]
    assert set(found.column("writer")) == {"parrot/1"}


def test_the_next_command_can_be_pasted(extractions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "my data"
    shutil.copytree(extractions / "data", data)
    assert cli.main(["explain", "--data", str(data)]) == 0
    line = capsys.readouterr().out.splitlines()[-1].removeprefix("next: thinkaloud ")
    assert shlex.split(line)[:4] == ["warmstart", "ar", "--data", str(data)]


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["1", "2"])
def test_ctrl_c_keeps_the_shards_that_are_done_and_says_how_to_go_on(
    tmp_path: Path, workers: str, capsys: pytest.CaptureFixture[str]
) -> None:
    n, data = 40 * SHARD_DOCS, tmp_path / "data"
    text = "The boats lay in the harbour, for there was a storm at sea, and nobody would go out. " * 12
    columns = {"doc_id": [f"doc-{i}" for i in range(n)], "token": [" out"] * n,
               "text": [f"{i}: {text}" for i in range(n)],
               "next_tokens": [["."]] * n, "next_probs": [[0.5]] * n}  # fmt: skip
    Activations(tiny.vectors(n, 8), pa.table(columns), Site("resid_post", 2)).save(data)
    with Terminal([*THINKALOUD, "explain", "--data", str(data), "--workers", workers], 70) as terminal:
        terminal.until("of 10,240 explanations")
        while not list(data.glob("explanations-*.parquet")):
            time.sleep(0.01)
        terminal.press("\x03")
        assert terminal.finish() == 130
        said = terminal.text.replace("\n", "")
    done = len(list(data.glob("explanations-*.parquet")))
    assert 0 < done < 40
    assert "Traceback" not in said
    assert f"stopped: the explanations of {done} of 40 shards are kept in {data}" in said
    assert f"next: thinkaloud explain --data {data} --workers {workers}" in said
    assert not list(data.glob(".*")), "nothing half-written"
    assert cli.main(["explain", "--data", str(data)]) == 0
    assert capsys.readouterr().out.startswith(f"wrote {(40 - done) * SHARD_DOCS:,} explanations, kept")
