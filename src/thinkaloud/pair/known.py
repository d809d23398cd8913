"""Pairs known by name: where they are, their site, revision, hashes and figures, from pairs.yaml."""

from collections.abc import Collection, Mapping
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from thinkaloud import loading
from thinkaloud.fingerprint import at, weights_hash


@cache
def known() -> Mapping[str, Mapping[str, Any]]:
    """The pairs by name, each with the keys that pairs.yaml explains."""
    return yaml.safe_load(files("thinkaloud.pair").joinpath("pairs.yaml").read_text(encoding="utf-8"))


def paths(pair: Mapping[str, Any]) -> tuple[str, str, str | None]:
    """The names of the AV, the AR and the base model of a known pair, the halves each at its revision."""
    av, ar = (str(at(pair[half], pair.get("revision", {}).get(half))) for half in ("av", "ar"))
    return av, ar, pair.get("base")


def is_bundled(name: str) -> bool:
    """Whether a name is that of a pair whose weights are in this installation."""
    folder = loading.bundled(f"{name}/av") if name in known() else None
    return folder is not None and folder.is_dir()


def other_base(names: Collection[Any], base: str | Path) -> str | None:
    """That `base` is not the model which the known pair among `names`, or half of it, was trained on; None if it is."""
    for name, pair in known().items():
        expected = pair.get("hash", {}).get("base")
        if expected is None or {name, pair["av"], pair["ar"]}.isdisjoint(names):
            continue
        if (found := weights_hash(base)) != expected:
            return (
                f"the pair {name} was trained on other weights than those of {base}: hash {found}, expected {expected}"
            )
    return None
