"""Study: whether explanations name the answer of a problem that M is working."""

from dataclasses import dataclass
from typing import ClassVar

from thinkaloud.studies.config import OfProblems, study


@study
@dataclass(frozen=True, kw_only=True)
class Answers(OfProblems):
    """Do explanations hold the answer of a problem that the model is working, and is it the right one?"""

    name: ClassVar[str] = "answers"
    counts: ClassVar = (*OfProblems.counts, "samples")
    analysis: ClassVar = {"labelled": ()}

    samples: int = 4
    """Explanations sampled at each place, at temperature 1, beside the greedy one."""
    temperature: float = 1.0
    """Temperature of the sampled ones."""
    labelled: str | None = None
    """JSONL with text and label to check the classes of degenerate explanations on; default: the bundled one."""
