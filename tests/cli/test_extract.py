"""Does `thinkaloud extract` take activations of a model or of a pair's model, and say what it wrote?"""

import json
from pathlib import Path

import pytest
import tiny

from thinkaloud import cli, contract
from thinkaloud.activations import Activations
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
    assert printed.out.splitlines()[-1] == f"next: thinkaloud explain --data {out}"
    assert printed.err == "", "no progress where nobody watches"
    assert found.site == Site("resid_post", 2)
    assert len(found) == 27

    assert cli.main(["extract", "--model", str(model), "--layer", "1", *arguments]) == 2
    assert "was begun with site.layer = 2, now it is 1" in capsys.readouterr().err


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
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    tmp_path: Path, model: Path, corpus: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(model) if a == "MODEL" else a for a in arguments]
    assert cli.main(["extract", *given, "--corpus", str(corpus), "--out", str(tmp_path / "data")]) == 2
    printed = capsys.readouterr()
    assert message in printed.err
    assert len(printed.err.splitlines()) == 1
    assert not (tmp_path / "data").exists()
