"""Pairs known by name: where they are, their site, revision, hashes and figures, from pairs.yaml."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Literal

import yaml

from thinkaloud.fingerprint import at


@dataclass(frozen=True)
class Known:
    """A pair of pairs.yaml. `hash` and `figures` are by half and by name; empty where nobody has taken them."""

    where: Literal["bundled", "hub"]
    av: str
    ar: str
    site: str
    base: str | None = None
    revision: Mapping[str, str] = field(default_factory=dict)
    hash: Mapping[str, str] = field(default_factory=dict)
    figures: Mapping[str, float] = field(default_factory=dict)

    def paths(self) -> tuple[str, str, str | None]:
        """The names of the AV, the AR and the base model, each at its revision."""
        return str(at(self.av, self.revision.get("av"))), str(at(self.ar, self.revision.get("ar"))), self.base


@cache
def known() -> Mapping[str, Known]:
    """The pairs by name."""
    found = yaml.safe_load(files("thinkaloud.pair").joinpath("pairs.yaml").read_text(encoding="utf-8"))
    return {name: Known(**about) for name, about in found.items()}
