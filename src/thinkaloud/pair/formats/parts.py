"""The parts of an AV and an AR that every checkpoint format loads and saves."""

from typing import Any, Protocol

from torch import nn

from thinkaloud.contract import Contract

AVParts = tuple[Any, Any, Contract]
"""Model, tokenizer, contract."""
ARParts = tuple[Any, nn.Linear, Any, Contract]
"""Backbone, head, tokenizer, contract."""


class AV(Protocol):
    """What is saved of a verbalizer."""

    model: Any
    tokenizer: Any
    contract: Contract


class AR(Protocol):
    """What is saved of a reconstructor."""

    backbone: Any
    head: nn.Linear
    tokenizer: Any
    contract: Contract
