"""Weights are whole, safe and the ones that were asked for, or refused in one line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import real
import tiny
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from thinkaloud import families, loading
from thinkaloud.errors import UserError
from thinkaloud.pair.formats import official, save

IDS = torch.arange(9)[None]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.save_base("llama", tmp_path / "model")


def change(folder: Path, **values: object) -> None:
    """Set keys of config.json."""
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_eight_bit_models_load_as_they_were_stored(name: str, tmp_path: Path) -> None:
    model = tiny.model(name)
    official.save_model(model, tmp_path / "a", packed=True)
    loaded = loading.load_causal_lm(tmp_path / "a")
    official.save_model(loaded, tmp_path / "b", packed=True)
    again = loading.load_causal_lm(tmp_path / "b")
    with torch.no_grad():
        logits, wanted = loaded(input_ids=IDS).logits, model(input_ids=IDS).logits
        assert torch.equal(again(input_ids=IDS).logits, logits)
    assert torch.nn.functional.cosine_similarity(logits, wanted, dim=-1).min() > 0.98
    assert (tmp_path / "a" / "model.safetensors").stat().st_size < 0.5 * sum(p.numel() * 4 for p in model.parameters())


@pytest.mark.parametrize("name", ["llama", "gemma3_text"])
def test_eight_bit_models_equal_plain_ones_in_half_precision(name: str, tmp_path: Path) -> None:
    official.save_model(tiny.model(name), tmp_path / "packed", packed=True)
    official.save_model(loading.load_causal_lm(tmp_path / "packed"), tmp_path / "plain", packed=False)
    packed = loading.load_causal_lm(tmp_path / "packed", dtype="bfloat16")
    plain = loading.load_causal_lm(tmp_path / "plain", dtype="bfloat16")
    assert {name: b.dtype for name, b in packed.named_buffers()} == {n: b.dtype for n, b in plain.named_buffers()}
    with torch.no_grad():
        assert torch.equal(packed(input_ids=IDS).logits, plain(input_ids=IDS).logits)


@pytest.mark.parametrize("packed", [False, True])
def test_every_end_id_is_stored(packed: bool, tmp_path: Path) -> None:
    model = tiny.model("llama")
    model.generation_config.eos_token_id = [257, 9]
    official.save_model(model, tmp_path, packed)
    loaded = loading.load_causal_lm(tmp_path)
    assert families.end_ids(loaded, tiny.tokenizer()) == (9, 257)


@pytest.mark.parametrize("packed", [False, True])
def test_a_backbone_reads_only_its_blocks(packed: bool, tmp_path: Path) -> None:
    model = tiny.model("qwen2")
    official.save_model(model, tmp_path, packed)
    whole = loading.load_causal_lm(tmp_path)
    with torch.no_grad():
        states = whole(input_ids=IDS, output_hidden_states=True).hidden_states
        for layer in (0, 2):
            backbone = loading.load_backbone(tmp_path, layer)
            assert len(backbone.layers) == layer + 1
            assert torch.equal(backbone(input_ids=IDS).last_hidden_state, states[layer + 1])
        normed = loading.load_backbone(tmp_path, 3, final_norm=True)
        assert torch.equal(normed(input_ids=IDS).last_hidden_state, states[4])


@pytest.mark.parametrize("packed", [False, True])
def test_a_final_norm_that_is_needed_has_to_be_there(packed: bool, tmp_path: Path) -> None:
    save(tiny.reconstructor(), tmp_path, "int8" if packed else None)
    loading.load_backbone(tmp_path, 2)
    with pytest.raises(UserError, match=r"lacks 1 weights that its config\.json names, model\.norm\.weight first"):
        loading.load_backbone(tmp_path, 2, final_norm=True)


def test_dtypes_and_devices(folder: Path) -> None:
    assert loading.load_causal_lm(folder).dtype == torch.float32
    assert loading.load_causal_lm(folder, dtype="bfloat16").dtype == torch.bfloat16
    assert loading.pick_dtype(torch.device("cuda")) == torch.bfloat16
    with pytest.raises(UserError, match="dtype 'int8' is not known: use one of float32, bfloat16, float16"):
        loading.load_causal_lm(folder, dtype="int8")
    with pytest.raises(UserError, match="device 'tpu9' is not known: use cpu, cuda or cuda:N"):
        loading.load_causal_lm(folder, device="tpu9")
    with pytest.raises(UserError, match="device cuda was asked for and none is here: use --device cpu"):
        loading.load_causal_lm(folder, device="cuda")


def test_loaded_models_are_frozen_and_evaluated(folder: Path) -> None:
    model = loading.load_causal_lm(folder)
    assert not model.training
    assert not any(parameter.requires_grad for parameter in model.parameters())


def test_nothing_is_printed(folder: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    save(tiny.reconstructor(), tmp_path / "ar")
    capfd.readouterr()
    loading.load_causal_lm(folder)
    loading.load_backbone(tmp_path / "ar", 2)
    assert capfd.readouterr() == ("", "")


def test_names(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert loading.resolve(folder) == folder
    assert loading.resolve(str(folder)) == folder
    with pytest.raises(UserError, match=r"is a file: expected a checkpoint folder or a hub name"):
        loading.resolve(folder / "config.json")
    for name in ("./nowhere", "/nowhere/at/all", "nowhere", "a/b/c"):
        with pytest.raises(UserError, match=f"no folder {name}: expected a checkpoint folder, a hub name"):
            loading.resolve(name)
    with pytest.raises(UserError, match="owner/name is neither a folder here nor to be had from the hub: "):
        loading.resolve("owner/name")
    with pytest.raises(UserError, match=r"no config\.json in .*: expected a Transformers checkpoint"):
        loading.load_config(tmp_path)


def test_the_folder_of_a_run_means_its_finished_model(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "STATUS").write_text("finished")
    assert loading.resolve(tmp_path) == tmp_path / "model"
    (tmp_path / "STATUS").write_text("running 5 of 9")
    with pytest.raises(UserError, match=r"is not finished \(running 5 of 9\): give its command again"):
        loading.resolve(tmp_path)


def test_weights_that_are_not_whole(folder: Path) -> None:
    file = folder / "model.safetensors"
    whole = file.read_bytes()
    for cut in (len(whole) // 2, len(whole) - 1, 100, 4, 0):
        file.write_bytes(whole[:cut])
        with pytest.raises(UserError, match=r"is not a whole safetensors file \(.*\): fetch it again"):
            loading.load_causal_lm(folder)
    file.write_bytes(b"PK\x03\x04" + whole)
    with pytest.raises(UserError, match="is not a whole safetensors file"):
        loading.load_causal_lm(folder)


def test_weights_that_are_missing(folder: Path) -> None:
    file = folder / "model.safetensors"
    state = load_file(str(file))
    del state["model.layers.1.mlp.up_proj.weight"]
    save_file(state, str(file), metadata={"format": "pt"})
    line = r"lacks 1 weights that its config\.json names, model\.layers\.1\.mlp\.up_proj\.weight first: it is not whole"
    with pytest.raises(UserError, match=line):
        loading.load_causal_lm(folder)
    with pytest.raises(UserError, match=line):
        loading.load_backbone(folder, 1)
    assert len(loading.load_backbone(folder, 0).layers) == 1, "what is missing is not needed"


@pytest.mark.parametrize("packed", [False, True])
def test_more_blocks_in_the_config_than_in_the_file(packed: bool, tmp_path: Path) -> None:
    save(tiny.reconstructor(), tmp_path, "int8" if packed else None)
    change(tmp_path, num_hidden_layers=6)
    for load in (lambda: loading.load_backbone(tmp_path, 5), lambda: loading.load_causal_lm(tmp_path)):
        with pytest.raises(UserError, match=r"lacks \d+ weights that its config\.json names"):
            load()


def test_a_final_norm_alone_is_not_forgotten(tmp_path: Path) -> None:
    for name, key in (("gpt_neox", "gpt_neox.final_layer_norm.weight"), ("llama", "model.norm.weight")):
        folder = tiny.save_base(name, tmp_path / name)
        state = load_file(str(folder / "model.safetensors"))
        del state[key]
        save_file(state, str(folder / "model.safetensors"), metadata={"format": "pt"})
        with pytest.raises(UserError, match=f"lacks 1 weights that its config.json names, {key} first"):
            loading.load_causal_lm(folder)


@pytest.mark.parametrize("packed", [False, True])
def test_weights_of_another_shape(packed: bool, tmp_path: Path) -> None:
    official.save_model(tiny.model("llama"), tmp_path, packed)
    change(tmp_path, intermediate_size=40)
    with pytest.raises(UserError, match=r"12 weights have other shapes than its config\.json says"):
        loading.load_causal_lm(tmp_path)


@pytest.mark.parametrize("packed", [False, True])
def test_weights_of_another_architecture(packed: bool, tmp_path: Path) -> None:
    official.save_model(tiny.model("gpt2"), tmp_path, packed)
    tiny.CONFIGS["llama"]().save_pretrained(str(tmp_path))
    with pytest.raises(UserError, match=r"lacks \d+ weights that its config\.json names"):
        loading.load_causal_lm(tmp_path)


def test_layers_that_are_not_there(folder: Path) -> None:
    with pytest.raises(UserError, match=r"layer 4 is out of range: .* has 4 blocks, 0 to 3"):
        loading.load_backbone(folder, 4)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "weights.pt", "weights.pkl"])
def test_pickles_are_refused(name: str, folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / name)
    line = rf"holds {name}: pickled weights can run code; convert them to safetensors"
    with pytest.raises(UserError, match=line):
        loading.load_causal_lm(folder)


def test_shards(tmp_path: Path) -> None:
    model = tiny.model("llama")
    model.save_pretrained(str(tmp_path), max_shard_size="40KB")
    shards = loading.weight_files(tmp_path)
    assert len(shards) > 2
    loaded = loading.load_causal_lm(tmp_path)
    with torch.no_grad():
        assert torch.equal(loaded(input_ids=IDS).logits, model(input_ids=IDS).logits)
    shards[1].unlink()
    with pytest.raises(UserError, match=f"lacks {shards[1].name}, which its index names: fetch the checkpoint again"):
        loading.load_causal_lm(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text("{")
    with pytest.raises(UserError, match=r"model\.safetensors\.index\.json is not a list of weights: fetch it again"):
        loading.load_causal_lm(tmp_path)


def test_code_in_a_checkpoint_is_not_run(folder: Path) -> None:
    change(folder, auto_map={"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}, model_type="evil")
    (folder / "evil.py").write_text("raise SystemExit('ran')")
    with pytest.raises(UserError, match=r"config\.json does not load"):
        loading.load_causal_lm(folder)


def test_a_missing_tokenizer(folder: Path) -> None:
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(UserError, match="has no tokenizer that loads"):
        loading.load_tokenizer(folder)


def test_mistral_tokenizers_keep_their_chat_template_beside_a_tekken_file(tmp_path: Path) -> None:
    tiny.save_base("mistral", tmp_path)
    (tmp_path / "tekken.json").write_bytes(real.installed("mistral-common", "tekken_240718.json").read_bytes())
    assert loading.load_tokenizer(tmp_path).chat_template == tiny.CHAT_TEMPLATE


def test_a_tokenizer_is_told_by_its_vocabulary_and_template(tmp_path: Path) -> None:
    a = tiny.save_base("llama", tmp_path / "a")
    tok = tiny.tokenizer()
    before = loading.tokenizer_hash(tok)
    assert before == loading.tokenizer_hash(loading.load_tokenizer(a))
    tok.chat_template += " "
    assert loading.tokenizer_hash(tok) != before


THREADS = """
import sys, torch
from thinkaloud import loading
loading._SERIAL = 100_000
loading._THREADS = loading._left = 3
torch.set_num_threads(3)
seen = []
for name in ("small", "small", "large", "small", "small"):
    if len(seen) == 4:
        torch.set_num_threads(2)  # the user's choice
    loading.load_causal_lm(sys.argv[1] + "/" + name)
    seen.append(torch.get_num_threads())
print(seen)
"""


@pytest.mark.parametrize(
    ("environment", "seen"),
    [({}, [1, 1, 3, 3, 2]), ({"OMP_NUM_THREADS": "3"}, [3, 3, 3, 3, 2])],
    ids=["left open", "chosen"],
)
def test_small_models_compute_in_one_thread_unless_the_user_chose(
    tmp_path: Path, environment: dict[str, str], seen: list[int]
) -> None:
    for name, width in (("small", 64), ("large", 512)):
        model = tiny.model("llama", intermediate_size=width)
        model.save_pretrained(tmp_path / name)
        assert (families.size(model) > 100_000) == (name == "large")
    plain = {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}
    done = subprocess.run(
        [sys.executable, "-c", THREADS, str(tmp_path)], env=plain | environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == str(seen)


def test_attention_logits_are_capped_where_the_configuration_says_so(tmp_path: Path) -> None:
    """Gemma-2: Transformers 5.17 takes sdpa by default, which knows no cap; later versions refuse it."""
    tiny.model("gemma2", attn_logit_softcapping=0.5).save_pretrained(tmp_path)
    ids = torch.arange(5, 25)[None]
    found = loading.load_causal_lm(tmp_path)(ids).logits
    wanted = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")(ids).logits
    torch.testing.assert_close(found, wanted)
    uncapped = tiny.model("gemma2", attn_logit_softcapping=None)(ids).logits
    assert (found - uncapped).abs().max() > 1e-3
