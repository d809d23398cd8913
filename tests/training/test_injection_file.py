"""A kind of injection that a Python file registers is trained and read from the command line, where one says so."""

import json
import shutil
from pathlib import Path

import pytest
import tiny
import yaml

from thinkaloud import cli, injection
from thinkaloud.activations import extract
from thinkaloud.contract import FILE, from_dict
from thinkaloud.errors import UserError
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.rollout.base import Sampling
from thinkaloud.site import Site

KIND = Path(tiny.__file__).with_name("new_injection.py")


@pytest.fixture(autouse=True)
def registered_here_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(injection.injection, "_parts", dict(injection.injection))
    monkeypatch.delenv(injection.VARIABLE, raising=False)


def run(*arguments: object) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_a_kind_of_a_file_is_trained_and_read(
    base: Path, data: Path, pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    mine, file = tmp_path / "pair", shutil.copy(KIND, tmp_path / "summed.py")
    train = ["warmstart", "av", "--data", data, "--av-template", tiny.AV_TEMPLATE, "--batch", 6, "--rows", 12]
    assert run(*train, "--out", mine / "av", "--injection", file, "--device", "cpu") == 0
    contract = yaml.safe_load((mine / "av" / "model" / FILE).read_text())
    assert contract["thinkaloud"]["injection"] == "embedding_sum", "the name, and no file to be run"
    shutil.copytree(pair / "ar", mine / "ar")
    read = ["read", "the boats stayed", "--nla", mine, "--positions", "last", "--max-tokens", 4]

    monkeypatch.setattr(injection.injection, "_parts", {n: injection.injection[n] for n in ("replace", "add")})
    monkeypatch.setattr(injection.injection, "_files", {})
    capsys.readouterr()
    assert run(*read) == 2
    found = capsys.readouterr().err
    assert "injection must be one of replace, add, found 'embedding_sum': if a Python file of yours" in found
    assert found.endswith("set THINKALOUD_INJECTION to the file\n")

    monkeypatch.setenv("THINKALOUD_INJECTION", str(tmp_path / "gone.py"))
    assert run(*read) == 2
    assert "gone.py: a kind of injection is a name, or a Python file that registers one" in capsys.readouterr().err

    monkeypatch.setenv("THINKALOUD_INJECTION", str(file))
    assert run(*read, "--json") == 0
    said = json.loads(capsys.readouterr().out)["explanations"][0]["text"]
    assert said
    by_hand = Verbalizer.from_pretrained(mine / "av")
    assert type(by_hand.injection).__name__ == "EmbeddingSum"
    vectors = extract(base, ["the boats stayed"], Site("resid_post", 2), "last").vectors
    assert said == by_hand.explain(vectors, sampling=Sampling(max_tokens=4))[0][0].text


def test_a_file_that_is_not_there_is_one_line(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "av"
    assert run("warmstart", "av", "--data", data, "--out", out, "--injection", tmp_path / "gone.py") == 2
    assert "gone.py: a kind of injection is a name, or a Python file that registers one" in capsys.readouterr().err
    assert not out.exists()


def test_a_file_that_a_checkpoint_names_is_not_run(pair: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("raise SystemExit('ran')")
    monkeypatch.chdir(tmp_path)
    data = yaml.safe_load((pair / "av" / FILE).read_text())
    data["thinkaloud"]["injection"] = "mine.py"
    with pytest.raises(UserError, match=r"injection must be one of replace, add, found 'mine\.py'"):
        from_dict(data)
