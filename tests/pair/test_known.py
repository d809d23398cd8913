"""The pairs known by name say what their checkpoints say, where a name leads, and whether a base is the one meant."""

from pathlib import Path

import pytest
import tiny

from thinkaloud import NLA, cli, loading, packages
from thinkaloud.activations.store import check_read_by
from thinkaloud.errors import UserError
from thinkaloud.fingerprint import same_model, weights_hash
from thinkaloud.pair.doctor import find
from thinkaloud.pair.formats import adapters, read_contract, save
from thinkaloud.pair.known import is_bundled, known, other_base, paths
from thinkaloud.pair.nla import pair_paths
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer


@pytest.mark.parametrize("name", filter(is_bundled, known()))
def test_a_bundled_pair_is_the_one_that_is_listed(name: str) -> None:
    pair = known()[name]
    assert {part: weights_hash(pair[part]) for part in ("av", "ar")}.items() <= pair["hash"].items()
    assert other_base([name], pair["base"]) is None
    assert str(read_contract(pair["ar"], "ar").site) == pair["site"]
    assert 0 < pair["figures"]["fve"] < pair["figures"]["fve_written"] < 1


@pytest.mark.parametrize("name", [name for name, pair in known().items() if pair["where"] == "hub"])
def test_pairs_of_the_hub_lead_to_their_halves(name: str) -> None:
    av, ar, base = pair_paths(name)
    assert (av, ar, base) == (f"{name}-av", f"{name}-ar", None)
    assert known()[name]["site"] == f"resid_post:{name.rpartition('-L')[2]}"


def test_a_revision_pins_each_half() -> None:
    pair = {"where": "hub", "av": "a/b-av", "ar": "a/b-ar", "site": "resid_post:3", "revision": {"av": "1" * 40}}
    assert paths(pair) == (f"a/b-av@{'1' * 40}", "a/b-ar", None)


@pytest.mark.parametrize("name", known())
def test_every_pair_has_the_keys_that_are_explained_and_no_others(name: str) -> None:
    assert {"where", "av", "ar", "site"} <= known()[name].keys()
    assert known()[name].keys() <= {"where", "av", "ar", "site", "base", "revision", "hash", "figures"}


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation without weights, and a tiny model in the cache where SmolLM2 lies."""
    monkeypatch.setattr(loading, "__file__", str(tmp_path / "src" / "thinkaloud" / "loading.py"))
    monkeypatch.setenv("THINKALOUD_CACHE", str(tmp_path / "cache"))
    tiny.save_base("llama", packages.packaged()["smollm2"].folder)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def stand_in(checkout: Path) -> Path:
    """The same with a pair of tiny adapters in place of smollm2's."""
    tok, base = tiny.tokenizer(), "smollm2"
    av = Verbalizer(adapters.fresh(tiny.model("llama"), 2, 4), tok, tiny.av_contract(tok, base_model=base))
    stack = adapters.fresh(loading.load_backbone(base, 2), 2, 4)
    ar = Reconstructor(stack, tiny.head(), tok, tiny.ar_contract(base_model=base))
    for part in (av, ar):
        save(part, checkout / "models" / "smollm2" / part.contract.role, "int8")
    return checkout


def test_a_pair_over_a_packaged_model_goes_by_the_models_name(
    stand_in: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (stand_in / "smollm2").mkdir()  # a folder of one's own does not take the name away
    meant = {**known()["smollm2"], "hash": {"base": weights_hash("smollm2")}}
    monkeypatch.setitem(known(), "smollm2", meant)  # type: ignore[arg-type]
    nla = NLA.from_pretrained("smollm2")
    assert (nla.base, nla.name) == ("smollm2", "smollm2")
    assert find("smollm2").av == "smollm2/av"
    assert cli.main(["read", "The sea.", "--nla", "smollm2", "--positions", "last", "--max-tokens", "3"]) == 0
    said = capsys.readouterr()
    assert "pair  smollm2" in said.out
    assert "other weights" not in said.err


def test_a_base_with_other_weights_is_said_and_told_apart(stand_in: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tiny.save_base("llama", stand_in / "hub", seed=3)
    for named in (["--nla", "smollm2"], ["--av", "smollm2/av", "--ar", "smollm2/ar"]):
        read = ["read", "The sea.", *named, "--base", str(other), "--positions", "last", "--max-tokens", "3", "--json"]
        assert cli.main(read) == 0
        (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("thinkaloud:"))
        expected = known()["smollm2"]["hash"]["base"]
        assert f"the pair smollm2 was trained on other weights than those of {other}" in line
        assert f"hash {weights_hash(other)}, expected {expected}" in line
    assert not same_model("smollm2", str(other))
    manifest = {"site": {"kind": "resid_post", "layer": 2}, "d_model": 32, "model": {"name": str(other)}}
    with pytest.raises(UserError, match=r"holds activations of .*hub, the pair reads smollm2"):
        check_read_by("the pair", "data", manifest, None, 32, "smollm2")


def test_without_its_weights_the_name_is_that_of_the_model(checkout: Path) -> None:
    assert not is_bundled("smollm2")
    assert find("smollm2").av is None
    with pytest.raises(UserError, match="smollm2/av is not bundled with this installation"):
        NLA.from_pretrained("smollm2")
