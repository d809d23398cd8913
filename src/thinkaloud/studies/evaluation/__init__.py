"""Study: what an NLA is worth, by evaluations with controls; `thinkaloud eval` runs it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from thinkaloud.errors import UserError
from thinkaloud.studies.config import Study, corpora, study

if TYPE_CHECKING:
    from thinkaloud.evals.base import Evaluation


@study
@dataclass(frozen=True, kw_only=True)
class Evaluate(Study):
    """What is this NLA worth? Evaluations with controls beside every figure, on activations it was not trained on."""

    name: ClassVar[str] = "evaluation"
    presets: ClassVar = {"pocket": {"max_tokens": 120}}

    data: str | None = None
    """A folder that thinkaloud extract wrote (with --next-tokens, which many evaluations need): its held-out rows."""
    texts: str = "pocket"
    """Without data: a corpus whose documents are read, anything thinkaloud extract takes, or pocket (episodes of the
    pocket world that no pair was trained on)."""
    split: str = "heldout"
    """Rows of the data: heldout or train."""
    suite: Literal["core", "truth", "judged", "all"] = "core"
    """core: reconstruction and its controls, no judge needed; truth: what is said against what is known; judged: by a
    language model; all of these."""
    only: tuple[str, ...] = ()
    """Only these evaluations, by name, in place of a suite; or a Python file that registers one."""
    n: int = 1000
    """Activations, at most, evenly spread over the documents."""
    samples: int = 4
    """Sampled explanations of each of the first quarter of the activations, beside the greedy ones of all."""
    second: str | None = None
    """A second, independent AR to read the same explanations: a pair or an AR of another training."""

    def check(self) -> None:
        if self.data is None:
            corpora(self.texts)
        elif not Path(self.data).is_dir():
            raise UserError(f"no folder {self.data}: data must be one that thinkaloud extract wrote")
        self.evaluations()

    def evaluations(self) -> "dict[str, Evaluation]":
        """The evaluations that are asked for, by name."""
        import thinkaloud.pocket.facts  # noqa: F401  an evaluation that lies with the world it is of
        from thinkaloud.evals.base import chosen

        return chosen(self.suite, self.only)
