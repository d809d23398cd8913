"""Reference weights: a copy of what learns as it was at the start, put in its place for a while."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Frozen:
    """The parameters of `module` that learn, as they are now; what does not learn is shared, not copied."""

    def __init__(self, module: nn.Module) -> None:
        self.kept = [(p, p.detach().clone()) for p in module.parameters() if p.requires_grad]

    @contextmanager
    def reference_weights(self) -> Iterator[None]:
        """Inside, the module computes with the kept parameters. Enter autocast inside: it remembers its casts."""
        live = [parameter.data for parameter, _ in self.kept]
        with torch.no_grad():
            try:
                for parameter, kept in self.kept:
                    parameter.data = kept
                yield
            finally:
                for (parameter, _), data in zip(self.kept, live, strict=True):
                    parameter.data = data

    def of(self, part: nn.Module) -> Mapping[str, Tensor]:
        """The kept parameters of a part of the module, by their names in it."""
        by_id = {id(parameter): kept for parameter, kept in self.kept}
        return {name: by_id[id(p)] for name, p in part.named_parameters() if id(p) in by_id}
