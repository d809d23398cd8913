"""Study: whether explanations name the answer of a problem that M is working."""

from dataclasses import dataclass
from typing import ClassVar

from thinkaloud.studies.config import OfProblems, study


@study
@dataclass(frozen=True, kw_only=True)
class Answers(OfProblems):
    """Do explanations hold the answer of a problem that the model is working, and is it the right one?"""

    name: ClassVar[str] = "answers"
    places: tuple[str, ...] = (
        *("question end", "sentence ends", "first mention-4", "first mention-1"),
        *("border", "answer-1", "answer", "answer end"),
    )
    samples: int = 4
    """Explanations sampled at each place, at temperature 1, beside the greedy one."""
    temperature: float = 1.0
    """Temperature of the sampled ones."""
