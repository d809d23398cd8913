"""The functions that reach into a model find the same things in every family."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from thinkaloud import families
from thinkaloud.errors import UserError
from thinkaloud.loading import load_backbone, load_causal_lm
from thinkaloud.pair.formats import official

FAMILIES = sorted(tiny.CONFIGS)
IDS = torch.randint(0, 256, (2, 11), generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def built() -> dict[str, Any]:
    return {name: tiny.model(name) for name in FAMILIES}


def full_states(model: Any, ids: torch.Tensor = IDS) -> tuple[torch.Tensor, ...]:
    with torch.no_grad():
        return model(input_ids=ids, output_hidden_states=True).hidden_states


def test_every_named_family_is_tried() -> None:
    assert {*families.FAMILIES, *families.WRAPPERS} == set(FAMILIES)


@pytest.mark.parametrize("name", FAMILIES)
def test_truncated_gives_the_blocks_output(built: dict[str, Any], name: str) -> None:
    states = full_states(built[name])
    for layer in range(3):  # the last entry of hidden_states is behind the final norm
        view = families.truncated(built[name], layer)
        with torch.no_grad():
            found = view(input_ids=IDS, use_cache=False).last_hidden_state
        assert torch.equal(found, states[layer + 1])
        assert families.n_blocks(view) == layer + 1
        assert families.d_model(view) == 32
    assert families.n_blocks(built[name]) == 4, "the model itself keeps its blocks"


@pytest.mark.parametrize("name", FAMILIES)
def test_truncated_at_the_last_block_has_no_final_norm(built: dict[str, Any], name: str) -> None:
    seen: list[torch.Tensor] = []
    hook = families.blocks(built[name])[3].register_forward_hook(
        lambda _module, _args, out: seen.append(out[0] if isinstance(out, tuple) else out)
    )
    last = full_states(built[name])[-1]
    hook.remove()
    with torch.no_grad():
        found = families.truncated(built[name], 3)(input_ids=IDS, use_cache=False).last_hidden_state
    assert torch.equal(found, seen[0])
    assert not torch.allclose(found, last), "the final norm changes something in this model"


@pytest.mark.parametrize("name", FAMILIES)
def test_right_padding_without_a_mask_changes_nothing(built: dict[str, Any], name: str) -> None:
    view = families.truncated(built[name], 2)
    padded = torch.cat([IDS, torch.zeros(2, 6, dtype=IDS.dtype)], dim=1)
    with torch.no_grad():
        alone = view(input_ids=IDS, use_cache=False).last_hidden_state
        beside = view(input_ids=padded, use_cache=False).last_hidden_state[:, : IDS.shape[1]]
    torch.testing.assert_close(beside, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_embeddings_are_what_block_0_sees(built: dict[str, Any], name: str) -> None:
    model, seen = built[name], []
    hook = families.blocks(model)[0].register_forward_pre_hook(
        lambda _module, args, kwargs: seen.append(args[0] if args else kwargs["hidden_states"]), with_kwargs=True
    )
    with torch.no_grad():
        embeds = families.embed(model, IDS)
        by_ids = model(input_ids=IDS).logits
        by_embeds = families.text_model(model)(inputs_embeds=embeds).last_hidden_state
        entering = families.entering_block_0(model, embeds)
    hook.remove()
    assert torch.equal(seen[0], entering)
    assert torch.equal(seen[1], entering)
    assert torch.equal(families.logits(model, by_embeds), by_ids)


@pytest.mark.parametrize("name", FAMILIES)
def test_embed_scale(built: dict[str, Any], name: str) -> None:
    module = families.embedding(built[name])
    scaled = module.weight[IDS] * families.embed_scale(built[name])
    torch.testing.assert_close(families.embed(built[name], IDS), scaled)
    assert families.embed_scale(built[name]) == pytest.approx(32**0.5 if name.startswith("gemma") else 1.0)


def test_logits_keep_the_soft_cap() -> None:
    model = tiny.model("gemma2", final_logit_softcapping=0.5)
    with torch.no_grad():
        hidden = families.text_model(model)(input_ids=IDS).last_hidden_state
        found = families.logits(model, hidden)
        assert torch.equal(found, model(input_ids=IDS).logits)
    assert found.abs().max() <= 0.5


@pytest.mark.parametrize("name", FAMILIES)
def test_a_stack_saves_and_loads(built: dict[str, Any], name: str, tmp_path: Path) -> None:
    view = families.truncated(built[name], 2)
    official.save_model(view, tmp_path, packed=False)
    loaded = load_backbone(tmp_path, 2, "cpu")
    with torch.no_grad():
        wanted = view(input_ids=IDS, use_cache=False).last_hidden_state
        assert torch.equal(loaded(input_ids=IDS, use_cache=False).last_hidden_state, wanted)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_whole_model_saves_and_loads(built: dict[str, Any], name: str, tmp_path: Path) -> None:
    official.save_model(built[name], tmp_path, packed=False)
    loaded = load_causal_lm(tmp_path, "cpu")
    with torch.no_grad():
        assert torch.equal(loaded(input_ids=IDS).logits, built[name](input_ids=IDS).logits)
    backbone = load_backbone(tmp_path, 1, "cpu")
    with torch.no_grad():
        cut = backbone(input_ids=IDS, use_cache=False).last_hidden_state
    assert torch.equal(cut, full_states(built[name])[2])


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_a_peft_wrapper_is_looked_through(name: str) -> None:
    from peft import LoraConfig, get_peft_model

    targets = ["c_attn"] if name == "gpt2" else r".*language_model.*q_proj" if name == "gemma3" else ["q_proj"]
    model = tiny.model(name)
    before = full_states(model)[2]
    wrapped: Any = get_peft_model(model, LoraConfig(r=2, target_modules=targets))
    with torch.no_grad():
        for key, parameter in wrapped.named_parameters():
            if "lora_B" in key:
                parameter.normal_()
        found = families.truncated(wrapped, 1)(input_ids=IDS, use_cache=False).last_hidden_state
        wanted = wrapped(input_ids=IDS, output_hidden_states=True).hidden_states[2]
    assert torch.equal(found, wanted)
    assert not torch.allclose(found, before), "the adapter counts"
    assert families.n_blocks(wrapped) == 4
    assert families.n_blocks(families.unwrap(wrapped)) == 4
    assert families.end_ids(wrapped, tiny.tokenizer()) == families.end_ids(model, tiny.tokenizer())


def test_end_ids_are_those_of_generation_config_and_tokenizer() -> None:
    model = tiny.model("llama")
    model.generation_config.eos_token_id = [3, 9]
    assert families.end_ids(model, tiny.tokenizer()) == (3, 9, 257)


def test_an_unknown_family_is_refused() -> None:
    from transformers import AutoConfig

    with pytest.raises(UserError, match="model type 'bert' is not supported: expected one of llama, mistral"):
        families.family_of(AutoConfig.for_model("bert"))


def test_a_bare_stack_has_no_head() -> None:
    with pytest.raises(UserError, match="no output head"):
        families.head(families.text_model(tiny.model("llama")))
