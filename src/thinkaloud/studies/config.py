"""Options that studies share, and the registry of studies; free of torch."""

import json
import shlex
import sys
from dataclasses import MISSING, asdict, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from thinkaloud.atomic import sha256_of
from thinkaloud.errors import UserError
from thinkaloud.registry import Registry

if TYPE_CHECKING:
    from thinkaloud.pair.nla import NLA
    from thinkaloud.studies.folder import Folder, Watch
    from thinkaloud.studies.page import Page
    from thinkaloud.studies.results import Results


@dataclass(frozen=True, kw_only=True)
class Study:
    """The options of a study, and what it does: `run` makes tables with the pair, `analyse` numbers of the
    tables, `page` draws them without it.

    `@study` registers one. Its docstring's first line is its help, `presets` are named values of its options.
    """

    name: ClassVar[str]
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    analysis: ClassVar[dict[str, tuple[str, ...]]] = {}
    """Options that change the analysis alone, each with the tables that are made anew for it."""
    counts: ClassVar[tuple[str, ...]] = ("max_tokens",)
    """Options that are numbers of something: 1 or more."""

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
        for name in self.counts:
            if getattr(self, name) < 1:
                raise UserError(f"{name} must be 1 or more, found {getattr(self, name)}")

    def asked(self) -> dict[str, Any]:
        """What decides the result."""
        return {key: value for key, value in asdict(self).items() if key not in ("out", "device")}

    def sources(self) -> dict[str, str]:
        """Which weights and files it is of, by hash: a pair that was trained again under its name is another one."""
        from thinkaloud.fingerprint import weights_hash
        from thinkaloud.pair.nla import pair_paths

        parts = dict(zip(("av", "ar", "base"), pair_paths(self.nla), strict=True)) if self.loads_pair else {}
        named = {name: Path(value) for name, value in asdict(self).items() if isinstance(value, str)}
        files = {name: path for name, path in named.items() if name not in self.analysis and path.is_file()}
        return {part: weights_hash(path) for part, path in parts.items() if path is not None} | {
            name: sha256_of(path) for name, path in files.items()
        }

    @property
    def loads_pair(self) -> bool:
        """Whether `run` needs the pair."""
        return True

    def check(self) -> None:
        """Refuse files that are not there before a model is loaded."""

    def run(self, folder: "Folder", nla: "NLA", watch: "Watch") -> None:
        """Make the study's tables and results, or go on with them. A package does so in its module `run`."""
        import_module(f"{type(self).__module__}.run").run(self, folder, nla, watch)

    def analyse(self, folder: "Folder") -> "Results":
        """Every number of the page, from the tables, without a model: by `results` in a package's module `analysis`."""
        from thinkaloud.studies.results import Results

        make = getattr(import_module(f"{type(self).__module__}.analysis"), "results", None)
        return make(self, folder) if make else Results(self.name)

    def page(self, folder: "Folder") -> "Page":
        """The page, from results.parquet. A package has its template in page.jinja."""
        from thinkaloud.studies.page import told

        return told(type(self).__module__, folder, config=self)

    def command(self) -> str:
        """The command that makes this study again: what differs from the defaults."""
        file = sys.modules[type(self).__module__].__file__ or ""
        words = [
            "thinkaloud",
            "study",
            self.name if type(self).__module__.startswith("thinkaloud.") else Path(file).name,
        ]
        for option in fields(self):
            value = getattr(self, option.name)
            if option.name in ("out", "device") or value == option.default:
                continue
            flag = "--" + option.name.replace("_", "-")
            if isinstance(value, bool):
                words.append(flag if value else flag.replace("--", "--no-", 1))
            else:
                words += [flag, *map(str, value if isinstance(value, tuple) else (value,))]
        return shlex.join([*words, "--out", "DIR"])


study: Registry[type[Study]] = Registry("study", "thinkaloud.studies", folders=True)


@dataclass(frozen=True, kw_only=True)
class OfProblems(Study):
    """Options of studies in which M works problems and its activations are read at named places."""

    presets: ClassVar = {"pocket": {"problems": "pocket", "solution_tokens": 64, "max_tokens": 120}}
    counts: ClassVar = (*Study.counts, "n", "solution_tokens")

    problems: str = "pocket"
    """Problems: pocket (word problems of the pocket world), or a JSONL file (perhaps .xz) with question and answer."""
    n: int = 200
    """Problems to work, at most."""
    solution_tokens: int = 512
    """The longest solution M may write, in tokens; one that is cut there has no answer, and is not a wrong one."""
    system: str | None = None
    """A system message before the question."""
    instruction: str | None = None
    """What stands behind the question. Those of a file ask for `#### <number>`, if nothing is said; "" asks nothing."""
    places: tuple[str, ...] = ("question end", "border", "answer-4", "answer-1", "answer", "answer end")
    """Where activations are read: question end (the prompt's last token), solution+k (from the first token of M's
    solution, solution+0) or solution-k (from its last, solution-1), border (the token of ####), answer (its first
    token), answer end (its last), each with an offset as in answer-2."""

    def check(self) -> None:
        if self.problems == "pocket" and (self.system or self.instruction):
            raise UserError("problems of the pocket world are put as they are: leave --system and --instruction out")
        if self.problems not in ("pocket", "graded") and not Path(self.problems).is_file():
            raise UserError(f"no file {self.problems}: problems must be a JSONL file")
        if not self.places:
            raise UserError("places must name one place or more, found none")
        from thinkaloud.studies.problems import place_of

        for place in self.places:
            place_of(place)


def corpora(study: Study, *names: str) -> None:
    """UserError where an option names a corpus that cannot be read."""
    from thinkaloud.activations import read_corpus

    for name in names:
        if getattr(study, name) != "pocket":
            read_corpus(getattr(study, name))


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
