"""Study: thought anchors, the counterfactual importance of sentences."""

import math
from dataclasses import dataclass
from typing import ClassVar

from thinkaloud.errors import UserError
from thinkaloud.studies.config import OfProblems, study


@study
@dataclass(frozen=True, kw_only=True)
class Anchors(OfProblems):
    """How much does each sentence of an explanation, or of M's own solution, decide about what follows it?"""

    name: ClassVar[str] = "anchors"
    analysis: ClassVar = {"threshold": (), "thresholds": (), "embedding": ("similarity", "trace_similarity")}

    n: int = 20
    """Problems to work, at most; an explanation is made at each place of each, and M's solution is continued itself."""
    rollouts: int = 40
    """Continuations with a sentence kept, and as many with it resampled."""
    threshold: float = 0.8
    """Resampled sentences at or above this similarity to the original are dropped."""
    thresholds: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
    """Thresholds of the sweep."""
    embedding: str = "ar"
    """What similarity is measured in: ar (the AR's own space, needs nothing more), or a sentence encoder by name."""
    temperature: float = 1.0
    """Temperature of explanations and continuations."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for value in (self.threshold, *self.thresholds):
            if not -1 <= value <= 1:
                raise UserError(f"a threshold is a cosine, from -1 to 1, found {value}")
        if not (math.isfinite(self.temperature) and self.temperature > 0):
            raise UserError(f"temperature must be above 0, found {self.temperature}: greedy rollouts are all alike")
