"""Texts that are no English prose: code, data, emoji, other scripts, by rule.

The base model has hardly seen any. The verbalizer reads such vectors all the same, and must not loop over them. What
they look like stands in oddments.jinja, a macro a kind.
"""

import json
from collections.abc import Iterator
from importlib.resources import files
from random import Random
from typing import Any

from jinja2 import Environment

from thinkaloud.pocket.episodes.common import NAMES, words

KINDS = words("python emoji script json markup csv table settings log shell emoji languages numbers")

_TEMPLATE = files("thinkaloud.pocket").joinpath("oddments.jinja").read_text(encoding="utf-8")
_ENVIRONMENT = Environment(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.do"])
_MACROS = _ENVIRONMENT.from_string(_TEMPLATE, {"names": NAMES, "dumps": json.dumps}).module


def oddments(start: int, n: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """Documents `start` to `start` + `n`, {id, text}: some pieces of one kind each."""
    for i in range(start, start + n):
        random = Random(f"oddments|{seed}|{i}")
        make = getattr(_MACROS, KINDS[i % len(KINDS)])
        pieces = [make(random).removesuffix("\n") for _ in range(random.randint(3, 6))]
        yield {"id": f"odd/{seed}/{i}", "text": "\n".join(pieces)}
