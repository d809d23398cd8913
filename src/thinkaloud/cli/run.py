"""Do a whole recipe: extract, explain, warm-start, train, score. What is done is kept."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import tyro

from thinkaloud.cli import arguments
from thinkaloud.cli.common import command, put
from thinkaloud.cli.recipe import done_of, follow, load
from thinkaloud.config.recipe import Recipe
from thinkaloud.errors import UserError

USAGE = """usage: thinkaloud run RECIPE.py [--STEP.OPTION VALUE ...]

Does every step of a recipe that is not done yet: extract, explain, ar, av, train, refine, score.
Run it again after a stop.

RECIPE.py has a function recipe() that returns the whole run; recipes/ holds some to start from. \
Any value of it can be changed here, as in --out runs/mine --extract.corpus texts --ar.lr 1e-4.

thinkaloud run RECIPE.py --help lists the values of that recipe."""


@dataclass(frozen=True)
class Options:
    recipe: tyro.conf.Positional[Path]
    """The recipe; which options there are is said in it."""


def parse(args: list[str]) -> Recipe | None:
    """The recipe that the arguments name, with their changes; None where only help was asked for."""
    if not args or args[0] in ("-h", "--help"):
        put(USAGE)
        return None
    if args[0].startswith("-"):
        raise UserError("the recipe comes first: thinkaloud run RECIPE.py [--STEP.OPTION VALUE ...]")
    path = Path(args[0])
    return arguments.parse(Recipe, args[1:], f"thinkaloud run {path}", __doc__, load(path))


def main(recipe: Recipe | None) -> None:
    if recipe is not None:
        follow(recipe, verbs())
        print(f"next: {command('read', '--nla', recipe.pair, 'A sentence of your own.')}")


def kept(recipe: Recipe) -> str:
    """What an interrupt leaves."""
    done = ", ".join(done_of(recipe)) or "no step"
    return f"{done} of the recipe is done in {recipe.out}; an unfinished step goes on where it can"


def verbs() -> dict[str, Callable[[Any], Any]]:
    """What does each step."""
    from thinkaloud.cli import explain, extract, score, train, warmstart

    return {
        "extract": extract.main,
        "explain": explain.main,
        "ar": partial(_to_the_end, warmstart.main),
        "av": partial(_to_the_end, warmstart.main),
        "train": partial(_to_the_end, train.main),
        "refine": partial(_to_the_end, train.main),
        "score": score.main,
    }


def _to_the_end(main: Callable[[Any], Any], config: Any) -> None:
    """Begin a run, or go on with it; KeyboardInterrupt where it was told to stop."""
    from thinkaloud.training import run_folder

    main(config)
    if run_folder.status(Path(config.out)) == "stopped":
        raise KeyboardInterrupt
