"""Configurations as earlier versions wrote them down: one flat mapping, some options under other names."""

from typing import Any

from thinkaloud.config.nested import Nested


def flat(config: Nested) -> dict[str, Any]:
    """The options of a configuration as the version before there were groups had them."""
    names = {full: name for name, full in config.EARLIER.items()}
    options = dict(config.to_dict())
    for group in config.groups():
        options |= {f"{group}.{name}": value for name, value in options.pop(group).items()}
    found = {names.get(full, full.rpartition(".")[2]): value for full, value in options.items()}
    if "final_lr_ratio" in found:  # a warm start's was a rate
        ratio, peak = found.pop("final_lr_ratio"), found["lr"]
        found["final_lr"] = None if peak is None else peak * ratio
    return found
