"""A kind of injection of its own, outside the package: the vector is added to the marker's embedding."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from thinkaloud.injection import Injection, injection


@injection
class EmbeddingSum(Injection):
    """e ← e + v · scale/‖v‖ at the marker."""

    name = "embedding_sum"
    takes_scale = True
    place = "added to the marker's embedding"

    def apply(self, embeds: Tensor, slots: Sequence[int], vectors: Tensor) -> tuple[Tensor, dict[str, Any]]:
        out = embeds.clone()
        out[:, list(slots)] = out[:, list(slots)] + vectors.to(out)
        return out, {}
