"""What is a whole run? The arguments of its verbs in the order in which they run, and which of them are done.

A recipe is a Python file with a function `recipe()` that returns a `Recipe`. Nothing here imports torch, so that a
laptop can check a recipe meant for a large machine.
"""

import importlib.util
import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from thinkaloud.cli import explain, extract, score
from thinkaloud.errors import UserError
from thinkaloud.training.config import RL, ARWarmStart, AVWarmStart

LEDGER = "recipe.json"
# Where and with how many hands a step is done may change between a stop and its resumption; nothing else may.
FREE = ("device", "workers")


@dataclass(frozen=True)
class Recipe:
    """A pair from a corpus. Folders that steps write and hand on are named relative to `out`."""

    out: Path
    """The folder of the whole run; it becomes the pair."""
    extract: extract.Args
    """Activations of a corpus."""
    explain: explain.Args
    """A written explanation for each."""
    ar: ARWarmStart
    """The reconstructor."""
    av: AVWarmStart
    """The verbalizer."""
    score: score.Args
    """What the pair reaches on held-out documents."""
    train: RL | None = None
    """Reinforcement learning of the warm-started pair, if any; its run, a pair too, lies in the folder it names."""
    refine: RL | None = None
    """A second run of it with other settings, from the pair that the first one made."""

    @property
    def pair(self) -> Path:
        """The folder of the pair that the run ends with."""
        last = self.refine or self.train
        return self.out if last is None else self.out / last.out

    def steps(self) -> Iterator[tuple[str, Any]]:
        """(name, arguments) of each step in order, with its folders placed under `out`."""
        yield "extract", replace(self.extract, out=self.out / self.extract.out)
        yield "explain", replace(self.explain, data=self.out / self.explain.data)
        yield "ar", self._placed(self.ar)
        yield "av", replace(self._placed(self.av), ar=str(self.out / self.av.ar) if self.av.ar else None)
        pair = self.out
        for name, config in (("train", self.train), ("refine", self.refine)):
            if config is not None:
                yield name, replace(self._placed(config), nla=str(pair))
                pair = self.out / config.out
        yield "score", replace(self.score, nla=str(pair), data=self.out / self.score.data)

    def _placed(self, config: Any) -> Any:
        return replace(config, data=str(self.out / config.data), out=str(self.out / config.out))


def load(path: Path) -> Recipe:
    """The recipe in a Python file."""
    if not path.is_file():
        raise UserError(f"no recipe {path}: expected a Python file with a function recipe()")
    spec = importlib.util.spec_from_file_location(f"recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is not a Python file: a recipe is one with a function recipe()")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}") from None
    function = getattr(module, "recipe", None)
    if not callable(function):
        raise UserError(f"{path} has no function recipe(): it has to return a thinkaloud.cli.recipe.Recipe")
    found = function()
    if not isinstance(found, Recipe):
        raise UserError(f"recipe() of {path} must return a Recipe, found {type(found).__name__}")
    return found


def follow(recipe: Recipe, verbs: dict[str, Callable[[Any], Any]], say: Callable[[str], None] = print) -> None:
    """Do the steps that are not done yet; a step that was done with other arguments is refused before anything runs."""
    ledger = recipe.out / LEDGER
    done = _read(ledger)
    steps = {name: (arguments, _plain(arguments)) for name, arguments in recipe.steps()}
    for name, (arguments, plain) in steps.items():
        if name in done:
            before = _plain(RL.from_dict(done[name])) if isinstance(arguments, RL) else done[name]
            _same(name, before, plain, recipe.out)
    recipe.out.mkdir(parents=True, exist_ok=True)
    for name, (arguments, plain) in steps.items():
        if name in done:
            say(f"{name}: done before")
            continue
        say(f"{name}:")
        verbs[name](arguments)
        done[name] = plain
        _write(ledger, done)


def done_of(recipe: Recipe) -> list[str]:
    """The names of the steps that are done."""
    return list(_read(recipe.out / LEDGER))


def _read(ledger: Path) -> dict[str, Any]:
    if not ledger.is_file():
        return {}
    try:
        return dict(json.loads(ledger.read_text(encoding="utf-8")))
    except ValueError as error:
        raise UserError(f"{ledger} is not JSON: {error}; choose another --out") from None


def _write(ledger: Path, done: dict[str, Any]) -> None:
    from thinkaloud.atomic import write_json

    write_json(ledger, done)


def _plain(arguments: Any) -> dict[str, Any]:
    """A step's arguments as JSON holds them."""
    return json.loads(json.dumps(asdict(arguments), default=str))


def _same(name: str, before: dict[str, Any], now: dict[str, Any], out: Path) -> None:
    for key, value in now.items():
        if key not in FREE and before.get(key) != value:
            raise UserError(
                f"the step {name} of {out} was done with {key} = {before.get(key)!r}, asked for {value!r}: "
                "choose another --out"
            )
