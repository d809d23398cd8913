"""Pairs known by name: where they are, their site, revision, hashes and figures, from pairs.yaml."""

from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

from thinkaloud.fingerprint import at


@cache
def known() -> Mapping[str, Mapping[str, Any]]:
    """The pairs by name, each with the keys that pairs.yaml explains."""
    return yaml.safe_load(files("thinkaloud.pair").joinpath("pairs.yaml").read_text(encoding="utf-8"))


def paths(pair: Mapping[str, Any]) -> tuple[str, str, str | None]:
    """The names of the AV, the AR and the base model of a known pair, the halves each at its revision."""
    av, ar = (str(at(pair[half], pair.get("revision", {}).get(half))) for half in ("av", "ar"))
    return av, ar, pair.get("base")
