"""Which kind of checkpoint is this, and who loads it: one loader a format."""

from pathlib import Path
from typing import Any

from thinkaloud.loading import resolve
from thinkaloud.pair.formats import adapters, official
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer


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
