"""Loading and saving an AV or AR, in whichever format it is."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from thinkaloud import contract as contracts
from thinkaloud import families, quant
from thinkaloud.atomic import whole_folder
from thinkaloud.contract import Contract
from thinkaloud.errors import UserError
from thinkaloud.loading import load_backbone, load_causal_lm, load_config, load_tokenizer, pick_device, resolve
from thinkaloud.pair.formats import adapters, official


def read_contract(path: str | Path, role: str) -> Contract:
    """The contract of an AV or AR ("av" or "ar"), before its weights are loaded."""
    folder = resolve(path)
    contract = adapters.read_contract(folder, role) if adapters.is_adapter(folder) else contracts.read(folder)
    if contract.role != role:
        raise UserError(f"{folder} is an {contract.role.upper()}: expected an {role.upper()}")
    return contract


def load(
    path: str | Path, role: str, *, base: str | Path | None = None, device: str | None = None, dtype: Any = None
) -> tuple[Any, ...]:
    """Model, tokenizer and contract of an AV; backbone, head, tokenizer and contract of an AR.

    `path` is a folder or a hub name: a whole checkpoint in the official layout, or a peft adapter over `base`, else
    over the model that its contract or its adapter_config.json names.
    """
    folder = source = resolve(path)
    contract, adapter, weight = read_contract(folder, role), None, None
    if adapters.is_adapter(folder):
        adapter, weight = adapters.read(folder, contract)
        source = adapters.base_of(folder, role, base)
    else:
        width = families.text_config(load_config(folder)).hidden_size
        if width != contract.d_model:
            raise UserError(f"{folder}: the contract says d_model {contract.d_model}, config.json {width}")
    if role == "av":
        model = load_causal_lm(source, device, dtype)
    else:
        assert contract.site is not None  # an AR's contract has one
        weight = official.read_head(folder, contract.d_model) if weight is None else weight
        model = load_backbone(source, contract.site.layer, device, dtype, contract.final_norm)
    if adapter is not None:
        model = adapters.adapted(folder, model, *adapter)
    tokenizer = load_tokenizer(folder if (folder / "tokenizer_config.json").is_file() else source)
    head = () if weight is None else (official.head_from(weight).to(pick_device(device)),)
    return model, *head, tokenizer, contract


def save(part: Any, folder: Path, store: str | None = None) -> None:
    """Write a `Verbalizer` or a `Reconstructor`: an adapter without its base, else all weights.

    `store` is the dtype to write them in, if not the one they have; "int8" packs them, which only this package reads.
    """
    av = part.contract.role == "av"
    model = part.model if av else part.backbone
    whole = not hasattr(model, "peft_config")
    packed = whole and store == "int8"
    if whole and store is not None:
        model.to(torch.bfloat16 if store == "bfloat16" else torch.float32)  # eight-bit packing starts from float32
    with whole_folder(folder) as partial:
        if whole:
            official.save_model(model, partial, packed)
        else:
            adapters.save_adapter(model, part.contract, partial)
        if not av:
            weight = {"weight": part.head.weight.detach().float().cpu().contiguous()}
            (quant.save if packed else save_file)(weight, str(partial / official.HEAD))
        part.tokenizer.save_pretrained(str(partial))
        contracts.write(part.contract, partial)
