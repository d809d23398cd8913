"""A warm start goes on from the AV or AR of a pair; one of another model, site or mode is refused."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from thinkaloud.config.train import ARWarmStart, AVWarmStart
from thinkaloud.errors import UserError
from thinkaloud.pair.formats import read_contract, save
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.site import Site
from thinkaloud.training.data import load_rows
from thinkaloud.training.sft import warm_start
from thinkaloud.training.tasks import build


def made(data: Path, role: str, start: Path | str, **changes: Any) -> Any:
    config = (AVWarmStart if role == "av" else ARWarmStart)(data=str(data), out="o", start=str(start), **changes)
    train, found = load_rows(data, "train", 0, 6)
    held, _ = load_rows(data, "heldout", 0, 6)
    assert found.manifest is not None
    return build(config, train, held, found.manifest)


@pytest.mark.parametrize("role", ["av", "ar"])
@pytest.mark.parametrize("name", ["pair", "half"])
def test_it_begins_with_the_weights_and_the_contract_of_the_start(data: Path, pair: Path, role: str, name: str) -> None:
    task = made(data, role, pair if name == "pair" else pair / role)
    before = (Verbalizer.from_pretrained if role == "av" else Reconstructor.from_pretrained)(pair / role)
    weights = (before.model if role == "av" else before.backbone).state_dict()
    ours = (task.verbalizer.model if role == "av" else task.reconstructor.backbone).state_dict()
    assert ours.keys() == weights.keys()
    assert all(torch.equal(ours[key], value) for key, value in weights.items())
    if role == "ar":
        assert torch.equal(task.reconstructor.head.weight, before.head.weight)
    found, was = task.part.contract, before.contract
    same = ("av_template", "ar_template", "marker", "injection", "injection_scale", "site", "ar_suffix_ids")
    assert [getattr(found, field) for field in same] == [getattr(was, field) for field in same]
    assert (found.stage, found.provenance["start"]) == ("warmstart", str(pair if name == "pair" else pair / role))
    assert found.baseline == task.held.baseline
    assert all(p.requires_grad for p in task.module.parameters())


def test_it_learns_from_there_and_can_be_gone_on_from_again(data: Path, pair: Path, tmp_path: Path) -> None:
    few: dict[str, Any] = {"data": str(data), "batch": 8, "store": "float32", "rows": 16}
    first = warm_start(ARWarmStart.of(**few, out=str(tmp_path / "one"), start=str(pair)))
    second = warm_start(ARWarmStart.of(**few, out=str(tmp_path / "two"), start=str(tmp_path / "one")))
    contract = read_contract(second, "ar")
    assert contract.provenance["start"] == str(tmp_path / "one")
    assert contract.provenance["rows"] == 16
    assert contract.provenance["heldout"].keys() >= {"heldout_fve", "heldout_fve_shuffled_pairs"}
    one, two = Reconstructor.from_pretrained(first), Reconstructor.from_pretrained(second)
    assert not torch.equal(one.head.weight, two.head.weight)


def test_an_adapter_goes_on_as_one(data: Path, base: Path, tmp_path: Path) -> None:
    first = warm_start(
        ARWarmStart.of(data=str(data), out=str(tmp_path / "a"), mode="adapter", adapter_rank=4, batch=16, rows=16)
    )
    task = made(data, "ar", first, mode="adapter")
    learning = {name for name, p in task.module.named_parameters() if p.requires_grad}
    assert all("lora_" in name or name == "head.weight" for name in learning)
    assert any("lora_" in name for name in learning)
    with pytest.raises(UserError, match="is an adapter: go on with --mode adapter"):
        made(data, "ar", first)


def test_what_does_not_fit_is_refused(data: Path, pair: Path, base: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"pair\d+ is whole: go on with --mode full"):
        made(data, "ar", pair, mode="adapter")
    with pytest.raises(UserError, match=r"ar_template is that of .*: leave it out with --start"):
        made(data, "ar", pair, ar_template="{explanation} so:")
    with pytest.raises(UserError, match="av_template is that of"):
        made(data, "av", pair, av_template="Say {injection_char} aloud")
    with pytest.raises(UserError, match="give start or model, not both"):
        made(data, "ar", pair, model=str(base))
    with pytest.raises(UserError, match="is no pair, no AV and no AR"):
        made(data, "ar", base)
    with pytest.raises(UserError, match=r"holds activations of .*, pocket reads resid_post:5: extract with --nla"):
        made(data, "ar", "pocket")
    av = tiny.closing_verbalizer()
    elsewhere = replace(av, contract=replace(av.contract, site=Site("resid_post", 1)))
    save(elsewhere, tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"elsewhere reads .*extract with --nla"):
        made(data, "av", tmp_path / "elsewhere")
    tiny.model("llama", max_position_embeddings=1024, seed=5).save_pretrained(str(tmp_path / "other"))
    ar = tiny.reconstructor()
    foreign = replace(ar, contract=replace(ar.contract, base_model=str(tmp_path / "other")))
    save(foreign, tmp_path / "foreign")
    with pytest.raises(UserError, match=r"holds activations of .*, .*foreign reads .*other: extract with --nla"):
        made(data, "ar", tmp_path / "foreign")
