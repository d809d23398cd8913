"""Which weights exactly: hashes of checkpoints and of models in memory, and the revisions of hub repositories."""

import hashlib
import os
import re
from pathlib import Path

import torch
from torch import nn

from thinkaloud import families, packages
from thinkaloud.loading import bundled, resolve
from thinkaloud.site import Site

_END = 1 << 20  # bytes


def weights_hash(path: str | Path) -> str:
    """A short hash of the names, sizes and ends of a checkpoint's safetensors files, an AR's head among them."""
    digest = hashlib.sha256()
    for file in sorted(resolve(path).glob("*.safetensors")):
        digest.update(f"{file.name}:{file.stat().st_size}".encode())
        with file.open("rb") as opened:
            digest.update(opened.read(_END))
            opened.seek(max(0, file.stat().st_size - _END), os.SEEK_SET)
            digest.update(opened.read())
    return digest.hexdigest()[:16]


def fingerprint(path: str | Path) -> str:
    """A short hash of a checkpoint's configuration and weights: which model exactly this is."""
    config = (resolve(path) / "config.json").read_bytes()
    return hashlib.sha256(config + weights_hash(path).encode()).hexdigest()[:16]


def same_model(one: str, other: str) -> bool:
    """Whether two names mean one model: by name; models on this machine under two names, by their weights."""
    if one == other:
        return True
    return _is_here(one) and _is_here(other) and fingerprint(one) == fingerprint(other)


def _is_here(name: str) -> bool:
    """Whether a name means weights on this machine, with nothing to download."""
    packaged = packages.packaged().get(name)
    return (bundled(name) or (packaged.folder if packaged else Path(name).expanduser())).is_dir()


def module_hash(model: nn.Module, site: Site) -> str:
    """A short hash of the weights that make the vectors at `site`: 1,024 evenly spaced values of each tensor."""
    digest = hashlib.sha256()
    for name, tensor in sorted(families.truncated(model, site.layer).named_parameters()):
        flat = tensor.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // 1024)].contiguous().cpu()
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}".encode())
        digest.update(sample.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


def revision(path: str | Path) -> str | None:
    """The commit of a checkpoint in the hub's cache, whose folders are named so; None for any other folder."""
    found = re.search(r"[/\\]snapshots[/\\]([0-9a-f]{40})(?=[/\\]|$)", str(path))
    return found.group(1) if found else None


def at(name: str | Path, commit: str | None) -> str | Path:
    """A hub name pinned to a commit, as `resolve` takes it; the name as it is where there is none."""
    return f"{name}@{commit}" if commit else name
