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

    problems: str = "graded"
    """Problems: graded (made ones of one to three steps, with worked examples), pocket (of the pocket world, for the
    pocket model), or a JSONL file (perhaps .xz) with question and answer, as of GSM8K."""
    places: tuple[str, ...] = (
        *("question end", "sentence ends", "first mention-4", "first mention-1"),
        *("border", "answer-1", "answer", "answer end"),
    )
    """Where activations are read: question end (the prompt's last token), think start and think end, sentence starts
    and sentence ends (all of M's solution; sentence 2 end, sentence -1 end), solution+k and solution-k (from its first
    and last token, solution+0, solution-1), first mention (the first token of the first time that M writes its answer's
    number), border (the token of ####), answer and answer end (its tokens), each with an offset as in answer-2."""
    samples: int = 4
    """Explanations sampled at each place, at temperature 1, beside the greedy one."""
    temperature: float = 1.0
    """Temperature of the sampled ones."""
