"""A checkpoint in the official layout means to the package what it means to code that shares nothing with it.

The bar: injected embeddings and reconstructions within 1e-5 of plain PyTorch, in float32.
"""

from pathlib import Path
from typing import Any

import handmade
import plain
import pytest
import tiny
import torch
import yaml
from safetensors.torch import load_file, save_file

from thinkaloud import contract as contracts
from thinkaloud import families
from thinkaloud.errors import UserError
from thinkaloud.pair.formats import save
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.site import Site

BAR = 1e-5
LAYER, SCALE = 3, 4.5
FAMILIES = sorted(handmade.FAMILIES)
TEXTS = ["a short one", "the clause names a river and expects where it flows next", "x"]

# Every spelling of a sidecar that has been seen: template keys, layer key, mse_scale, and the root of the target.
SPELLINGS: dict[str, dict[str, Any]] = {
    "new": {"roles": ("av", "ar"), "layer": {"critic": {"extraction_layer_index": LAYER}}, "mse": 32**0.5},
    "old": {"roles": ("actor", "critic"), "layer": {"critic": {"num_hidden_layers": LAYER}}, "mse": "sqrt_d_model"},
    "third": {"roles": ("av", "ar"), "layer": {"ar": {"num_hidden_layers": LAYER}}, "mse": None},
}


def sidecar(role: str, spelling: dict[str, Any]) -> dict[str, Any]:
    first, second = spelling["roles"]
    data = {
        "kind": "nla_model",
        "schema_version": 1,
        "role": {"av": first, "ar": second}[role],
        "d_model": handmade.D,
        "extraction": {"injection_scale": SCALE} if role == "av" else {"mse_scale": spelling["mse"]},
        "tokens": handmade.token_section(),
        "prompt_templates": {first: tiny.AV_TEMPLATE, second: tiny.AR_TEMPLATE},
    }
    return data if role == "av" else {**data, **spelling["layer"]}


def write_av(folder: Path, family: str, spelling: str = "new") -> dict[str, torch.Tensor]:
    tensors = handmade.base(folder, family, blocks=5)
    (folder / "nla_meta.yaml").write_text(yaml.safe_dump(sidecar("av", SPELLINGS[spelling]), allow_unicode=True))
    return tensors


def write_ar(folder: Path, family: str, spelling: str = "new") -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    tensors = handmade.tensors(family, LAYER + 1, seed=7, whole=False)
    handmade.write(folder, handmade.config(family, LAYER + 1), tensors)
    head = tiny.head().weight.detach()
    save_file({"weight": head.contiguous()}, str(folder / "value_head.safetensors"))
    (folder / "nla_meta.yaml").write_text(yaml.safe_dump(sidecar("ar", SPELLINGS[spelling]), allow_unicode=True))
    return tensors, head


def difference(found: torch.Tensor, wanted: torch.Tensor) -> float:
    assert found.shape == wanted.shape
    assert wanted.dtype == torch.float64
    return float((found.double() - wanted).abs().max())


def double(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: tensor.double() for name, tensor in tensors.items()}


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_injected_embeddings_equal_plain_pytorch(family: str, spelling: str, tmp_path: Path) -> None:
    tensors = double(write_av(tmp_path, family, spelling))
    vectors = tiny.vectors(3)
    av = Verbalizer.from_pretrained(tmp_path, device="cpu")
    ids, place = handmade.av_ids()
    settings = handmade.config(family, 5)
    wanted = torch.stack([plain.embed(tensors, settings, ids)] * 3)
    for row, vector in enumerate(vectors.double()):
        wanted[row, place] = vector * SCALE / vector.pow(2).sum().sqrt()
    with torch.no_grad():
        found = av.prompt_embeds(vectors)
        hidden = families.text_model(av.model)(inputs_embeds=found, use_cache=False).last_hidden_state
        logits = families.logits(av.model, hidden)
    streams = torch.stack([plain.blocks(tensors, settings, row, 0, 4) for row in wanted])
    embeds_off = difference(found, wanted)
    logits_off = difference(logits, plain.logits(tensors, settings, streams))
    print(f"{family} {spelling}: embeddings {embeds_off:.1e}, logits {logits_off:.1e}")
    assert av.prompt_ids.tolist() == ids
    assert av.slots == [place]
    assert embeds_off <= BAR
    assert logits_off <= 1e-4


@pytest.mark.parametrize("spelling", SPELLINGS)
@pytest.mark.parametrize("family", FAMILIES)
def test_reconstructions_equal_plain_pytorch(family: str, spelling: str, tmp_path: Path) -> None:
    saved, head = write_ar(tmp_path, family, spelling)
    tensors = double(saved)
    ar = Reconstructor.from_pretrained(tmp_path, device="cpu")
    settings = handmade.config(family, LAYER + 1)
    wanted = []
    for text in TEXTS:
        stream = plain.blocks(tensors, settings, plain.embed(tensors, settings, handmade.ar_ids(text)), 0, LAYER)
        wanted.append(stream[-1] @ head.double().T)
    off = difference(ar.reconstruct(TEXTS), torch.stack(wanted))
    print(f"{family} {spelling}: reconstructions {off:.1e}, of up to {torch.stack(wanted).abs().max():.1f}")
    assert off <= BAR
    assert ar.contract.site == Site("resid_post", LAYER)
    assert ar.contract.mse_scale == (None if spelling == "third" else pytest.approx(32**0.5))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_pair_loads_as_it_was(family: str, tmp_path: Path) -> None:
    write_av(tmp_path / "av", family)
    write_ar(tmp_path / "ar", family)
    av, ar = (
        Verbalizer.from_pretrained(tmp_path / "av", device="cpu"),
        Reconstructor.from_pretrained(tmp_path / "ar", device="cpu"),
    )
    save(av, tmp_path / "av2")
    save(ar, tmp_path / "ar2")
    av2, ar2 = (
        Verbalizer.from_pretrained(tmp_path / "av2", device="cpu"),
        Reconstructor.from_pretrained(tmp_path / "ar2", device="cpu"),
    )
    assert (av2.contract, ar2.contract) == (av.contract, ar.contract)
    assert torch.equal(ar2.reconstruct(TEXTS), ar.reconstruct(TEXTS))
    vectors = tiny.vectors(2)
    with torch.no_grad():
        assert torch.equal(av2.prompt_embeds(vectors), av.prompt_embeds(vectors))
    assert av2.explain(vectors) == av.explain(vectors)


def test_an_ar_is_saved_with_a_config_of_its_own_length(tmp_path: Path) -> None:
    ar = tiny.reconstructor("qwen2", layer=1)
    save(ar, tmp_path)
    import json

    assert json.loads((tmp_path / "config.json").read_text())["num_hidden_layers"] == 2
    keys = load_file(str(tmp_path / "model.safetensors"))
    assert {key.split(".")[2] for key in keys if ".layers." in key} == {"0", "1"}


@pytest.mark.parametrize("names", ["older", "newer"])
def test_both_key_names_of_the_gemma_wrapper_load(names: str, tmp_path: Path) -> None:
    model = tiny.model("gemma3")
    model.save_pretrained(str(tmp_path))
    state = load_file(str(tmp_path / "model.safetensors"))
    assert "language_model.model.embed_tokens.weight" in state, "Transformers writes the older names"
    if names == "newer":
        state = {f"model.{key.replace('language_model.model.', 'language_model.')}": v for key, v in state.items()}
        save_file(state, str(tmp_path / "model.safetensors"), metadata={"format": "pt"})
    tiny.tokenizer().save_pretrained(str(tmp_path))
    contracts.write(tiny.av_contract(tiny.tokenizer()), tmp_path)
    av = Verbalizer.from_pretrained(tmp_path, device="cpu")
    ids = av.prompt_ids[None]
    with torch.no_grad():
        assert torch.equal(av.model(input_ids=ids).logits, model(input_ids=ids).logits)


@pytest.mark.parametrize("family", ["llama", "gemma3", "gemma3_text", "gpt2"])
def test_eight_bit_pairs_load(family: str, tmp_path: Path) -> None:
    av, ar = tiny.verbalizer(family), tiny.reconstructor(family)
    save(av, tmp_path / "av", "int8")
    save(ar, tmp_path / "ar", "int8")
    av2, ar2 = (
        Verbalizer.from_pretrained(tmp_path / "av", device="cpu"),
        Reconstructor.from_pretrained(tmp_path / "ar", device="cpu"),
    )
    cosine = torch.nn.functional.cosine_similarity(ar2.reconstruct(TEXTS), ar.reconstruct(TEXTS))
    assert cosine.min() > 0.99
    with torch.no_grad():
        weight, stored = families.embedding(av.model).weight, families.embedding(av2.model).weight
    assert (weight - stored).abs().max() <= weight.abs().max() / 127
    save(av2, tmp_path / "again", "int8")
    third = Verbalizer.from_pretrained(tmp_path / "again", device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(third.model.parameters(), av2.model.parameters(), strict=True)), (
        "what has been packed once packs to the same"
    )


def test_what_is_wrong_with_a_checkpoint_is_said(tmp_path: Path) -> None:
    write_ar(tmp_path, "llama")
    with pytest.raises(UserError, match="is an AR: expected an AV"):
        Verbalizer.from_pretrained(tmp_path)
    (tmp_path / "value_head.safetensors").unlink()
    with pytest.raises(UserError, match=r"no value_head\.safetensors .* useless without its head"):
        Reconstructor.from_pretrained(tmp_path)
    save_file({"weight": torch.eye(8)}, str(tmp_path / "value_head.safetensors"))
    with pytest.raises(UserError, match=r"is \(8, 8\), the contract says d_model 32"):
        Reconstructor.from_pretrained(tmp_path)
    save_file({"head": torch.eye(32)}, str(tmp_path / "value_head.safetensors"))
    with pytest.raises(UserError, match="must hold the key 'weight' alone, found head"):
        Reconstructor.from_pretrained(tmp_path)


def test_weights_of_another_depth_than_the_config_are_refused(tmp_path: Path) -> None:
    write_ar(tmp_path, "llama")
    weights = load_file(str(tmp_path / "model.safetensors"))
    handmade.write(tmp_path, handmade.config("llama", 5), weights)  # the full model's depth over a cut model's weights
    data = sidecar("ar", SPELLINGS["new"])
    data["critic"] = {"extraction_layer_index": 4}
    (tmp_path / "nla_meta.yaml").write_text(yaml.safe_dump(data, allow_unicode=True))
    with pytest.raises(UserError, match=r"lacks 9 weights that its config\.json names, model\.layers\.4"):
        Reconstructor.from_pretrained(tmp_path)
