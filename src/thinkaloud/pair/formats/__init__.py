"""Which kind of checkpoint is this, and who loads it: one loader a format."""

from pathlib import Path
from typing import Any

from thinkaloud.contract import Contract
from thinkaloud.loading import resolve
from thinkaloud.pair.formats import adapters, official
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer


def read_contract(path: str | Path, role: str) -> Contract:
    """The contract of an AV or AR ("av" or "ar"), before its weights are loaded."""
    folder = resolve(path)
    is_adapter = adapters.is_av_adapter if role == "av" else adapters.is_ar_adapter
    return adapters.read_contract(folder, role) if is_adapter(folder) else official.read_contract(folder, role)


def load_verbalizer(
    path: str | Path, *, base: str | Path | None = None, device: str | None = None, dtype: Any = None
) -> Verbalizer:
    """An AV from a folder or hub name: official layout, or a peft adapter over `base`."""
    folder = resolve(path)
    if adapters.is_av_adapter(folder):
        return adapters.load_av(folder, base=base, device=device, dtype=dtype)
    return official.load_av(folder, device=device, dtype=dtype)


def load_reconstructor(
    path: str | Path, *, base: str | Path | None = None, device: str | None = None, dtype: Any = None
) -> Reconstructor:
    """An AR from a folder or hub name: official layout, or an adapter with its head over `base`."""
    folder = resolve(path)
    if adapters.is_ar_adapter(folder):
        return adapters.load_ar(folder, base=base, device=device, dtype=dtype)
    return official.load_ar(folder, device=device, dtype=dtype)
