"""The official checkpoint layout: a Transformers folder, `nla_meta.yaml`, and for an AR `value_head.safetensors`."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from thinkaloud import contract as contracts
from thinkaloud import families, quant
from thinkaloud.atomic import whole_folder
from thinkaloud.contract import Contract
from thinkaloud.errors import UserError
from thinkaloud.loading import (
    load_backbone,
    load_causal_lm,
    load_config,
    load_state,
    load_tokenizer,
    pick_device,
    quiet,
)
from thinkaloud.pair.formats.parts import AR, AV, ARParts, AVParts

HEAD = "value_head.safetensors"


def load_av(folder: Path, device: str | None = None, dtype: Any = None) -> AVParts:
    """An AV saved whole."""
    contract = _checked_contract(folder, "av")
    return load_causal_lm(folder, device, dtype), load_tokenizer(folder), contract


def load_ar(folder: Path, device: str | None = None, dtype: Any = None) -> ARParts:
    """An AR saved whole: the first K+1 blocks, and the head beside them."""
    contract = _checked_contract(folder, "ar")
    assert contract.site is not None  # an AR's contract has one
    head = load_head(folder, contract.d_model, device)
    backbone = load_backbone(folder, contract.site.layer, device, dtype, contract.final_norm)
    return backbone, head, load_tokenizer(folder), contract


def load_head(folder: Path, d_model: int, device: str | None = None) -> nn.Linear:
    """The d × d head of an AR in float32. It cannot be derived from the backbone, so its absence is refused."""
    file = folder / HEAD
    if not file.is_file():
        raise UserError(f"no {HEAD} in {folder}: an AR is useless without its head; fetch the whole checkpoint")
    state = load_state(file)
    if set(state) != {"weight"}:
        raise UserError(f"{file} must hold the key 'weight' alone, found {', '.join(sorted(state))}")
    if state["weight"].shape != (d_model, d_model):
        raise UserError(f"{file} is {tuple(state['weight'].shape)}, the contract says d_model {d_model}")
    return head_from(state["weight"]).to(pick_device(device))


def head_from(weight: torch.Tensor) -> nn.Linear:
    """A float32 head without bias that holds `weight` [d, d]."""
    head = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float32)
    with torch.no_grad():
        head.weight.copy_(weight)
    return head.requires_grad_(False)


def save_av(verbalizer: AV, folder: Path, packed: bool = False) -> None:
    """Write an AV in the official layout; `packed` stores eight-bit weights, which only this package reads."""
    with whole_folder(folder) as partial:
        save_model(verbalizer.model, partial, packed)
        verbalizer.tokenizer.save_pretrained(str(partial))
        contracts.write(verbalizer.contract, partial)


def save_ar(reconstructor: AR, folder: Path, packed: bool = False) -> None:
    """Write an AR in the official layout. Its config.json says K+1 blocks, so no loader makes up further ones."""
    weight = {"weight": reconstructor.head.weight.detach().float().cpu().contiguous()}
    with whole_folder(folder) as partial:
        save_model(reconstructor.backbone, partial, packed)
        if packed:
            quant.save(weight, partial / HEAD)
        else:
            save_file(weight, str(partial / HEAD))
        reconstructor.tokenizer.save_pretrained(str(partial))
        contracts.write(reconstructor.contract, partial)


def save_model(model: Any, folder: Path, packed: bool) -> None:
    """Write a causal model, or a decoder stack under the key names its causal model would have."""
    causal = causal_names(model)
    config = families.text_model(model).config if causal is not None else model.config
    if not packed and causal is None:
        with quiet():
            model.save_pretrained(str(folder))
        return
    state = causal if causal is not None else dict(model.state_dict())
    if getattr(config, "tie_word_embeddings", False):
        state = {key: value for key, value in state.items() if not key.startswith("lm_head.")}
    config.architectures = [causal_class(config).__name__]
    config.save_pretrained(str(folder))
    if causal is None:
        model.generation_config.save_pretrained(str(folder))  # its end ids may be more than the config's
    if packed:
        quant.save(state, folder / "model.safetensors")
    else:
        plain = {key: value.detach().cpu().contiguous() for key, value in state.items()}
        save_file(plain, str(folder / "model.safetensors"), metadata={"format": "pt"})


def causal_names(model: Any) -> dict[str, torch.Tensor] | None:
    """The state dict of a bare decoder stack under its causal model's names; None for a model that has a head."""
    if hasattr(model, "get_output_embeddings") and model.get_output_embeddings() is not None:
        return None
    prefix = causal_class(model.config).base_model_prefix
    return {f"{prefix}.{key}": value for key, value in model.state_dict().items()}


def causal_class(config: Any) -> Any:
    """The causal language model class of a configuration."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

    return MODEL_FOR_CAUSAL_LM_MAPPING[type(families.text_config(config))]


def read_contract(folder: Path, role: str) -> Contract:
    """The contract of a whole checkpoint of `role`."""
    contract = contracts.read(folder)
    if contract.role != role:
        raise UserError(f"{folder} is an {contract.role.upper()}: expected an {role.upper()}")
    return contract


def _checked_contract(folder: Path, role: str) -> Contract:
    contract = read_contract(folder, role)
    width = families.text_config(load_config(folder)).hidden_size
    if width != contract.d_model:
        raise UserError(f"{folder}: the contract says d_model {contract.d_model}, config.json {width}")
    return contract
