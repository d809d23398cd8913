"""Recipes: a Python file with a function `recipe()` that returns a `Recipe` is loaded, and its steps are done in order.

Nothing here imports torch, so that a laptop can check a recipe meant for a large machine.
"""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from thinkaloud import ledger
from thinkaloud.atomic import write_json
from thinkaloud.config.nested import Nested
from thinkaloud.config.recipe import Recipe
from thinkaloud.errors import UserError

LEDGER = "recipe.json"
# Where and with how many hands a step is done may change between a stop and its resumption; nothing else may.
ASKED = ("ask.base_url", "ask.batch", "ask.concurrency", "ask.device", "ask.timeout", "ask.tries")
FREE = ("device", "compute.device", "workers", *ASKED)


def load(path: Path) -> Recipe:
    """The recipe in a Python file."""
    if not path.is_file():
        raise UserError(f"no recipe {path}: expected a Python file with a function recipe()")
    spec = importlib.util.spec_from_file_location(f"recipe_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UserError(f"{path} is not a Python file: a recipe is one with a function recipe()")
    module = importlib.util.module_from_spec(spec)
    sys.path.append(str(path.resolve().parent))  # a recipe may begin with another one beside it
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise UserError(f"{path}, line {error.lineno}: {error.msg}") from None
    function = getattr(module, "recipe", None)
    if not callable(function):
        raise UserError(f"{path} has no function recipe(): it has to return a thinkaloud.config.recipe.Recipe")
    found = function()
    if not isinstance(found, Recipe):
        raise UserError(f"recipe() of {path} must return a Recipe, found {type(found).__name__}")
    return found


def follow(recipe: Recipe, verbs: dict[str, Callable[[Any], Any]], say: Callable[[str], None] = print) -> None:
    """Do the steps that are not done yet; a step that was done with other arguments is refused before anything runs."""
    path = recipe.out / LEDGER
    done = ledger.read(path)
    steps = dict(recipe.steps())
    plain = {name: ledger.plain(asdict(arguments)) for name, arguments in steps.items()}
    free = [f"{name}.{field}" for name in steps for field in FREE]
    for name in [name for name in done if isinstance(steps.get(name), Nested)]:
        done[name] = ledger.plain(asdict(type(steps[name]).of(**done[name])))  # its options may have had other names
        free += [f"{name}.{option}" for option in steps[name].left_open()]
    ledger.check(recipe.out, done, plain, free)
    recipe.out.mkdir(parents=True, exist_ok=True)
    for name, arguments in steps.items():
        if name in done:
            say(f"{name}: done before")
            continue
        say(f"{name}:")
        verbs[name](arguments)
        done[name] = plain[name]
        write_json(path, done)


def done_of(recipe: Recipe) -> list[str]:
    """The names of the steps that are done, in their order."""
    done = ledger.read(recipe.out / LEDGER)
    return [name for name, _ in recipe.steps() if name in done]
