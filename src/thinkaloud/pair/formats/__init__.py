"""Loading and saving an AV or AR, in whichever format it is."""

from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from safetensors.torch import save_file

from thinkaloud import contract as contracts
from thinkaloud import families, quant
from thinkaloud.atomic import whole_folder
from thinkaloud.contract import Contract
from thinkaloud.errors import UserError
from thinkaloud.loading import (
    load_backbone,
    load_causal_lm,
    load_config,
    load_tokenizer,
    pick_device,
    pick_dtype,
    resolve,
)
from thinkaloud.pair.formats import adapters, official
from thinkaloud.site import Site


def read_contract(path: str | Path, role: str) -> Contract:
    """The contract of an AV or AR ("av" or "ar"), before its weights are loaded."""
    folder = resolve(path)
    contract = adapters.read_contract(folder, role) if adapters.is_adapter(folder) else contracts.read(folder)
    if contract.role != role:
        raise UserError(f"{folder} is an {contract.role.upper()}: expected an {role.upper()}")
    return contract


class Bases:
    """Base models, each loaded once for its device and dtype, whose weights M and the adapters over them share.

    For a pair that reads: what is trained has weights of its own, and is loaded without.
    """

    def __init__(self) -> None:
        self._loaded: dict[tuple[Path, torch.device, torch.dtype], Any] = {}

    def model(self, source: str | Path, device: str | None, dtype: Any) -> Any:
        """The causal model of `source`; whoever puts something into it takes a `families.twin`."""
        where = torch.empty(0, device=pick_device(device)).device  # "cuda" is "cuda:0"
        key = (resolve(source), where, pick_dtype(where, dtype))
        if key not in self._loaded:
            self._loaded[key] = load_causal_lm(source, device, dtype)
        return self._loaded[key]

    def backbone(self, source: str | Path, layer: int, device: str | None, dtype: Any, final_norm: bool) -> Any:
        """A twin of the model's first `layer` + 1 blocks, as `load_backbone` gives them."""
        twin = families.twin(self.model(source, device, dtype))
        Site("resid_post", layer).check(families.n_blocks(twin))
        stack = families.truncated(twin, layer)
        if final_norm:
            name = families.family_of(stack.config).norm
            setattr(stack, name, getattr(families.text_model(twin), name))
        return stack


def load(
    path: str | Path,
    role: str,
    *,
    base: str | Path | None = None,
    device: str | None = None,
    dtype: Any = None,
    bases: Bases | None = None,
) -> tuple[Any, ...]:
    """Model, tokenizer and contract of an AV; backbone, head, tokenizer and contract of an AR.

    `path` is a folder or a hub name: a whole checkpoint in the official layout, or a peft adapter over `base`, else
    over the model that its contract or its adapter_config.json names. Adapters share the base models in `bases`.
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
    shared = bases if adapter is not None else None
    if role == "av":
        model = families.twin(shared.model(source, device, dtype)) if shared else load_causal_lm(source, device, dtype)
    else:
        assert contract.site is not None  # an AR's contract has one
        weight = official.read_head(folder, contract.d_model) if weight is None else weight
        backbone = shared.backbone if shared else load_backbone
        model = backbone(source, contract.site.layer, device, dtype, contract.final_norm)
    if adapter is not None:
        model = adapters.adapted(folder, model, *adapter)
    tokenizer = load_tokenizer(folder if (folder / "tokenizer_config.json").is_file() else source)
    head = () if weight is None else (official.head_from(weight).to(pick_device(device)),)
    return model, *head, tokenizer, contract


class Half:
    """An AV or an AR, of a folder or a hub name."""

    role: ClassVar[str]

    @classmethod
    def from_pretrained(
        cls,
        path: str | Path,
        *,
        base: str | Path | None = None,
        device: str | None = None,
        dtype: Any = None,
        bases: Bases | None = None,
    ) -> Self:
        """Load it: a checkpoint in the official layout, or an adapter over its `base`, which is shared in `bases`."""
        return cls(*load(path, cls.role, base=base, device=device, dtype=dtype, bases=bases))


def save(part: Any, folder: Path, store: str | None = None) -> None:
    """Write a `Verbalizer` or a `Reconstructor`: an adapter without its base and in the dtype it has, else all weights.

    `store` is the dtype to write them in, if not the one they have; "int8" packs them, an adapter's and an AR's head
    too, which only this package reads.
    """
    av = part.contract.role == "av"
    model = part.model if av else part.backbone
    whole = not hasattr(model, "peft_config")
    packed = store == "int8"
    if whole and store is not None:
        model.to(torch.bfloat16 if store == "bfloat16" else torch.float32)  # eight-bit packing starts from float32
    with whole_folder(folder) as partial:
        if whole:
            official.save_model(model, partial, packed)
            part.tokenizer.save_pretrained(str(partial))
        else:  # its tokenizer is that of its base
            adapters.save_adapter(model, part.contract, partial, packed)
        if not av:
            weight = {"weight": part.head.weight.detach().float().cpu().contiguous()}
            (quant.save if packed else save_file)(weight, str(partial / official.HEAD))
        contracts.write(part.contract, partial)
