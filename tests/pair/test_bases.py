"""Adapters of a pair and M share the weights of one base, and read as if each had its own; packed ones come back."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from safetensors import safe_open
from torch import nn

from thinkaloud import NLA, families
from thinkaloud.loading import load_backbone, load_causal_lm
from thinkaloud.pair.formats import Bases, adapters, save
from thinkaloud.pair.formats.official import HEAD
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer

LAYER = 2
TEXTS = ["a short one", "the clause names a river and expects where it flows next"]
CHANGES = {"llama": {"tie_word_embeddings": True}, "gemma3": {}, "gpt2": {}}  # the last two tie by themselves


def with_adapter(model: Any, seed: int) -> Any:
    """`model` with a fresh adapter whose second factor is away from zero."""
    torch.manual_seed(seed)
    out = adapters.fresh(model, rank=4, alpha=16)
    with torch.no_grad():
        for name, parameter in out.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.05)
    return out.eval().requires_grad_(False)


def pair_over(base: Path, final_norm: bool = False) -> tuple[Verbalizer, Reconstructor]:
    """Two adapters over `base`, each with base weights of its own."""
    tok = tiny.tokenizer()
    av = Verbalizer(with_adapter(load_causal_lm(base), 1), tok, tiny.av_contract(tok, base_model=str(base)))
    stack = with_adapter(load_backbone(base, LAYER, final_norm=final_norm), 2)
    contract = tiny.ar_contract(layer=LAYER, base_model=str(base), final_norm=final_norm)
    return av, Reconstructor(stack, tiny.head(), tok, contract)


def places(model: nn.Module) -> set[int]:
    """Where a model's weights lie, but for those of adapters."""
    return {tensor.data_ptr() for name, tensor in model.named_parameters() if "lora_" not in name}


@pytest.fixture(params=CHANGES)
def base(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "base"
    tiny.model(request.param, **CHANGES[request.param]).save_pretrained(str(folder))
    tiny.tokenizer().save_pretrained(str(folder))
    return folder


@pytest.mark.parametrize("final_norm", [False, True])
def test_a_pair_of_adapters_shares_one_base_with_m(base: Path, final_norm: bool, tmp_path: Path) -> None:
    av, ar = pair_over(base, final_norm)
    save(av, tmp_path / "pair" / "av")
    save(ar, tmp_path / "pair" / "ar")
    nla, plain, vectors = NLA.from_pretrained(tmp_path / "pair", device="cpu"), load_causal_lm(base), tiny.vectors(2)
    ids = torch.arange(12)[None]
    for _ in range(2):  # none of the three disturbs another
        assert torch.equal(nla.model(input_ids=ids).logits, plain(input_ids=ids).logits)
        assert nla.verbalizer.explain(vectors) == av.explain(vectors)
        assert torch.equal(nla.reconstruct(TEXTS), ar.reconstruct(TEXTS))
    m, verbalizer, reconstructor = places(nla.model), places(nla.verbalizer.model), places(nla.reconstructor.backbone)
    assert m == verbalizer
    assert reconstructor <= m
    assert families.n_blocks(nla.model) == families.n_blocks(nla.verbalizer.model) > LAYER + 1
    assert not any("lora_" in name for name, _ in nla.model.named_parameters())


def test_what_is_trained_shares_nothing(base: Path, tmp_path: Path) -> None:
    for part in pair_over(base):
        save(part, tmp_path / part.contract.role)
    models = [
        Verbalizer.from_pretrained(tmp_path / "av", device="cpu").model,
        Reconstructor.from_pretrained(tmp_path / "ar", device="cpu").backbone,
        load_causal_lm(base),
    ]
    assert not any(places(one) & places(other) for one, other in combinations(models, 2))


def test_another_base_and_another_dtype_are_loaded_apart(base: Path, tmp_path: Path) -> None:
    bases = Bases()
    first = bases.model(base, "cpu", None)
    assert bases.model(str(base), None, torch.float32) is first
    assert bases.model(base, "cpu", "bfloat16") is not first
    other = tiny.save_base("llama", tmp_path / "other", seed=9)
    assert bases.model(other, "cpu", None) is not first


def test_a_packed_adapter_comes_back_within_rounding(base: Path, tmp_path: Path) -> None:
    for part in pair_over(base):
        role = part.contract.role
        before = part.model if isinstance(part, Verbalizer) else part.backbone
        save(part, tmp_path / role, "int8")
        for file in (tmp_path / role).glob("*.safetensors"):
            with safe_open(str(file), framework="pt") as opened:
                kinds = {opened.get_slice(name).get_dtype() for name in opened.keys()}  # noqa: SIM118
            assert kinds == {"I8", "F16"}, file
        assert not (tmp_path / role / "tokenizer.json").exists(), "it is that of the base"
        load = Verbalizer.from_pretrained if role == "av" else Reconstructor.from_pretrained
        after: Any = load(tmp_path / role, device="cpu")
        module = after.model if role == "av" else after.backbone
        for (name, old), (_, new) in zip(before.named_parameters(), module.named_parameters(), strict=True):
            if "lora_" in name:
                step = old.abs().amax(dim=1, keepdim=True) / 127
                assert ((old - new).abs() <= 0.51 * step + 1e-6).all(), name
            else:
                assert torch.equal(old, new), name
        if isinstance(part, Reconstructor):
            assert (tmp_path / role / HEAD).is_file()
            torch.testing.assert_close(after.head.weight, part.head.weight, atol=0.005, rtol=0)
            torch.testing.assert_close(after.reconstruct(TEXTS), part.reconstruct(TEXTS), atol=0.2, rtol=0.02)
        save(after, tmp_path / "again" / role, "int8")
        again: Any = load(tmp_path / "again" / role, device="cpu")
        second = again.model if role == "av" else again.backbone
        for (name, one), (_, two) in zip(module.named_parameters(), second.named_parameters(), strict=True):
            torch.testing.assert_close(one, two, atol=1e-6, rtol=1e-3, msg=name)
