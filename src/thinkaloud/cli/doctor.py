"""Check a model or a pair, and say what is off. Exit code 0: all good; 1: something is off; 2: could not look."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from thinkaloud.cli.common import put
from thinkaloud.errors import UserError

if TYPE_CHECKING:
    from rich.table import Table

    from thinkaloud.pair.doctor import Check

OFF = 1


@dataclass(frozen=True)
class Args:
    model: Annotated[str | None, tyro.conf.Positional, tyro.conf.arg(metavar="[MODEL]")] = None
    """A base model, a pair, an AV or an AR: pocket, a folder or a hub name."""
    av: str | None = None
    """A verbalizer to check with the model."""
    ar: str | None = None
    """A reconstructor to check with the model."""
    layer: int | None = None
    """The block whose output is meant, where no contract names it; two thirds of the depth, if nothing is said."""
    device: str | None = None
    """cpu, cuda or cuda:N; the best there is, if nothing is said."""


def main(args: Args) -> int:
    """Run the checks that apply to what `args` names, and print a line each."""
    if args.model is None and args.av is None and args.ar is None:
        raise UserError("expected a MODEL, --av or --ar to look at, found none")
    from thinkaloud.pair.doctor import diagnose, find

    checks = diagnose(find(args.model, args.av, args.ar), args.layer, args.device)
    off, seen = (sum(check.ok is found for check in checks) for found in (False, True))
    put(table(checks), f"{off} of {off + seen} checks off" if off else f"all {seen} checks good")
    return OFF if off else 0


def table(checks: "list[Check]") -> "Table":
    """A line a check, with advice where it is off."""
    from rich.table import Column, Table
    from rich.text import Text

    out = Table.grid("", Column(no_wrap=True), Column(overflow="fold"), padding=(0, 2))
    for check in checks:
        mark = {True: Text("ok", "green"), False: Text("off", "bold red"), None: Text("-", "dim")}[check.ok]
        found = Text(check.found)
        if check.ok is False and check.advice:
            found.append(f"\n{check.advice}", "yellow")
        out.add_row(mark, Text(check.name), found)
    return out
