"""The AV or AR that a warm start goes on from: of the same model, site and width as the data, or refused."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch

from thinkaloud.activations.store import check_read_by
from thinkaloud.config.train import WarmStart
from thinkaloud.errors import UserError
from thinkaloud.loading import resolve
from thinkaloud.pair.doctor import find
from thinkaloud.pair.formats import adapters, read_contract
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer

BROUGHT = ("av_template", "ar_template", "marker", "injection", "injection_scale")  # what a contract says already


def load_start(
    config: WarmStart, manifest: Mapping[str, Any], device: torch.device, dtype: torch.dtype
) -> Verbalizer | Reconstructor:
    """The half that `config.start` names, with its contract; UserError where it is not of the data or of the mode."""
    role = config.role
    named = find(str(config.start))
    path, base = (named.av or named.ar if role == "av" else named.ar or named.av), named.base
    if path is None:
        raise UserError(f"{config.start} is no pair, no AV and no AR: there is nothing to go on from")
    found = read_contract(path, role)
    check_read_by(str(config.start), config.data, manifest, found.site, found.d_model, base or found.base_model)
    adapter = adapters.is_adapter(resolve(path))
    if adapter != (config.mode == "adapter"):
        kind = "an adapter" if adapter else "whole"
        raise UserError(f"{config.start} is {kind}: go on with --mode {'adapter' if adapter else 'full'}")
    for option in config.changed():
        if option in BROUGHT:
            raise UserError(f"{option} is that of {config.start}, which its weights rely on: leave it out with --start")
    load = Verbalizer.from_pretrained if role == "av" else Reconstructor.from_pretrained
    return load(path, base=base or manifest["model"]["name"], device=str(device), dtype=dtype)


def going_on(part: Verbalizer | Reconstructor, common: Mapping[str, Any], start: str) -> Any:
    """The contract of what goes on from `part`: its own, with this run's site, base and baseline."""
    kept = {name: value for name, value in part.contract.provenance.items() if name not in ("heldout", "rows")}
    return replace(part.contract, **common, provenance={**kept, "start": start})
