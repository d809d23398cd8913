"""Options that studies share, and the registry of studies; free of torch."""

import shlex
import sys
from dataclasses import asdict, dataclass, fields
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from thinkaloud.atomic import sha256_of
from thinkaloud.errors import UserError
from thinkaloud.registry import Registry

if TYPE_CHECKING:
    from thinkaloud.pair.nla import NLA
    from thinkaloud.studies.folder import Folder
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
        for name, value in asdict(self).items():  # whole numbers are of something
            if type(value) is int and name != "seed" and value < 1:
                raise UserError(f"{name} must be 1 or more, found {value}")

    def asked(self) -> dict[str, Any]:
        """What decides the result."""
        return {key: value for key, value in asdict(self).items() if key not in ("out", "device")}

    def facts(self, nla: "NLA", baseline: Any) -> dict[str, str]:
        """What the page rests on: the pair, its site, the baseline, and every option."""
        options = {name.replace("_", " "): value for name, value in self.asked().items() if name != "nla"}
        said = {name: ", ".join(map(str, v)) if isinstance(v, tuple) else str(v) for name, v in options.items()}
        return {"Pair": nla.name, "Site": str(nla.site), "Baseline": str(baseline), **said}

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

    def run(self, folder: "Folder", nla: "NLA") -> None:
        """Make the study's tables and results, or go on with them. A package does so in its module `run`."""
        import_module(f"{type(self).__module__}.run").run(self, folder, nla)

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
        module = type(self).__module__
        name = self.name if module.startswith("thinkaloud.") else Path(sys.modules[module].__file__ or "").name
        words = ["thinkaloud", "study", name]
        for option in fields(self):
            value, flag = getattr(self, option.name), option.name.replace("_", "-")
            if option.name in ("out", "device") or value == option.default:
                continue
            if isinstance(value, bool):
                words.append(f"--{flag}" if value else f"--no-{flag}")
            else:
                words += [f"--{flag}", *map(str, value if isinstance(value, tuple) else (value,))]
        return shlex.join([*words, "--out", "DIR"])


study: Registry[type[Study]] = Registry("study", "thinkaloud.studies", folders=True)


@dataclass(frozen=True, kw_only=True)
class OfProblems(Study):
    """Options of studies in which M works problems and its activations are read at named places."""

    presets: ClassVar = {"pocket": {"problems": "pocket", "solution_tokens": 64, "max_tokens": 120}}

    problems: str = "graded"
    """Problems: graded (made ones of one to three steps, with worked examples), pocket (of the pocket world, for the
    pocket model), or a JSONL file (perhaps .xz) with question and answer, as of GSM8K."""
    n: int = 200
    """Problems to work, at most."""
    solution_tokens: int = 512
    """The longest solution M may write, in tokens; one that is cut there has no answer, and is not a wrong one."""
    system: str | None = None
    """A system message before the question."""
    instruction: str | None = None
    """What stands behind the question. Those of a file ask for `#### <number>`, if nothing is said; "" asks nothing."""
    places: tuple[str, ...] = ("question end", "border", "answer-4", "answer-1", "answer end")
    """Where activations are read: question end (the prompt's last token), think start and think end, sentence starts
    and sentence ends (all of M's solution; sentence 2 end, sentence -1 end), solution+k and solution-k (from its first
    and last token, solution+0, solution-1), first mention (the first token of the first time that M writes its answer's
    number), border (the token of ####), answer and answer end (its tokens), each with an offset as in answer-2."""

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


def corpora(*names: str) -> None:
    """UserError where one of these corpora cannot be read."""
    from thinkaloud.activations import read_corpus

    for name in names:
        if name != "pocket":
            read_corpus(name)
