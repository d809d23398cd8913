"""`thinkaloud extract` takes activations of a model or of a pair's model, and says what it wrote."""

import json
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tiny

from thinkaloud import cli, contract
from thinkaloud.activations import Activations, split_of
from thinkaloud.site import Site


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save_base("llama", tmp_path_factory.mktemp("model"))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    path = tmp_path / "corpus.jsonl"
    rows = [json.dumps({"text": f"document {i} " + "and so on " * i}) for i in range(8)]
    path.write_text("\n".join([*rows, json.dumps({"text": "x" * 300}), "not json"]) + "\n")
    return path


def test_a_model_at_a_layer(tmp_path: Path, model: Path, corpus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "data"
    arguments = ["--corpus", str(corpus), "--out", str(out), "--min-position", "5", "--positions", "3"]
    assert cli.main(["extract", "--model", str(model), "--layer", "2", *arguments]) == 0
    printed = capsys.readouterr()
    found = Activations.load(out)
    assert f"{out}: {len(found)} activations" in printed.out
    assert "documents longer than the context, cut there: 1 (" in printed.out
    assert "rows that could not be read, passed over: 1 (the first: corpus.jsonl row 9: not JSON" in printed.out
    lacking = "held-out documents: 0 of 9, so no rows to judge a training by; give more documents"
    assert printed.out.splitlines()[0] == lacking, "before the model loads"
    assert printed.out.count("held-out documents") == 1
    assert printed.out.splitlines()[-1] == f"next: thinkaloud explain --data {out}"
    assert printed.err == "", "no progress where nobody watches"
    assert found.site == Site("resid_post", 2)
    assert len(found) == 27

    assert cli.main(["extract", "--model", str(model), "--layer", "1", *arguments]) == 2
    assert "was begun with site.layer = 2, now it is 1" in capsys.readouterr().err


def test_few_held_out_documents_are_told_once_more_only_where_it_was_not_known(
    tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus = tmp_path / "corpus.jsonl"
    held = [i for i in range(200) if split_of(f"corpus.jsonl:{i}", 0.1) == "heldout"]
    rows = [
        "and so on it went" if i not in held[1:] else "x" for i in range(200)
    ]  # a long enough one alone is held out
    corpus.write_text("".join(json.dumps({"text": text}) + "\n" for text in rows))
    given = ["--model", str(model), "--layer", "2", "--corpus", str(corpus), "--min-position", "5", "--heldout", "0.1"]
    assert cli.main(["extract", *given, "--out", str(tmp_path / "data")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert not lines[0].startswith("held-out documents"), "there are several, before their tokens are counted"
    assert lines[-2].startswith("held-out documents: 1 of 200, too few for an interval")


def test_a_pair_names_its_model_and_layer(tmp_path: Path, model: Path, corpus: Path) -> None:
    pair = tmp_path / "pair"
    (pair / "av").mkdir(parents=True)
    (pair / "ar").mkdir()
    contract.write(tiny.ar_contract(layer=1, base_model=str(model)), pair / "ar")
    arguments = ["--corpus", str(corpus), "--min-position", "5", "--next-tokens", "2"]
    assert cli.main(["extract", "--nla", str(pair), *arguments, "--out", str(tmp_path / "named")]) == 0
    tiny.save_base("llama", pair / "base")
    assert cli.main(["extract", "--nla", str(pair), *arguments, "--out", str(tmp_path / "beside")]) == 0
    named, beside = Activations.load(tmp_path / "named"), Activations.load(tmp_path / "beside")
    assert named.site == beside.site == Site("resid_post", 1)
    assert named.vectors.equal(beside.vectors)
    assert len(named.column("next_tokens")[0]) == 2
    assert (named.manifest or {})["model"]["weights"] == (beside.manifest or {})["model"]["weights"]


SLOW = """
import signal, sys, time
from thinkaloud.activations import corpus
from thinkaloud.cli import main

read = corpus.Corpus.__iter__

def slowly(self):
    for document in read(self):
        time.sleep(0.02)
        yield document

corpus.Corpus.__iter__, corpus.CHEAP = slowly, 0
signal.signal(signal.SIGINT, signal.default_int_handler)  # tests run in the background inherit that it is ignored
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("kept", [True, False])
def test_ctrl_c_says_what_is_kept_and_the_command_to_go_on(tmp_path: Path, model: Path, kept: bool) -> None:
    corpus, out = tmp_path / "the corpus.jsonl", tmp_path / "data"
    corpus.write_text("".join(json.dumps({"text": f"document {i} and so on"}) + "\n" for i in range(2000)))
    command = ["extract", "--model", str(model), "--layer", "2", "--corpus", str(corpus), "--out", str(out)]
    command += ["--min-position", "5", "--positions", "1"]
    with subprocess.Popen([sys.executable, "-c", SLOW, *command], stderr=subprocess.PIPE, text=True) as child:
        deadline = time.monotonic() + 600
        while not (out / ("shard-00000.parquet" if kept else "extraction.json")).is_file():
            assert child.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        child.send_signal(signal.SIGINT)
        _, said = child.communicate(timeout=300)
    assert child.returncode == 130
    shards = sorted(out.glob("shard-*.parquet"))
    if not kept:
        assert said.startswith("stopped: nothing is kept of the first 256 documents, which were not done\nnext: ")
        assert not out.exists()
        return
    stopped, _, again = said.rstrip("\n").partition("\nnext: thinkaloud ")
    n = f"{len(shards)} finished shards" if len(shards) > 1 else "1 finished shard"
    assert stopped == f"stopped: {n} of 256 documents are kept in {out}"
    before = [path.stat().st_mtime_ns for path in shards]
    assert cli.main(shlex.split(again)) == 0
    assert [path.stat().st_mtime_ns for path in shards] == before
    assert len(Activations.load(out)) == 2000


def test_workers_say_when_others_are_missing(
    tmp_path: Path, model: Path, corpus: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--model", str(model), "--layer", "2", "--corpus", str(corpus), "--out", str(tmp_path / "data")]
    assert cli.main(["extract", *arguments, "--workers", "2", "--worker", "1"]) == 0
    assert "worker 1 of 2 is done; other workers' shards are still missing" in capsys.readouterr().out
    assert cli.main(["extract", *arguments, "--workers", "2", "--worker", "0"]) == 0
    assert "next: thinkaloud explain" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "say what to read: --nla PAIR, or --model M and --layer K"),
        (["--model", "MODEL"], "say what to read"),
        (["--nla", "pocket", "--layer", "2"], "not both"),
        (["--model", "MODEL", "--layer", "9"], "layer 9 is out of range"),
        (["--model", "MODEL", "--layer", "2", "--workers", "2", "--worker", "2"], "worker must be 0 to 1"),
        (["--model", "MODEL", "--layer", "2", "--window", "20"], "a window of 20 tokens has none"),
        (
            ["--model", "MODEL", "--layer", "2", "--window", "300"],
            "a window of 300 tokens is beyond the model's context",
        ),
        (
            ["--model", "MODEL", "--layer", "2", "--min-position", "256"],
            "min_position 256 is beyond the model's context",
        ),
        (["--model", "MODEL", "--layer", "2", "--min-position", "0", "--window", "1"], "window must be at least 2"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    tmp_path: Path, model: Path, corpus: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """And cost no waiting: the model's weights are not even there."""
    model = Path(shutil.copytree(model, tmp_path / "model", ignore=shutil.ignore_patterns("*.safetensors")))
    given = [str(model) if a == "MODEL" else a for a in arguments]
    assert cli.main(["extract", *given, "--corpus", str(corpus), "--out", str(tmp_path / "data")]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
    assert not (tmp_path / "data").exists()
