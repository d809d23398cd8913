"""Which studies are there, and what may be asked of each? Frozen, validated on construction, free of torch."""

import json
import math
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal

from thinkaloud.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Study:
    """What all studies have in common."""

    name: ClassVar[str]

    nla: str = "pocket"
    """The pair: pocket (the bundled one), a folder with av and ar in it, or a hub name."""
    out: str
    """Folder to write: tables, figures and index.html. A study that was stopped in it goes on where it was."""
    seed: int = 0
    """Seed of what is sampled: explanations, positions, problems, bootstraps."""
    max_tokens: int = 150
    """The longest explanation, in tokens."""
    device: str | None = None
    """cpu, cuda or cuda:N; the best there is, if nothing is said."""

    def __post_init__(self) -> None:
        for name in self.counts():
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be 1 or more, found {getattr(self, name)}")

    def counts(self) -> tuple[str, ...]:
        """Fields that are numbers of something: 1 or more."""
        return ("max_tokens",)

    def asked(self) -> dict[str, Any]:
        """What decides the result."""
        return {key: value for key, value in asdict(self).items() if key not in ("out", "device")}


@dataclass(frozen=True, kw_only=True)
class _OfProblems(Study):
    problems: str = "pocket"
    """Problems: pocket (word problems of the pocket world), or a JSONL file (perhaps .xz) with question and answer."""
    n: int = 200
    """Problems to work, at most."""
    solution_tokens: int = 256
    """The longest solution M may write, in tokens."""
    places: tuple[str, ...] = ("question end", "border", "answer-4", "answer-1", "answer", "answer end")
    """Where activations are read: question end (the prompt's last token), solution+k (from the first token of M's
    solution, solution+0) or solution-k (from its last, solution-1), border (the token of ####), answer (its first
    token), answer end (its last), each with an offset as in answer-2."""

    def counts(self) -> tuple[str, ...]:
        return (*super().counts(), "n", "solution_tokens")


@dataclass(frozen=True, kw_only=True)
class Answers(_OfProblems):
    """Do explanations hold the answer of a problem that the model is working, and is it the right one?"""

    name: ClassVar[str] = "answers"

    samples: int = 4
    """Explanations sampled at each place, at temperature 1, beside the greedy one."""
    temperature: float = 1.0
    """Temperature of the sampled ones."""
    labelled: str | None = None
    """JSONL with text and label to check the classes of degenerate explanations on; default: the bundled one."""

    def counts(self) -> tuple[str, ...]:
        return (*super().counts(), "samples")


@dataclass(frozen=True, kw_only=True)
class Anchors(_OfProblems):
    """How much does each sentence of an explanation decide about what follows it?"""

    name: ClassVar[str] = "anchors"

    n: int = 20
    """Problems to work, at most; an explanation is made at each place of each."""
    places: tuple[str, ...] = ("question end", "border", "answer-4", "answer-1", "answer end")
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

    def counts(self) -> tuple[str, ...]:
        return (*super().counts(), "rollouts")


@dataclass(frozen=True, kw_only=True)
class Survey(Study):
    """What do explanations look like, what in them carries the vector, and which tokens are hard?"""

    name: ClassVar[str] = "survey"

    texts: str = "pocket"
    """Texts: anything thinkaloud extract takes, or pocket (episodes of the pocket world that are no chats)."""
    chats: str = "pocket"
    """Chats: anything thinkaloud extract takes that holds messages, or pocket (those of the pocket world)."""
    n: int = 20_000
    """Positions of each."""
    positions: int = 6
    """Positions of a text or chat."""
    regenerate: bool = False
    """Let M write the assistant's turns anew, so that they are its own."""
    reply_tokens: int = 64
    """The longest such turn, in tokens."""
    clusters: int = 12
    """Clusters of explanation sentences."""
    ablated: int = 2_000
    """Explanations whose paragraphs are removed and replaced."""
    browse: int = 600
    """Explanations that the page lets one browse."""

    def counts(self) -> tuple[str, ...]:
        return (*super().counts(), "n", "positions", "reply_tokens", "clusters", "ablated", "browse")


@dataclass(frozen=True, kw_only=True)
class Positions(Study):
    """What persists in words along a text, and does a fact appear in them before the text states it?"""

    name: ClassVar[str] = "positions"

    texts: str = "pocket"
    """Texts: anything thinkaloud extract takes, or pocket (episodes whose facts are known)."""
    n: int = 100
    """Texts that are read, every position of each."""
    longest: int = 128
    """Tokens of a text that are read, from its beginning."""
    samples: int = 1
    """Explanations at each position; 1 is greedy."""
    reach: int = 12
    """How far apart positions are compared."""

    def counts(self) -> tuple[str, ...]:
        return (*super().counts(), "n", "longest", "samples", "reach")


STUDIES: dict[str, type[Study]] = {kind.name: kind for kind in (Answers, Anchors, Survey, Positions)}

# What --preset sets; everything can still be changed on the command line.
PRESETS: dict[Literal["pocket"], dict[str, dict[str, Any]]] = {
    "pocket": {
        "answers": {"nla": "pocket", "problems": "pocket", "solution_tokens": 64, "max_tokens": 120},
        "anchors": {"nla": "pocket", "problems": "pocket", "solution_tokens": 64, "max_tokens": 120},
        "survey": {"nla": "pocket", "texts": "pocket", "chats": "pocket", "max_tokens": 120},
        "positions": {"nla": "pocket", "texts": "pocket", "max_tokens": 120},
    }
}


def from_file(path: Path, kind: type[Study]) -> dict[str, Any]:
    """Values for a study from a JSON file; UserError for what is no field of it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"no file {path}") from None
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{path} is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise UserError(f"{path} must hold one JSON object, found {type(found).__name__}")
    names = {field.name for field in fields(kind)}
    odd = sorted(set(found) - names)
    if odd:
        raise UserError(f"{path}: no option {odd[0]!r} in the study {kind.name}: there are {', '.join(sorted(names))}")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in found.items()}
    for field in fields(kind):
        like = type(field.default) if field.default is not MISSING and field.default is not None else None
        value = values.get(field.name)
        if like and value is not None and type(value) not in ((int, float) if like is float else (like,)):
            raise UserError(f"{path}: {field.name} must be {like.__name__}, found {value!r}")
    return values
