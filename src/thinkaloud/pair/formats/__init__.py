"""Loading and saving an AV or AR, in whichever format it is."""

from pathlib import Path
from typing import Any

import torch

from thinkaloud.contract import Contract
from thinkaloud.loading import resolve
from thinkaloud.pair.formats import adapters, official
from thinkaloud.pair.formats.parts import AR, AV, ARParts, AVParts


def read_contract(path: str | Path, role: str) -> Contract:
    """The contract of an AV or AR ("av" or "ar"), before its weights are loaded."""
    folder = resolve(path)
    is_adapter = adapters.is_av_adapter if role == "av" else adapters.is_ar_adapter
    return adapters.read_contract(folder, role) if is_adapter(folder) else official.read_contract(folder, role)


def load_av(
    path: str | Path, *, base: str | Path | None = None, device: str | None = None, dtype: Any = None
) -> AVParts:
    """The parts of an AV from a folder or hub name: official layout, or a peft adapter over `base`."""
    folder = resolve(path)
    if adapters.is_av_adapter(folder):
        return adapters.load_av(folder, base=base, device=device, dtype=dtype)
    return official.load_av(folder, device=device, dtype=dtype)


def load_ar(
    path: str | Path, *, base: str | Path | None = None, device: str | None = None, dtype: Any = None
) -> ARParts:
    """The parts of an AR from a folder or hub name: official layout, or an adapter with its head over `base`."""
    folder = resolve(path)
    if adapters.is_ar_adapter(folder):
        return adapters.load_ar(folder, base=base, device=device, dtype=dtype)
    return official.load_ar(folder, device=device, dtype=dtype)


def save(part: AV | AR, folder: Path, store: str) -> None:
    """Write an AV or AR: an adapter by itself, else all weights in the dtype `store` ("int8": packed)."""
    av = part.contract.role == "av"
    model = getattr(part, "model" if av else "backbone")
    write: Any
    if hasattr(model, "peft_config"):
        write = adapters.save_av_adapter if av else adapters.save_ar_adapter
        return write(part, folder)
    model.to(torch.bfloat16 if store == "bfloat16" else torch.float32)  # eight-bit packing starts from float32
    write = official.save_av if av else official.save_ar
    return write(part, folder, packed=store == "int8")
