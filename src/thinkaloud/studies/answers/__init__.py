"""Study: whether explanations name the answer of a problem that M is working."""

from dataclasses import dataclass, replace
from typing import ClassVar

from thinkaloud.errors import UserError
from thinkaloud.studies.config import OfProblems, study


@study
@dataclass(frozen=True, kw_only=True)
class Answers(OfProblems):
    """Do explanations hold the answer of a problem that the model is working, and is it the right one?"""

    name: ClassVar[str] = "answers"
    presets: ClassVar = {"pocket": {**OfProblems.presets["pocket"], "problems": "pocket"}}
    counts: ClassVar = (*OfProblems.counts, "samples")
    analysis: ClassVar = {"labelled": ()}

    problems: str = "graded"
    """Problems: graded (made ones of one to three steps, with worked examples), pocket (of the pocket world, for the
    pocket model), or a JSONL file (perhaps .xz) with question and answer, as of GSM8K."""
    solution_tokens: int = 512
    """The longest solution M may write, in tokens; one that is cut there has no answer, and is not a wrong one."""
    system: str | None = None
    """A system message before the question."""
    instruction: str | None = None
    """What stands behind the question. Those of a file ask for `#### <number>`, if nothing is said; "" asks nothing."""
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
    labelled: str | None = None
    """JSONL with text and label to check the classes of degenerate explanations on; default: the bundled one."""

    def check(self) -> None:
        if self.problems == "pocket" and (self.system or self.instruction):
            raise UserError("problems of the pocket world are put as they are: leave --system and --instruction out")
        OfProblems.check(replace(self, problems="pocket") if self.problems == "graded" else self)
