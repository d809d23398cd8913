"""Every check passes on a sound pair, and each finds the damage that it is there for."""

import copy
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import real
import tiny
import torch
import yaml
from safetensors.torch import load_file, save_file

from thinkaloud import families
from thinkaloud.errors import UserError
from thinkaloud.loading import load_backbone, load_causal_lm
from thinkaloud.pair.doctor import Check, Patient, diagnose, find
from thinkaloud.pair.doctor.halves import check_reconstructor, check_verbalizer
from thinkaloud.pair.doctor.model import check_bos, check_model
from thinkaloud.pair.formats import save
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.site import Site

NAMES = [
    *("AV contract", "AR contract", "pair"),
    *("weights", "site", "truncated forward", "embedding scale", "BOS", "end ids", "context"),
    *("marker", "AV weights", "injection", "injected norm", "room"),
    *("AR weights", "AR head", "AR end", "AR BOS", "AR cut", "AR reading"),
]


def write_pair(folder: Path, family: str = "llama") -> Path:
    tiny.save_base(family, folder / "base")
    save(tiny.verbalizer(family), folder / "av")
    save(tiny.reconstructor(family, seed=0), folder / "ar")
    return folder


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pair(tmp_path_factory.mktemp("pair"))


@pytest.fixture
def pair(sound: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(sound, tmp_path / "pair"))


def off(checks: list[Check]) -> dict[str, Check]:
    return {check.name: check for check in checks if check.ok is False}


@pytest.mark.parametrize("family", ["llama", "gemma3_text", "gemma3", "gpt2", "phi3"])
def test_a_sound_pair_is_all_good(family: str, tmp_path: Path) -> None:
    checks = diagnose(find(write_pair(tmp_path, family)))
    assert [check.name for check in checks] == NAMES
    assert not off(checks)
    assert all(check.ok for check in checks)


@pytest.mark.parametrize("injection", ["replace", "add"])
def test_a_pair_of_adapters_is_all_good(injection: str, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model

    base, tok = tiny.save_base("llama", tmp_path / "base"), tiny.tokenizer()

    def adapted(model: Any) -> Any:
        out: Any = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"]))
        for name, parameter in out.named_parameters():
            if "lora_B" in name:
                torch.nn.init.normal_(parameter)
        return out.eval()

    contract = tiny.av_contract(tok, base_model=str(base), injection=injection)
    save(Verbalizer(adapted(load_causal_lm(base)), tok, contract), tmp_path / "av")
    ar = Reconstructor(adapted(load_backbone(base, 2)), tiny.head(), tok, tiny.ar_contract(base_model=str(base)))
    save(ar, tmp_path / "ar")
    checks = diagnose(find(None, tmp_path / "av", tmp_path / "ar"))
    assert [check.name for check in checks] == NAMES
    assert not off(checks)
    cut = next(check for check in checks if check.name == "AR cut")
    assert cut.found == "its base at block 2, off by 0.0e+00"


def test_what_a_name_means(pair: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find(pair) == Patient(pair / "base", pair / "av", pair / "ar")
    assert find(pair / "base") == Patient(base=pair / "base")
    assert find(pair / "av") == Patient(av=pair / "av")
    assert find(pair / "ar") == Patient(ar=pair / "ar")
    assert find(pair / "base", "x", "y") == Patient(pair / "base", "x", "y")
    with pytest.raises(UserError, match=r"no folder \./not-there: expected a checkpoint folder"):
        find("./not-there")
    (pair / "empty").mkdir()
    with pytest.raises(UserError, match="holds no model, no pair, no AV and no AR: expected one of them"):
        find(pair / "empty")
    known = {"owner/pair-av": pair / "av"}

    def resolve(name: Any) -> Path:
        if str(name) not in known:
            raise UserError(f"{name} is not there")
        return known[str(name)]

    monkeypatch.setattr("thinkaloud.pair.doctor.resolve", resolve)
    assert find("owner/pair") == Patient(None, "owner/pair-av", "owner/pair-ar")
    with pytest.raises(UserError, match="owner/other is not there"):
        find("owner/other")


def test_a_base_alone(pair: Path) -> None:
    checks = diagnose(find(pair / "base"))
    assert [check.name for check in checks] == NAMES[3:10]
    site = next(check for check in checks if check.name == "site")
    assert "blocks.3.hook_resid_post" in site.found, "two thirds of four blocks"
    assert "hidden_states[4]" in site.found
    assert set(off(diagnose(find(pair / "base"), layer=4))) == {"site"}


def test_a_half_alone_does_not_need_its_base(pair: Path) -> None:
    checks = diagnose(find(pair / "ar"))
    assert not off(checks)
    assert next(check for check in checks if check.name == "model").ok is None


@contextmanager
def edited(file: Path) -> Iterator[dict[str, Any]]:
    """A YAML or JSON file as a mapping, written back."""
    text = file.read_text(encoding="utf-8")
    data = json.loads(text) if file.suffix == ".json" else yaml.safe_load(text)
    yield data
    file.write_text(json.dumps(data) if file.suffix == ".json" else yaml.safe_dump(data, allow_unicode=True))


def tensors(file: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    state = load_file(str(file))
    change(state)
    save_file(state, str(file), metadata={"format": "pt"})


def marker_id(pair: Path) -> None:
    with edited(pair / "av" / "nla_meta.yaml") as data:
        data["tokens"]["injection_token_id"] += 1


def neighbour(pair: Path) -> None:
    with edited(pair / "av" / "nla_meta.yaml") as data:
        data["tokens"]["injection_right_neighbor_id"] += 1


def long_marker(pair: Path) -> None:
    with edited(pair / "av" / "nla_meta.yaml") as data:
        data["tokens"]["injection_char"] = "㈜"


def no_av_template(pair: Path) -> None:
    (pair / "av" / "chat_template.jinja").unlink()


def no_av_contract(pair: Path) -> None:
    (pair / "av" / "nla_meta.yaml").unlink()


def av_is_an_ar(pair: Path) -> None:
    shutil.rmtree(pair / "av")
    shutil.copytree(pair / "ar", pair / "av")


def av_nan(pair: Path) -> None:
    def change(state: dict[str, torch.Tensor]) -> None:
        state["model.layers.1.mlp.up_proj.weight"][3, 3] = float("nan")

    tensors(pair / "av" / "model.safetensors", change)


def av_short_context(pair: Path) -> None:
    with edited(pair / "av" / "config.json") as data:
        data["max_position_embeddings"] = 60


def other_layer(pair: Path) -> None:
    with edited(pair / "av" / "nla_meta.yaml") as data:
        data["critic"]["extraction_layer_index"] = data["thinkaloud"]["site"]["layer"] = 1


def no_head(pair: Path) -> None:
    (pair / "ar" / "value_head.safetensors").unlink()


def set_head(weight: torch.Tensor) -> Callable[[Path], None]:
    return lambda pair: save_file({"weight": weight}, str(pair / "ar" / "value_head.safetensors"))


def random_block(pair: Path) -> None:
    def change(state: dict[str, torch.Tensor]) -> None:
        for name in state:
            if ".layers.2." in name and state[name].ndim == 2:
                state[name] = torch.randn(state[name].shape, generator=torch.Generator().manual_seed(9))

    tensors(pair / "ar" / "model.safetensors", change)


def other_base(pair: Path) -> None:
    shutil.rmtree(pair / "base")
    tiny.save_base("llama", pair / "base", seed=4)


def full_config(pair: Path) -> None:
    with edited(pair / "ar" / "config.json") as data:
        data["num_hidden_layers"] = 4
    with edited(pair / "ar" / "nla_meta.yaml") as data:
        data["critic"]["extraction_layer_index"] = data["thinkaloud"]["site"]["layer"] = 3
    with edited(pair / "av" / "nla_meta.yaml") as data:
        data["critic"]["extraction_layer_index"] = data["thinkaloud"]["site"]["layer"] = 3


def deaf(pair: Path) -> None:
    def change(state: dict[str, torch.Tensor]) -> None:
        for name in state:
            if name.endswith("o_proj.weight"):
                state[name] = torch.zeros_like(state[name])

    tensors(pair / "ar" / "model.safetensors", change)


def without_bos(part: str) -> Callable[[Path], None]:
    def damage(pair: Path) -> None:
        with edited(pair / part / "tokenizer.json") as data:
            data["post_processor"] = None

    return damage


def other_prompt(pair: Path) -> None:
    with edited(pair / "av" / "nla_meta.yaml") as data:
        data["thinkaloud"]["prompt_hash"] = "0" * 16


def two_bos(pair: Path) -> None:
    file = pair / "base" / "chat_template.jinja"
    file.write_text(tiny.BOS + file.read_text())


def other_turn_end(pair: Path) -> None:
    file = pair / "base" / "chat_template.jinja"
    file.write_text(file.read_text().replace("<|end|>", "<|user|>"))


def half_a_file(pair: Path) -> None:
    file = pair / "base" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:9000])


def too_many_tokens(pair: Path) -> None:
    tok = tiny.tokenizer()
    tok.add_tokens(["one-more"])
    tok.save_pretrained(str(pair / "base"))


DAMAGES: list[tuple[Callable[[Path], None], set[str], str]] = [
    (marker_id, {"marker"}, "contract: (58, 261, 60), tokenizer: (58, 260, 60)"),
    (neighbour, {"marker"}, "contract: (58, 260, 61), tokenizer: (58, 260, 60)"),
    (long_marker, {"marker"}, "the marker '㈜' must be one token, this tokenizer makes it 3: choose another"),
    (other_prompt, {"marker"}, "is not the one this AV was trained with (hash 0000000000000000)"),
    (no_av_template, {"marker"}, "the AV's tokenizer has no chat template"),
    (no_av_contract, {"AV contract"}, "no nla_meta.yaml in"),
    (av_is_an_ar, {"AV contract"}, "is an AR: expected an AV"),
    (av_nan, {"AV weights"}, "1 weights hold NaN or infinity, model.layers.1.mlp.up_proj.weight first"),
    (av_short_context, {"room"}, "36 tokens behind a prompt of 24"),
    (other_layer, {"pair"}, "the AV is of resid_post:1, the AR of resid_post:2"),
    (no_head, {"AR"}, "an AR is useless without its head"),
    (set_head(torch.eye(32)), {"AR head"}, "is the identity, as before training"),
    (set_head(torch.randn(32, 32, generator=torch.Generator().manual_seed(1))), {"AR head"}, "with the identity"),
    (set_head(torch.full((32, 32), float("nan"))), {"AR head", "AR reading"}, "holds NaN or infinity"),
    (random_block, {"AR cut"}, "block 2"),
    (other_base, {"AR cut"}, "least cosine of weights -0.0"),
    (full_config, {"AR"}, "lacks 9 weights that its config.json names, model.layers.3"),
    (deaf, {"AR reading"}, "two texts give vectors of cosine 1.000"),
    (without_bos("base"), {"BOS"}, "0 before plain text, 1 before a chat"),
    (without_bos("ar"), {"AR BOS"}, "0 before plain text, 1 before a chat"),
    (two_bos, {"BOS"}, "1 before plain text, 2 before a chat"),
    (other_turn_end, {"end ids"}, "257 '<|end|>'; a turn ends with 258 '<|user|>'"),
    (half_a_file, {"model"}, "is not a whole safetensors file"),
    (too_many_tokens, {"context"}, "256 tokens; 264 token ids, 263 embeddings"),
]


@pytest.mark.parametrize(
    ("damage", "names", "found"), DAMAGES, ids=[f"{i}-{'-'.join(sorted(case[1]))}" for i, case in enumerate(DAMAGES)]
)
def test_damage_is_found_by_its_check(damage: Callable[[Path], None], names: set[str], found: str, pair: Path) -> None:
    damage(pair)
    seen = off(diagnose(find(pair)))
    assert set(seen) == names
    assert any(found in check.found for check in seen.values()), seen
    assert all(check.advice and "\n" not in check.found for check in seen.values())


def bos(tok: Any, family: str = "llama") -> Check:
    return check_bos(tiny.model(family), tok)


def without_post_processor(tok: Any) -> Any:
    """A copy of a tokenizer that adds nothing to plain text, and whose configuration does not say so."""
    plain = copy.deepcopy(tok)
    core = json.loads(plain._tokenizer.to_str())
    plain._tokenizer = type(plain._tokenizer).from_str(json.dumps({**core, "post_processor": None}))
    return plain


def test_a_bos_that_opens_every_turn_is_not_missed_before_plain_text() -> None:
    tok = without_post_processor(tiny.tokenizer())
    tok.chat_template = tiny.CHAT_TEMPLATE.replace("<|bos|>", "").replace("<|{{", "<|bos|><|{{")
    assert bos(tok) == replace(
        bos(tok), ok=True, found="0 before plain text, 1 before a chat, where it opens every turn"
    )
    assert not bos(without_post_processor(tiny.tokenizer())).ok, "before the chat alone"


def test_a_bos_that_the_tokenizers_configuration_declines_is_not_missed() -> None:
    tok = without_post_processor(tiny.tokenizer())
    tok.init_kwargs["add_bos_token"] = False
    assert bos(tok).ok
    assert not bos(tok, "gemma3_text").ok, "Gemma was trained with it all the same"


@pytest.mark.parametrize("chat", [True, False])
def test_gemma_without_bos_is_off(chat: bool) -> None:
    tok = tiny.tokenizer(chat)
    assert bos(tok, "gemma3_text").ok
    assert not bos(without_post_processor(tok), "gemma3_text").ok
    assert bos(without_post_processor(tiny.tokenizer(chat=False))).ok, "nothing says that it was there"


def test_bos_of_mistral() -> None:
    assert bos(real.mistral("v3"), "mistral").found == "1 before plain text, 1 before a chat"
    assert bos(real.mistral("v3"), "mistral").ok
    assert not bos(without_post_processor(real.mistral("v3")), "mistral").ok


def test_smollm2_is_sound() -> None:
    found = bos(real.smollm2())
    assert (found.ok, found.found) == (True, "0 before plain text, 1 before a chat, where it opens every turn")


@pytest.mark.slow
def test_bos_of_gemma() -> None:
    assert bos(real.gemma(), "gemma3_text").found == "1 before plain text, 1 before a chat"
    assert not bos(without_post_processor(real.gemma()), "gemma3_text").ok


def test_a_model_that_is_not_its_plain_self() -> None:
    site, tok = Site("resid_post", 2), tiny.tokenizer()
    training = tiny.model("gpt2").train()  # dropout
    assert set(off(check_model(training, tok, site))) == {"truncated forward"}
    scaled = tiny.model("gemma3_text")
    scaled.model.embed_tokens.embed_scale.fill_(1.0)
    assert set(off(check_model(scaled, tok, site))) == {"embedding scale"}
    endless = tiny.model("llama")
    endless.generation_config.eos_token_id = None
    tok.eos_token = None
    assert off(check_model(endless, tok, site))["end ids"].found == "none"


def test_an_injection_in_the_wrong_place() -> None:
    early = tiny.verbalizer()
    early.slots = [early.slots[0] - 2]
    assert off(check_verbalizer(early))["injection"].found == "changes tokens before the marker at block 0"
    late = tiny.verbalizer(injection="add")
    late.contract = replace(late.contract, injection="replace")
    late.inputs = lambda vectors: Verbalizer.inputs(tiny.verbalizer(injection="add"), vectors)  # type: ignore[method-assign]
    assert off(check_verbalizer(late))["injection"].found == "the vector is not there at block 0"
    deaf = tiny.verbalizer()
    for block in families.blocks(deaf.model):
        block.self_attn.o_proj.weight.data.zero_()
    assert off(check_verbalizer(deaf))["injection"].found == "the end of the prompt does not feel the vector"


def test_a_final_norm_that_the_contract_does_not_know() -> None:
    ar = tiny.reconstructor()
    ar.backbone.norm = tiny.model("llama", 1).model.norm
    seen = off(check_reconstructor(ar))
    assert set(seen) == {"AR end"}
    assert seen["AR end"].found == "3 blocks, read at resid_post:2, behind a final norm"
