"""Run a study of what explanations say and how far it holds: tables, figures and one page; a stopped one goes on."""

import argparse
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from thinkaloud.cli.common import put
from thinkaloud.errors import UserError
from thinkaloud.studies.config import PRESETS, STUDIES, Study, from_file

if TYPE_CHECKING:
    from thinkaloud.studies.folder import Watch


def parse(args: list[str]) -> Study:
    """The study that is asked for: a preset, then a file, then the command line, each over what is before it."""
    listed = "\n".join(f"  {name:<10} {(kind.__doc__ or '').splitlines()[0]}" for name, kind in STUDIES.items())
    if not args or args[0] in ("-h", "--help"):
        print(f"usage: thinkaloud study NAME --out DIR [options]\n\n{__doc__}\n\nstudies:\n{listed}\n")
        print("thinkaloud study NAME --help lists the options of one.")
        raise SystemExit(0)
    name, rest = args[0], args[1:]
    if name not in STUDIES:
        raise UserError(f"no study {name!r}: expected one of {', '.join(STUDIES)}")
    kind = STUDIES[name]
    shared = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    shared.add_argument("--preset", choices=sorted(PRESETS))
    shared.add_argument("--config", type=Path)
    shared.add_argument("--limit", type=int)
    given, rest = shared.parse_known_args(rest)
    values: dict[str, Any] = dict(PRESETS[given.preset][name]) if given.preset else {}
    if given.config is not None:
        values |= from_file(given.config, kind)
    what = (
        f"{kind.__doc__}\n\nBeside the options below: --preset {' or '.join(PRESETS)}, --config FILE (a JSON file with "
        "any of them), --limit N (how much is looked at)."
    )
    known = {field.name for field in fields(kind)}
    default = kind(**{"out": tyro.MISSING, **{key: value for key, value in values.items() if key in known}})
    config = (tyro.conf.FlagCreatePairsOff,)
    study = tyro.cli(kind, args=rest, default=default, prog=f"thinkaloud study {name}", description=what, config=config)
    return study if given.limit is None else replace(study, n=given.limit)  # every study looks at n of something


def main(study: Study) -> int:
    """Run the study, write its page, and say what was found in a line or two."""
    from thinkaloud.pair.nla import NLA
    from thinkaloud.studies.folder import Folder
    from thinkaloud.studies.page import render

    folder = Folder(study.out, study.name, study.asked())
    nla = NLA.from_pretrained(study.nla, device=study.device)
    with progress() as watch:
        page = import_module(f"thinkaloud.studies.{study.name}").run(study, folder, nla, watch)
    written = folder.page(render(page))
    tables = ", ".join(sorted(path.stem for path in (folder.out / "tables").glob("*.parquet")))
    put(f" {page.title}", "", f" {page.answer}", "", f" tables  {tables}")
    print(f" page    {written}")  # a path is not broken into lines
    return 0


@contextmanager
def progress() -> "Iterator[Watch]":
    """A bar for every step on a terminal's standard error; nothing in a pipe."""
    if not sys.stderr.isatty():
        yield lambda what, done, of: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,} of {task.total:,}"))
    with Progress(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, Any] = {}

        def watch(what: str, done: int, of: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=of)
            bar.update(tasks[what], completed=done, total=of)

        yield watch
