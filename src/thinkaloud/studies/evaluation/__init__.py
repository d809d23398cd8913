"""Study: what an NLA is worth, by evaluations with controls; `thinkaloud eval` runs it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from thinkaloud.errors import UserError
from thinkaloud.studies.config import Study, corpora, study

if TYPE_CHECKING:
    from thinkaloud.evals.base import Evaluation
    from thinkaloud.studies.folder import Folder
    from thinkaloud.studies.page import Page


@study
@dataclass(frozen=True, kw_only=True)
class Evaluate(Study):
    """What is this NLA worth? Evaluations with controls beside every figure, on activations it was not trained on."""

    name: ClassVar[str] = "evaluation"
    presets: ClassVar = {"pocket": {"max_tokens": 120}}
    # Evaluations may be added to a folder later; what they have measured stays.
    analysis: ClassVar = {
        **{"suite": (), "only": (), "second": ("controls",), "other": ("stored",)},
        "tail_ar": ("tail", "tail_gain"),
    }

    data: str | None = None
    """A folder that thinkaloud extract wrote (with --next-tokens, which many evaluations need): its held-out rows."""
    texts: str = "pocket"
    """Without data: a corpus whose documents are read, anything thinkaloud extract takes, or pocket (episodes of the
    pocket world that no pair was trained on)."""
    split: str = "heldout"
    """Rows of the data: heldout or train."""
    suite: Literal["core", "truth", "all"] = "core"
    """core: reconstruction and its controls; truth: what is said against what is known; or both. No judge is needed."""
    only: tuple[str, ...] = ()
    """Only these evaluations, by name, in place of a suite; or a Python file that registers one."""
    n: int = 1000
    """Activations, at most, evenly spread over the documents."""
    samples: int = 4
    """Sampled explanations of every fourth of the activations, beside the greedy ones of all."""
    second: str | None = None
    """A second, independent AR to read the same explanations: a pair or an AR of another training."""
    other: str | None = None
    """Another model of M's shape, such as a fine-tune: what the pair says of its activations of the same texts."""
    tail_ar: tuple[str, ...] = ()
    """ARs trained on the last K tokens as the explanation, K=DIR each (recipes/ablations/tail.py writes such data)."""

    def check(self) -> None:
        if self.data is None:
            corpora(self.texts)
        elif not Path(self.data).is_dir():
            raise UserError(f"no folder {self.data}: data must be one that thinkaloud extract wrote")
        self.evaluations()
        self.tails()

    def evaluations(self) -> "dict[str, Evaluation]":
        """The evaluations that are asked for, by name."""
        import thinkaloud.pocket.facts  # noqa: F401  an evaluation that lies with the world it is of
        from thinkaloud.evals.base import chosen

        return chosen(self.suite, self.only)

    def page(self, folder: "Folder") -> "Page":
        """The page; what an evaluation lacked stands where its figures would."""
        from thinkaloud.studies.page import told

        return told(__name__, folder, config=self, lacking=folder.results().get("lacking", {}))

    def tails(self) -> dict[int, str]:
        """The ARs of tails by the number of their tokens; UserError for one that does not say it."""
        found = {}
        for one in self.tail_ar:
            k, _, name = one.partition("=")
            if not k.isdigit() or not int(k) or not name:
                raise UserError(f"expected --tail-ar K=DIR, as 8=runs/tail-8, found {one!r}")
            found[int(k)] = name
        return found
