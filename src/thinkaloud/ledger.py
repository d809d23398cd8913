"""The ledger of a folder: what its run was begun with (options, weights and data by hash), and whether one may go on.

A verb writes down what decides its bytes before it makes anything. Given again in the same folder it goes on; a run
begun otherwise is refused in one line that names the first field that differs.
"""

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from thinkaloud.atomic import read_mapping
from thinkaloud.errors import UserError


def read(path: Path) -> dict[str, Any]:
    """What was written down; empty where there is no ledger, UserError where it cannot be read."""
    return read_mapping(path, "") if path.exists() else {}


def check(folder: Path, before: Mapping[str, Any], entries: Mapping[str, Any], free: Collection[str] = ()) -> None:
    """Refuse to go on in `folder` where `entries` differ from those `before`; the fields `free` (dotted) may."""
    if found := first_difference(before, plain(entries), free):
        name, old, new = found
        raise UserError(
            f"{folder} was begun with {name} = {_short(old)}, now it is {_short(new)}: choose another folder, "
            "or take that again"
        )


def first_difference(old: Any, new: Any, free: Collection[str] = (), name: str = "") -> tuple[str, Any, Any] | None:
    """The first field of nested mappings that differs, in the order of `new`: (dotted name, old, new).

    A field that only one of them has is passed over: an older version wrote it down, or did not yet.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        inside = ((key, f"{name}.{key}" if name else key) for key in new if key in old)
        found = (first_difference(old[key], new[key], free, dotted) for key, dotted in inside if dotted not in free)
        return next(filter(None, found), None)
    return None if old == new else (name, old, new)


def plain(entries: Mapping[str, Any]) -> dict[str, Any]:
    """Entries as JSON gives them back."""
    return json.loads(json.dumps(entries, default=str))


def _short(value: Any) -> str:
    """A value as a message shows it; of a hash its beginning."""
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:24]}…"
