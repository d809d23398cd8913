"""LoRA adapters over a base model: made afresh, read and saved; those of nanoNLA and EasyNLA are read.

Ours keep peft's `adapter_config.json` and `adapter_model.safetensors` beside the contract, an AR its head as well.
Theirs keep a copy of the data set's sidecar instead of a contract, which leaves unsaid what both projects do: the AV
adds its vector at block 1, the AR scales its state to √d before the head.
"""

import copy
import re
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

from thinkaloud import contract as contracts
from thinkaloud import families, quant
from thinkaloud.atomic import read_mapping
from thinkaloud.contract import Contract
from thinkaloud.errors import UserError
from thinkaloud.loading import load_state

NARROW = 1024  # widths up to which adapters are trained in weight space: a choice, measured at 576
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
FOREIGN_AR, FOREIGN_AR_META = "ar_lora_value_head.safetensors", "ar_meta.json"

# Wrappers differ between the model an adapter was trained in and ours; below the decoder stack the names are the same.
_WRAPPERS = re.compile(r"^(?:(?:base_model|backbone|model|language_model|transformer|gpt_neox)\.)+")


def is_adapter(folder: Path) -> bool:
    """Whether `folder` holds an adapter rather than a whole AV or AR."""
    return (folder / CONFIG).is_file() or _is_foreign_ar(folder)


def _is_foreign_ar(folder: Path) -> bool:
    return (folder / FOREIGN_AR).is_file() or (folder / FOREIGN_AR_META).is_file()


def read_contract(folder: Path, role: str) -> Contract:
    """The contract in `folder`; their RL checkpoints keep the sidecar at the root of the run, one or two folders up."""
    places = (folder, *folder.resolve().parents[:2])
    found = next((place for place in places if (place / contracts.FILE).is_file()), folder)
    data = contracts.load(found)
    meta = _meta(folder) if (folder / FOREIGN_AR_META).is_file() else None
    layer = None if meta is None else meta["ar_num_layers"] - 1
    try:
        theirs = data.get("kind") == "nla_dataset"
        contract = from_dataset_sidecar(data, role, layer) if theirs else contracts.from_dict(data)
    except UserError as error:
        raise UserError(f"{found / contracts.FILE}: {error}") from None
    return contract if meta is None else replace(contract, final_norm=not meta.get("final_norm_stripped", False))


def read(folder: Path, contract: Contract) -> tuple[tuple[Any, dict[str, torch.Tensor]], torch.Tensor | None]:
    """The LoRA configuration and tensors in `folder`, and the head's matrix where it is stored with them."""
    if contract.role == "ar" and _is_foreign_ar(folder):
        return _read_foreign_ar(folder, contract)
    if not (folder / CONFIG).is_file():
        raise UserError(f"no {CONFIG} in {folder}: expected a peft adapter")
    kind = _json(folder / CONFIG).get("peft_type")
    if kind != "LORA":
        raise UserError(f"{folder / CONFIG} is of peft type {kind!r}: only LORA adapters are read")
    if not (folder / WEIGHTS).is_file() and (folder / "adapter_model.bin").is_file():
        raise UserError(f"{folder} holds adapter_model.bin: pickled weights can run code; convert it to safetensors")
    if not (folder / WEIGHTS).is_file():
        raise UserError(f"no {WEIGHTS} in {folder}: fetch the whole adapter")
    from peft import LoraConfig

    config = LoraConfig.from_pretrained(str(folder))
    if contract.role == "ar":
        config.task_type = None  # the backbone has no output head, which peft's causal wrapper would ask for
    return (config, load_state(folder / WEIGHTS)), None


def fresh(model: Any, rank: int, alpha: int) -> Any:
    """`model` with a new LoRA adapter on every linear layer of its decoder blocks, scaled by alpha / √rank."""
    from peft import LoraConfig, get_peft_model

    inside = {id(module) for module in families.blocks(model).modules()}
    names = [name for name, module in model.named_modules() if id(module) in inside and _is_linear(module)]
    short = {name.rpartition(".")[2] for name in names}
    elsewhere = (name.rpartition(".")[2] for name, module in model.named_modules() if id(module) not in inside)
    # A multimodal model's vision tower has layers of the same names: there the whole names tell them apart.
    targets = names if short.intersection(elsewhere) else sorted(short)
    config = LoraConfig(
        r=rank, lora_alpha=alpha, use_rslora=True, lora_dropout=0.0, bias="none", target_modules=targets
    )
    return get_peft_model(model, config)


def cast_by_autocast(model: nn.Module) -> None:
    """From now on `model` is computed under autocast alone, and its adapter leaves what enters it as it is.

    Peft casts the input of every adapted layer to float32, and autocast makes bfloat16 of it again: two copies for
    nothing, the largest tensors of a pass.
    """
    for module in _adapted_layers(model):
        module.cast_input_dtype_enabled = False


def in_weight_space(model: nn.Module) -> None:
    """Let adapted layers of narrow models compute x (W + s B A)ᵀ in place of x Wᵀ + s (x Aᵀ) Bᵀ: the same function.

    A pass of many tokens through a narrow layer waits for memory, and the second form writes and reads several tensors
    of all tokens more. A wide layer waits for the matrix product of W's gradient, which the first form needs.
    """
    from peft.tuners.lora import Linear

    if families.d_model(model) <= NARROW:
        for module in _adapted_layers(model):
            if type(module) is Linear and _is_plain(module):
                module.__class__ = _in_weight_space(Linear)  # not a method of each: compiled blocks share a graph


def _is_plain(layer: Any) -> bool:
    """Whether a layer adds s B A alone: DoRA and adapters with a bias are other functions."""
    biased = any(factor.bias is not None for factor in layer.lora_B.values())
    return isinstance(layer.get_base_layer(), nn.Linear) and not layer.lora_variant and not biased


@cache
def _in_weight_space(kind: Any) -> Any:
    """The class of peft's adapted linear layers with another forward pass."""
    return type(kind.__name__, (kind,), {"forward": _forward_in_weight_space, "__module__": kind.__module__})


def _forward_in_weight_space(layer: Any, x: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
    base, (name,) = layer.get_base_layer(), layer.active_adapters
    if layer.disable_adapters or layer.merged or name not in layer.lora_A:
        return base(x)
    with torch.autocast(x.device.type, enabled=False):  # the sum is rounded once, whatever the weights are kept in
        share = layer.lora_B[name].weight.float() @ layer.lora_A[name].weight.float()
    weight = base.weight + layer.scaling[name] * share
    if not torch.is_autocast_enabled(x.device.type):
        weight = weight.to(x.dtype)
    return nn.functional.linear(x, weight, base.bias)


def _adapted_layers(model: nn.Module) -> list[Any]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    return [module for module in model.modules() if isinstance(module, BaseTunerLayer)]


def _is_linear(module: nn.Module) -> bool:
    """Whether a module multiplies by a matrix; GPT-2's are called convolutions."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def from_dataset_sidecar(data: Mapping[str, Any], role: str, layer: int | None = None) -> Contract:
    """The contract that nanoNLA and EasyNLA mean by a copy of their data set's sidecar beside an adapter."""
    extraction = data.get("extraction") or {}
    found = extraction.get("layer_index")
    if layer is not None and found is not None and layer != found:
        raise UserError(f"the sidecar says layer {found}, {FOREIGN_AR_META} keeps {layer + 1} blocks: not of one run")
    scaled_state = extraction.get("mse_scale", "sqrt_d_model") not in (None, "raw", "none")
    model = {key: data.get(key) for key in ("tokens", "prompt_templates", "stage")} | {
        "kind": "nla_model",
        "role": role,
        "d_model": extraction.get("d_model"),
        "base_model": extraction.get("base_model"),
        "extraction": {key: extraction[key] for key in ("layer_index", "mse_scale") if key in extraction},
        "thinkaloud": {"injection": "add", "scaled_state": scaled_state},
    }
    if layer is not None:
        model["critic"] = {"extraction_layer_index": layer}
    return contracts.from_dict(model)


def _read_foreign_ar(folder: Path, contract: Contract) -> tuple[tuple[Any, dict[str, torch.Tensor]], torch.Tensor]:
    meta = _meta(folder)
    if meta.get("quant") == "4bit":
        raise UserError(
            f"{folder} was trained over a 4-bit backbone and makes up for its rounding: over the full weights it would "
            "read wrongly; train it again with quant none"
        )
    if not (folder / FOREIGN_AR).is_file():
        raise UserError(f"no {FOREIGN_AR} in {folder}: an AR is useless without its head; fetch the whole checkpoint")
    state = load_state(folder / FOREIGN_AR)
    weight, width = state.pop("value_head.weight", None), contract.d_model
    if weight is None or weight.shape != (width, width):
        found = "none" if weight is None else str(tuple(weight.shape))
        raise UserError(f"{folder / FOREIGN_AR}: expected a value_head.weight [{width}, {width}], found {found}")
    if contract.scaled_state and contract.mse_scale:
        # They scale the state to mse_scale, `Reconstructor.predict` to √d; the head is linear and takes the difference.
        weight = weight.float() * (contract.mse_scale / width**0.5)
    from peft import LoraConfig

    config = LoraConfig(
        r=meta["lora_r"], lora_alpha=meta["lora_alpha"], target_modules=meta["target_modules"], use_rslora=True
    )
    return (config, state), weight


def adapted(folder: Path, model: Any, config: Any, state: Mapping[str, torch.Tensor]) -> Any:
    """`model` as a PeftModel that holds exactly the tensors of `state`; one too many or too few is refused."""
    from peft import get_peft_model

    config.base_model_name_or_path = None  # peft would warn that the base lies elsewhere now
    try:
        adapted: Any = get_peft_model(model, config)
    except ValueError as error:
        raise UserError(f"the adapter {folder} does not fit its base: {str(error).splitlines()[0]}") from None
    slots = {_tail(name): parameter for name, parameter in adapted.named_parameters() if "lora_" in name}
    given = {_tail(name): tensor for name, tensor in state.items()}
    for problem, names in (("lacks", slots.keys() - given.keys()), ("has to spare", given.keys() - slots.keys())):
        if names:
            count = f"{len(names)} tensors, {min(names)} first"
            raise UserError(f"the adapter {folder} {problem} {count}: it is of another base or not whole")
    with torch.no_grad():
        for name, parameter in slots.items():
            if parameter.shape != given[name].shape:
                shapes = f"{tuple(given[name].shape)}, its base needs {tuple(parameter.shape)}"
                raise UserError(f"the adapter {folder} is of another base: {name} is {shapes}")
            parameter.copy_(given[name])
    return adapted.eval().requires_grad_(False)


def save_adapter(model: Any, contract: Contract, folder: Path, packed: bool = False) -> None:
    """Write the adapter of a PeftModel, perhaps packed; the base is not written, only its name."""
    config = copy.copy(model.peft_config[model.active_adapter])
    config.base_model_name_or_path = contract.base_model  # peft would note where the base lies on this machine
    config.save_pretrained(str(folder))
    state = {
        name.replace(f".{model.active_adapter}", ""): parameter.detach().cpu().contiguous()
        for name, parameter in model.named_parameters()
        if "lora_" in name and f".{model.active_adapter}." in name
    }
    if packed:
        quant.save(state, folder / WEIGHTS)
    else:
        save_file(state, str(folder / WEIGHTS), metadata={"format": "pt"})


def _tail(name: str) -> str:
    """A LoRA tensor's name below the decoder stack, without the adapter's own name."""
    return _WRAPPERS.sub("", name).replace(".default", "")


def _meta(folder: Path) -> dict[str, Any]:
    """What nanoNLA and EasyNLA note beside an AR adapter."""
    meta = _json(folder / FOREIGN_AR_META)
    lacking = [key for key in ("ar_num_layers", "lora_r", "lora_alpha", "target_modules") if meta.get(key) is None]
    if lacking:
        raise UserError(f"{folder / FOREIGN_AR_META} has no {lacking[0]}: expected what the training script wrote")
    return meta


def _json(path: Path) -> dict[str, Any]:
    return read_mapping(path, f"no {path.name} in {path.parent}: fetch the whole checkpoint")


def base_of(folder: Path, role: str, base: str | Path | None = None) -> str | Path:
    """The model an adapter stands on: `base`, else what its contract says, else its adapter_config.json."""
    named = _json(folder / CONFIG).get("base_model_name_or_path") if (folder / CONFIG).is_file() else None
    found = base or read_contract(folder, role).base_model or named
    if not found:
        raise UserError(f"the adapter {folder} does not say over which model it was trained: give base")
    return found
