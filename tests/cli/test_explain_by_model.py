"""`thinkaloud explain` by a language model, from the shell: what is written, and what a killed run costs."""

import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import services
import tiny
from services import Handler, Server, answer, serving
from terminal import THINKALOUD, Terminal

from thinkaloud import cli
from thinkaloud.activations import Activations
from thinkaloud.activations.store import SHARD_DOCS, explanations_path
from thinkaloud.site import Site
from thinkaloud.writers import asked, requests

KEY = "sk-very-secret-0123456789"
ROWS = 18


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "FIRST", 0.002)
    monkeypatch.setattr(asked, "POLLS", (0.002, 0.01))
    for kind in ("OPENAI", "ANTHROPIC"):
        monkeypatch.setenv(f"{kind}_API_KEY", KEY)
        monkeypatch.delenv(f"{kind}_BASE_URL", raising=False)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture(params=["openai", "anthropic"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def made(folder: Path, rows: int = ROWS, next_tokens: bool = True) -> Path:
    columns = {
        "doc_id": [f"doc-{i}" for i in range(rows)],
        "text": [f"Down by the sea, the boat number {i}" for i in range(rows)],
        "token": [f" {i}" for i in range(rows)],
        "split": ["heldout" if i % 3 == 0 else "train" for i in range(rows)],
    }
    if next_tokens:
        columns |= {"next_tokens": [[" is", ","]] * rows, "next_probs": [[0.5, 0.25]] * rows}
    return Activations(tiny.vectors(rows, 8), pa.table(columns), Site("resid_post", 2)).save(folder)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return made(tmp_path / "data")


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    (tmp_path / "prompt.txt").write_text("{next}\nWhat is this: {text}")
    return tmp_path / "prompt.txt"


def words(kind: str, server: Server, data: Path, *more: object) -> list[str]:
    given = ["--writer", f"{kind}:m", "--base-url", server.url, "--prompt", data.parent / "prompt.txt", *more]
    return ["explain", "--data", str(data), *map(str, given)]


def contents(server: Server) -> list[str]:
    return [request["messages"][-1]["content"] for request in server.requests]


def test_as_a_person_runs_it(kind: str, server: Server, data: Path, prompt: Path) -> None:
    server.replies = [services.error(429, headers={"retry-after": "0.01"}), services.error(500, f"of {KEY}")]
    done = subprocess.run(
        [sys.executable, "-m", "thinkaloud.cli", *words(kind, server, data)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        f"wrote 18 explanations in {data}",
        f"18 requests to {kind}:m: 1,800 tokens in, 360 out; all answers are kept in {data / 'asked.sqlite'}",
        f"next: thinkaloud warmstart ar --data {data} --out {data.parent / 'pair' / 'ar'}",
    ]
    found = Activations.load(data)
    assert found.column("explanation") == [f"A tale of the sea.\nEnds on {i}" for i in range(ROWS)]
    assert {name.partition("/")[0] for name in found.column("writer")} == {f"{kind}:m"}
    assert sorted(set(contents(server))) == sorted(f"What is this: {text}" for text in found.column("text"))
    assert not [path for path in data.rglob("*") if KEY.encode() in path.read_bytes()], "the key is kept nowhere"


def test_what_refuses_or_is_malformed_is_counted_and_warm_starts_leave_it_out(
    kind: str, server: Server, data: Path, prompt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from thinkaloud.training.data import load_held, load_rows, load_vectors

    refusal = answer("no", "content_filter" if kind == "openai" else "refusal")
    server.replies = [refusal, refusal, answer("..."), answer("")]
    assert cli.main(words(kind, server, data, "--concurrency", 1)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        f"wrote 14 explanations in {data}",
        "4 rows have no explanation (2 refused, 1 malformed, 1 empty): warm starts leave them out",
    ]
    found = Activations.load(data)
    assert [i for i, text in enumerate(found.column("explanation")) if text is None] == [0, 1, 2, 3]
    assert None not in found.column("writer")
    train, held = (load_rows(data, split, 0)[0] for split in ("train", "heldout"))
    assert (len(train), train.left_out, len(held), held.left_out) == (10, 2, 4, 2)
    assert train.vectors.equal(found.vectors[[i for i in range(4, ROWS) if i % 3]])
    assert train.texts == [f"A tale of the sea.\nEnds on {i}" for i in range(4, ROWS) if i % 3]
    vectors, _, texts = load_vectors(data, 0, None, written=True)
    assert (len(vectors), len(texts)) == (10, 10)
    assert sum(len(part.written) for part in load_held(data, 100, written=True)) == 4
    assert cli.main(words(kind, server, data)) == 0
    assert capsys.readouterr().out.startswith(f"wrote 0 explanations, kept 18 in {data}\n0 requests")


def until(true: Any, run: "subprocess.Popen[bytes]") -> None:
    while not true():
        assert run.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)


def count(data: Path, table: str) -> int:
    if not (data / "asked.sqlite").is_file():
        return 0
    db = sqlite3.connect(data / "asked.sqlite", timeout=60)
    try:
        return db.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    finally:
        db.close()


def test_a_killed_run_costs_nothing_twice(
    kind: str, server: Server, data: Path, prompt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    go = threading.Event()

    def wait(handler: Handler, request: dict[str, Any]) -> None:
        go.wait(600)
        answer("late")(handler, request)

    usual = [answer(f"- Answer {i}") for i in range(6)]
    server.replies = [*usual, wait, wait]
    command = [sys.executable, "-m", "thinkaloud.cli", *words(kind, server, data, "--concurrency", 2)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as run:
        until(lambda: count(data, "texts") == 6 and len(server.requests) == 8, run)
        run.send_signal(signal.SIGKILL)
    assert len(server.requests) == 8
    go.set()
    assert cli.main(words(kind, server, data)) == 0
    assert "12 requests to" in capsys.readouterr().out
    assert len(server.requests) == 8 + ROWS - 6
    first, second = contents(server)[:8], contents(server)[8:]
    assert (len(set(first)), len(set(second)), len(set(first) - set(second))) == (8, 12, 6), (
        "but for what had no answer"
    )
    found = Activations.load(data).column("explanation")
    assert sorted(text for text in found if text.startswith("Answer")) == [f"Answer {i}" for i in range(6)]


def test_a_killed_run_finds_its_batch_again(
    kind: str, server: Server, data: Path, prompt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.looks = 10**9
    command = [sys.executable, "-m", "thinkaloud.cli", *words(kind, server, data, "--batch")]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as run:
        until(lambda: count(data, "pending") == ROWS, run)
        run.send_signal(signal.SIGKILL)
    assert cli.main(words(kind, server, data, "--dry-run")) == 0
    assert f"18 requests to {kind}:m, 18 of them in batches under way" in capsys.readouterr().out
    server.batches["batch_0"]["looks"] = 0
    assert cli.main(words(kind, server, data, "--batch")) == 0
    assert capsys.readouterr().out.splitlines()[0] == f"wrote 18 explanations in {data}"
    assert (len(server.batches), server.requests) == (1, [])
    assert None not in Activations.load(data).column("explanation")
    assert not [path for path in data.rglob("*") if KEY.encode() in path.read_bytes()]


def test_a_terminal_shows_how_far_it_is(server: Server, data: Path, prompt: Path) -> None:
    server.looks = 3
    with Terminal([*THINKALOUD, *words("openai", server, data, "--batch")], 100) as terminal:
        terminal.until("waiting for batches")
        assert terminal.finish() == 0
        assert "wrote 18 explanations" in terminal.text.replace("\n", "")


def test_shards_that_have_their_explanations_are_kept(
    server: Server, tmp_path: Path, prompt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = made(tmp_path / "data", SHARD_DOCS + 30)
    assert cli.main(words("openai", server, data)) == 0
    before = explanations_path(data, 0).read_bytes()
    explanations_path(data, 1).unlink()
    (data / "asked.sqlite").unlink()
    capsys.readouterr()
    assert cli.main(words("openai", server, data)) == 0
    assert capsys.readouterr().out.startswith(f"wrote 30 explanations, kept {SHARD_DOCS} in {data}\n30 requests")
    assert explanations_path(data, 0).read_bytes() == before
    assert len(server.requests) == SHARD_DOCS + 60


def test_a_dry_run_asks_nothing_and_needs_no_key(
    kind: str, server: Server, data: Path, prompt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    part, cache = made(tmp_path / "part", 5), tmp_path / "cache.sqlite"
    assert cli.main(words(kind, server, part, "--cache", cache)) == 0
    before = len(server.posts)
    monkeypatch.delenv(f"{kind.upper()}_API_KEY")
    monkeypatch.setitem(sys.modules, kind, None)
    capsys.readouterr()
    dry = [*words(kind, server, data, "--cache", cache), "--dry-run", "--max-tokens", "400"]
    assert cli.main([*dry, "--price-in", "1000", "--price-out", "4000"]) == 0
    said = capsys.readouterr().out
    lines, example = said.split("one request:\n")
    chars = sum(len(f"What is this: Down by the sea, the boat number {i}") for i in range(5, ROWS))
    tokens = chars // 4
    assert lines.splitlines() == [
        "18 rows without an explanation; 5 need no request: asked before, or alike",
        f"13 requests to {kind}:m",
        f"about {tokens} tokens in and 975 out, at most 5,200",
        f"about {tokens / 1000 + 3.9:.2f} at 1000 and 4000 a million tokens",
    ]
    message = {"role": "user", "content": "What is this: Down by the sea, the boat number 5"}
    assert json.loads(example) == {"model": "m", "max_tokens": 400, "messages": [message]}
    assert cli.main(dry) == 0
    assert "a million" not in capsys.readouterr().out
    assert len(server.posts) == before
    assert not list(data.glob("explanations-*"))


def test_next_tokens_are_needed_only_to_show_them(
    server: Server, tmp_path: Path, prompt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare, full = made(tmp_path / "bare", 3, next_tokens=False), made(tmp_path / "full", 3)
    assert cli.main(words("openai", server, bare, "--show-next")) == 2
    assert "kept no next tokens: run thinkaloud extract with --next-tokens 6" in capsys.readouterr().err
    assert cli.main(words("openai", server, bare)) == 0
    assert cli.main(words("openai", server, full, "--show-next")) == 0
    assert contents(server)[3].startswith('What the model itself finds likeliest next: " is" 0.50, "," 0.25\nWhat is')


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--writer", "openai"], "openai needs a model: --writer openai:MODEL"),
        (["--writer", "anthropic:"], "anthropic needs a model: --writer anthropic:MODEL"),
        (["--writer", "opnai:m"], "no writer 'opnai:m': did you mean openai:MODEL?"),
        (["--writer", "parrot"], "no writer 'parrot': expected one of heuristic, "),
        (["--dry-run"], "the writer heuristic is no language model: leave the options of one out"),
        (["--chars", "9"], "the writer heuristic is no language model: leave the options of one out"),
        (["--writer", "openai:m", "--workers", "2"], "a language model is asked by one process: use --ask.concurrency"),
        (["--writer", "openai:m", "--tries", "0"], "ask.tries must be 1 or more, found 0"),
        (["--writer", "openai:m", "--timeout", "0"], "ask.timeout must be a positive number, found 0.0"),
        (["--writer", "openai:m", "--price-in", "1"], "a price is that of tokens read and of tokens written"),
        (["--writer", "openai:m", "--prompt", "none.txt"], "none.txt: no such file or directory"),
        (["--writer", "local:m", "--temperature", "1"], "local:m is greedy and in this process: leave --temperature"),
        (["--writer", "local:none"], "no folder none: expected a checkpoint folder"),
    ],
)
def test_mistakes_are_one_line(
    data: Path, arguments: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["explain", "--data", str(data), *arguments]) == 2
    seen = capsys.readouterr()
    assert seen.err.startswith(f"thinkaloud: {line}")
    assert seen.err.count("\n") == 1
    assert not list(data.glob("explanations-*"))


def test_what_an_interrupt_leaves(server: Server, data: Path, prompt: Path) -> None:
    from thinkaloud.cli import explain
    from thinkaloud.config.data import Explain

    args = Explain(data, writer="openai:m")
    none = f"the explanations of 0 of 1 shards are kept in {data}"
    assert explain.kept(args) == none
    assert cli.main(words("openai", server, data)) == 0
    os.remove(explanations_path(data, 0))
    assert explain.kept(args) == f"{none}, all answers so far in {data / 'asked.sqlite'}"


def test_a_model_in_this_process_writes(tmp_path: Path, data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base = tiny.save_base("llama", tmp_path / "model")
    (tmp_path / "prompt.txt").write_text("{text}")
    given = ["--writer", f"local:{base}", "--prompt", str(tmp_path / "prompt.txt"), "--max-tokens", "8"]
    assert cli.main(["explain", "--data", str(data), *given, "--device", "cpu"]) == 0
    assert f"18 requests to local:{base}: " in capsys.readouterr().out
    assert {name.rpartition("/")[0] for name in Activations.load(data).column("writer")} == {f"local:{base}"}
