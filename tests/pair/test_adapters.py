"""Adapters are read as they were trained: nanoNLA's and EasyNLA's layouts and ours, over plain and eight-bit bases.

Foreign checkpoints are written by hand and held against plain PyTorch.
"""

import json
from pathlib import Path
from typing import Any

import handmade
import plain
import pytest
import tiny
import torch
import yaml
from safetensors.torch import load_file, save_file

from thinkaloud import families
from thinkaloud.errors import UserError
from thinkaloud.loading import load_backbone, load_causal_lm
from thinkaloud.pair.formats import adapters, official, save
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.site import Site

FAMILIES = sorted(handmade.FAMILIES)
RANK, ALPHA = 4, 16
FACTOR = ALPHA / RANK**0.5  # rsLoRA
LAYER = 3
# What the projects pass to peft for the Llama lineage: a pattern, in older checkpoints a list.
PATTERN = r".*\.self_attn\.(q_proj|k_proj|v_proj|o_proj)|.*\.mlp\.(gate_proj|up_proj|down_proj)"
LIST = ["q_proj", "k_proj", "v_proj", "o_proj"]
TEXTS = ["a short one", "the clause names a river and expects where it flows next"]


def lora(tensors: dict[str, torch.Tensor], blocks: int, targets: Any) -> dict[str, torch.Tensor]:
    """Random A and B for the projections that `targets` names, by the module's name in the base."""
    generator = torch.Generator().manual_seed(11)
    out = {}
    for name, weight in tensors.items():
        module = name.removesuffix(".weight")
        part = module.split(".")[-1]
        if not part.endswith("_proj") or int(name.split(".")[2]) >= blocks or (targets is LIST and part not in LIST):
            continue
        out[f"{module}.lora_A"] = 0.3 * torch.randn(RANK, weight.shape[1], generator=generator)
        out[f"{module}.lora_B"] = 0.02 * torch.randn(weight.shape[0], RANK, generator=generator)
    return out


def merged(tensors: dict[str, torch.Tensor], low: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """What `plain` needs to run the base with its adapter, in float64."""
    factors = {name.replace("lora_A", "lora_factor"): torch.tensor(FACTOR) for name in low if name.endswith("lora_A")}
    return {name: tensor.double() for name, tensor in {**tensors, **low, **factors}.items()}


def dataset_sidecar(folder: Path, **changes: Any) -> None:
    """A copy of the data set's sidecar, as their training scripts leave it."""
    data = {
        "dataset_id": "av_sft_tiny",
        "kind": "nla_dataset",
        "schema_version": 1,
        "stage": "av_sft",
        "row_count": 10,
        "extraction": {
            "base_model": None,
            "d_model": handmade.D,
            "layer_index": LAYER,
            "norm": "none",
            "corpus": "somewhere",
            "corpus_slice": {"start": 0, "length": 10},
            "positions_per_doc": 5,
            **changes,
        },
        "tokens": handmade.token_section(),
        "prompt_templates": {"actor": tiny.AV_TEMPLATE, "critic": tiny.AR_TEMPLATE},
    }
    (folder / "nla_meta.yaml").write_text(yaml.safe_dump(data, allow_unicode=True))


def foreign_av(folder: Path, family: str, targets: Any = PATTERN) -> dict[str, torch.Tensor]:
    """An AV adapter in `folder`/av over `folder`/base; returns the tensors for `plain`."""
    tensors = handmade.base(folder / "base", family)
    low = lora(tensors, 5, targets)
    out = folder / "av"
    out.mkdir()
    save_file(
        {f"base_model.model.{name}.weight": tensor for name, tensor in low.items()},
        str(out / "adapter_model.safetensors"),
    )
    (out / "adapter_config.json").write_text(
        json.dumps(
            {
                "peft_type": "LORA",
                "task_type": "CAUSAL_LM",
                "r": RANK,
                "lora_alpha": ALPHA,
                "lora_dropout": 0.0,
                "use_rslora": True,
                "bias": "none",
                "target_modules": targets,
                "base_model_name_or_path": str(folder / "base"),
                "inference_mode": True,
            }
        )
    )
    dataset_sidecar(out)
    return merged(tensors, low)


def foreign_ar(
    folder: Path, family: str, targets: Any = PATTERN, **meta: Any
) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
    """An AR adapter in `folder`/ar over `folder`/base; returns the tensors for `plain`, and the head."""
    tensors = handmade.base(folder / "base", family)
    low = lora(tensors, LAYER + 1, targets)
    head = tiny.head().weight.detach()
    out = folder / "ar"
    out.mkdir()
    named = {f"backbone.{name}.default.weight": tensor for name, tensor in low.items()}
    save_file({**named, "value_head.weight": head.contiguous()}, str(out / "ar_lora_value_head.safetensors"))
    fields = {"ar_num_layers": LAYER + 1, "lora_r": RANK, "lora_alpha": ALPHA, "quant": "none"}
    fields |= {"target_modules": targets, "final_norm_stripped": True, **meta}
    (out / "ar_meta.json").write_text(json.dumps({k: v for k, v in fields.items() if v is not None}))
    dataset_sidecar(out)
    return merged(tensors, low), head


@pytest.mark.parametrize("targets", [PATTERN, LIST], ids=["pattern", "list"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_foreign_av_adds_at_block_1(family: str, targets: Any, tmp_path: Path) -> None:
    tensors = foreign_av(tmp_path, family, targets)
    settings = handmade.config(family, 5)
    vectors = tiny.vectors(3)
    av = Verbalizer.from_pretrained(tmp_path / "av", device="cpu")
    assert av.contract.injection == "add"
    assert av.contract.site == Site("resid_post", LAYER)
    ids, place = handmade.av_ids()
    with torch.no_grad():
        embeds, arguments = av.inputs(av.slot_vectors(vectors))
        hidden = families.text_model(av.model)(inputs_embeds=embeds, use_cache=False, **arguments).last_hidden_state
        found = families.logits(av.model, hidden)
    wanted = []
    for vector in vectors.double():
        stream = plain.blocks(tensors, settings, plain.embed(tensors, settings, ids), 0, 1)
        at = stream[place]
        stream[place] = at + at.pow(2).sum().sqrt() * vector / vector.pow(2).sum().sqrt()
        wanted.append(plain.logits(tensors, settings, plain.blocks(tensors, settings, stream, 2, 4)))
    off = (found - torch.stack(wanted)).abs().max()
    print(f"{family}: logits {off:.1e}")
    assert off <= 2e-5


@pytest.mark.parametrize("stripped", [True, False, None])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_foreign_ar_scales_its_state(family: str, stripped: bool | None, tmp_path: Path) -> None:
    tensors, head = foreign_ar(tmp_path, family, final_norm_stripped=stripped)
    settings = handmade.config(family, LAYER + 1)
    ar = Reconstructor.from_pretrained(tmp_path / "ar", base=tmp_path / "base", device="cpu")
    wanted = []
    for text in TEXTS:
        stream = plain.blocks(tensors, settings, plain.embed(tensors, settings, handmade.ar_ids(text)), 0, LAYER)
        state = stream[-1]
        if not stripped:  # checkpoints older than the key kept the norm
            state = plain.rms_norm(state, tensors["model.norm.weight"], 1e-6, family == "gemma3_text")
        wanted.append(head.double() @ (state * handmade.D**0.5 / state.pow(2).sum().sqrt()))
    off = (ar.reconstruct(TEXTS) - torch.stack(wanted)).abs().max()
    print(f"{family}, norm stripped {stripped}: reconstructions {off:.1e}")
    assert off <= 1e-5


def test_a_foreign_ar_with_another_scale(tmp_path: Path) -> None:
    foreign_ar(tmp_path, "llama")
    usual = Reconstructor.from_pretrained(tmp_path / "ar", base=tmp_path / "base").reconstruct(TEXTS)
    dataset_sidecar(tmp_path / "ar", mse_scale=3.0)
    scaled = Reconstructor.from_pretrained(tmp_path / "ar", base=tmp_path / "base").reconstruct(TEXTS)
    torch.testing.assert_close(scaled, usual * 3.0 / handmade.D**0.5)
    dataset_sidecar(tmp_path / "ar", mse_scale=None)
    raw = Reconstructor.from_pretrained(tmp_path / "ar", base=tmp_path / "base").reconstruct(TEXTS)
    assert not torch.allclose(raw.norm(dim=1), usual.norm(dim=1), rtol=0.01)
    torch.testing.assert_close(*(torch.nn.functional.normalize(x, dim=-1) for x in (raw, usual)))


def test_a_critic_of_a_training_run_finds_the_runs_sidecar(tmp_path: Path) -> None:
    foreign_ar(tmp_path, "llama")
    wanted = Reconstructor.from_pretrained(tmp_path / "ar", base=tmp_path / "base").reconstruct(TEXTS)
    critic = tmp_path / "run" / "iter_000100" / "critic"
    critic.parent.mkdir(parents=True)
    (tmp_path / "ar").rename(critic)
    (critic / "nla_meta.yaml").rename(tmp_path / "run" / "nla_meta.yaml")
    assert torch.equal(Reconstructor.from_pretrained(critic, base=tmp_path / "base").reconstruct(TEXTS), wanted)


def change_state(file: Path, change: Any) -> None:
    state = load_file(str(file))
    change(state)
    save_file(state, str(file))


BAD_AR = [
    ("quant", {"quant": "4bit"}, None, r"trained over a 4-bit backbone"),
    ("meta", {"lora_r": None}, None, r"ar_meta\.json has no lora_r"),
    ("layer", {"ar_num_layers": 3}, None, r"the sidecar says layer 3, ar_meta\.json keeps 3 blocks"),
    ("head", {}, lambda state: state.pop("value_head.weight"), r"expected a value_head\.weight \[32, 32\], found none"),
    (
        "missing",
        {},
        lambda state: state.pop("backbone.model.layers.2.mlp.up_proj.lora_B.default.weight"),
        r"lacks 1 tensors, layers\.2\.mlp\.up_proj\.lora_B\.weight first",
    ),
    (
        "spare",
        {},
        lambda state: state.update({"backbone.model.layers.9.mlp.up_proj.lora_B.default.weight": torch.ones(1)}),
        r"has to spare 1 tensors, layers\.9\.mlp",
    ),
    (
        "shape",
        {},
        lambda state: state.update({"backbone.model.layers.0.mlp.up_proj.lora_B.default.weight": torch.ones(2, 4)}),
        r"is of another base: layers\.0\.mlp\.up_proj\.lora_B\.weight is \(2, 4\), its base needs \(48, 4\)",
    ),
    ("targets", {"target_modules": ["c_attn"]}, None, r"does not fit its base: Target modules .* not found"),
]


@pytest.mark.parametrize(("meta", "change", "line"), [case[1:] for case in BAD_AR], ids=[case[0] for case in BAD_AR])
def test_a_foreign_ar_that_is_not_whole_is_refused(meta: dict, change: Any, line: str, tmp_path: Path) -> None:
    foreign_ar(tmp_path, "llama", **meta)
    if change is not None:
        change_state(tmp_path / "ar" / "ar_lora_value_head.safetensors", change)
    with pytest.raises(UserError, match=line):
        Reconstructor.from_pretrained(tmp_path / "ar", base=tmp_path / "base")


def test_an_av_adapter_that_is_not_whole_is_refused(tmp_path: Path) -> None:
    foreign_av(tmp_path, "llama")
    weights = tmp_path / "av" / "adapter_model.safetensors"
    change_state(weights, lambda state: state.pop("base_model.model.model.layers.0.mlp.up_proj.lora_A.weight"))
    with pytest.raises(UserError, match=r"lacks 1 tensors, layers\.0\.mlp\.up_proj\.lora_A\.weight first"):
        Verbalizer.from_pretrained(tmp_path / "av")
    weights.rename(tmp_path / "av" / "adapter_model.bin")
    with pytest.raises(UserError, match=r"holds adapter_model\.bin: pickled weights can run code"):
        Verbalizer.from_pretrained(tmp_path / "av")
    (tmp_path / "av" / "adapter_model.bin").unlink()
    with pytest.raises(UserError, match=r"no adapter_model\.safetensors"):
        Verbalizer.from_pretrained(tmp_path / "av")


def test_an_adapter_of_another_kind_is_refused(tmp_path: Path) -> None:
    foreign_av(tmp_path, "llama")
    file = tmp_path / "av" / "adapter_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "peft_type": "IA3"}))
    with pytest.raises(UserError, match="is of peft type 'IA3': only LORA adapters are read"):
        Verbalizer.from_pretrained(tmp_path / "av")


def test_an_adapter_without_a_base_says_so(tmp_path: Path) -> None:
    foreign_ar(tmp_path, "llama")
    with pytest.raises(UserError, match="does not say over which model it was trained: give base"):
        Reconstructor.from_pretrained(tmp_path / "ar")


def adapted(model: Any, targets: Any) -> Any:
    """`model` with a LoRA as training makes it, B away from zero."""
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=RANK, lora_alpha=ALPHA, use_rslora=True, target_modules=targets)
    out: Any = get_peft_model(model, config)
    with torch.no_grad():
        for name, parameter in out.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=0.1)
    return out.eval()


@pytest.mark.parametrize("packed", [False, True], ids=["float", "eight-bit"])
@pytest.mark.parametrize("family", ["llama", "gemma3", "gpt2"])
def test_our_adapters_save_and_load(family: str, packed: bool, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.mkdir()
    official.save_model(tiny.model(family), base, packed)
    tiny.tokenizer().save_pretrained(str(base))
    named = tmp_path / "named"
    named.symlink_to(base)
    wrapper = family == "gemma3"  # its vision tower has projections of the same names
    targets: Any = ["c_attn", "c_proj"] if family == "gpt2" else LIST
    tok, vectors = tiny.tokenizer(), tiny.vectors(2)
    av_model = adapted(load_causal_lm(base), r".*language_model.*_proj" if wrapper else targets)
    av = Verbalizer(av_model, tok, tiny.av_contract(tok, base_model=str(named)))
    ar_model = adapted(load_backbone(base, 2), targets)
    ar = Reconstructor(ar_model, tiny.head(), tok, tiny.ar_contract(base_model=str(named)))
    save(av, tmp_path / "av")
    save(ar, tmp_path / "ar")
    elsewhere = json.loads((tmp_path / "av" / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert elsewhere == str(named), "the contract's name of the base, not where it lay when it was loaded"
    assert sorted(p.name for p in (tmp_path / "ar").glob("*.safetensors")) == [
        "adapter_model.safetensors",
        "value_head.safetensors",
    ]

    av2, ar2 = (
        Verbalizer.from_pretrained(tmp_path / "av", device="cpu"),
        Reconstructor.from_pretrained(tmp_path / "ar", device="cpu"),
    )
    assert (av2.contract, ar2.contract) == (av.contract, ar.contract)
    assert av2.explain(vectors) == av.explain(vectors)
    assert torch.equal(ar2.reconstruct(TEXTS), ar.reconstruct(TEXTS))
    bare = Reconstructor(load_backbone(base, 2), tiny.head(), tok, tiny.ar_contract())
    assert not torch.allclose(ar2.reconstruct(TEXTS), bare.reconstruct(TEXTS), atol=0.01), "the adapter counts"
    assert not any(parameter.requires_grad for parameter in ar2.backbone.parameters())


def test_roles_are_not_mixed_up(tmp_path: Path) -> None:
    tiny.save_base("llama", tmp_path / "base")
    tok = tiny.tokenizer()
    contract = tiny.av_contract(tok, base_model=str(tmp_path / "base"))
    av = Verbalizer(adapted(load_causal_lm(tmp_path / "base"), LIST), tok, contract)
    save(av, tmp_path / "av")
    with pytest.raises(UserError, match="is an AV: expected an AR"):
        Reconstructor.from_pretrained(tmp_path / "av")


@pytest.mark.parametrize("name", sorted(tiny.CONFIGS))
def test_a_fresh_adapter_is_on_every_matrix_of_the_blocks_and_on_nothing_else(name: str) -> None:
    model = tiny.model(name)
    inside = {id(module) for module in families.blocks(model).modules()}
    adapted = adapters.fresh(model, 4, 8)
    layers = [module for module in adapted.modules() if hasattr(module, "lora_A")]
    assert all(id(layer.base_layer) in inside for layer in layers)
    matrices = [
        p for block in families.blocks(adapted) for n, p in block.named_parameters() if "base_layer.weight" in n
    ]
    left = [n for b in families.blocks(adapted) for n, p in b.named_parameters() if p.ndim == 2 and "_layer" not in n]
    assert len(layers) == len(matrices) >= 4 * 4
    assert all("lora_" in n for n in left)
