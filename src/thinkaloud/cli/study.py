"""Run a study of what explanations say and how far it holds: tables, figures and one page; a stopped one goes on."""

import argparse
from dataclasses import dataclass, replace
from importlib.util import find_spec
from typing import Annotated, Any, Generic, Literal, TypeVar, Union

import tyro

from thinkaloud.cli import arguments
from thinkaloud.cli.common import listed, put
from thinkaloud.cli.progress import stages
from thinkaloud.errors import UserError
from thinkaloud.studies.config import Study
from thinkaloud.studies.config import study as studies

Kind = TypeVar("Kind", bound=Study)


@dataclass(frozen=True)
class Asked(Generic[Kind]):
    """A study, and where its values come from."""

    study: tyro.conf.OmitArgPrefixes[Kind]
    preset: Literal["pocket"] | None = None
    """Start from the values of a preset: what fits the bundled pair."""
    limit: int | None = None
    """How much is looked at, whatever the study counts: the same as --n."""
    redraw: bool = False
    """Draw the page of a finished study again from its tables, without a model."""


Options = Union[*(Annotated[Asked[kind], tyro.conf.subcommand(name)] for name, kind in studies.items())]


def parse(args: list[str]) -> Asked[Any]:
    """The study that is asked for."""
    if not args or args[0] in ("-h", "--help"):
        put("usage: thinkaloud study NAME --out DIR [options]", "", __doc__ or "", "", "studies:")
        put(listed({name: (kind.__doc__ or "").splitlines()[0] for name, kind in studies.items()}))
        put("", "thinkaloud study NAME --help lists the options of one. NAME may be a Python file that registers one.")
        raise SystemExit(0)
    return asked_for(args[0], args[1:], f"thinkaloud study {args[0]}")


def asked_for(name: str, rest: list[str], called: str) -> Asked[Any]:
    """The study of this name by the verb `called`: a preset, and the command line over it."""
    missing = [package for package in ("pandas", "sklearn", "matplotlib") if find_spec(package) is None]
    if missing and not {"-h", "--help"} & set(rest):
        raise UserError(f"studies need {' and '.join(missing)}: pip install 'thinkaloud[studies]'")
    kind = studies.find(name)
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", choices=["pocket"])
    given, _ = first.parse_known_args(rest)
    default = Asked(kind(**{"out": tyro.MISSING, **kind.presets.get(given.preset, {})}))
    asked = arguments.parse(Asked[kind], rest, called, kind.__doc__, default)
    # Every study looks at n of something.
    return asked if asked.limit is None else replace(asked, study=replace(asked.study, n=asked.limit))


def main(asked: Asked[Any]) -> int:
    """Run the study, or redraw it, write its page, and say what was found in a line or two."""
    study = asked.study
    study.check()
    from thinkaloud.studies.folder import Folder
    from thinkaloud.studies.page import render
    from thinkaloud.studies.results import FILE

    sources = {} if asked.redraw else {"sources": study.sources()}
    # Tables cannot be made anew without the model.
    analysis = {option: tables for option, tables in study.analysis.items() if not (asked.redraw and tables)}
    folder = Folder(study.out, study.name, {**study.asked(), **sources}, analysis)
    if not asked.redraw:
        from thinkaloud.pair.nla import NLA

        nla = NLA.from_pretrained(study.nla, device=study.device) if study.loads_pair else None
        with stages() as folder.watch:
            study.run(folder, nla)
    if asked.redraw:
        folder.results()  # refused where nothing was finished
    if not (asked.redraw and (folder.out / FILE).is_file()):
        study.analyse(folder).write(folder.out)
    page = study.page(folder)
    written = folder.page(render(page, study.command()))
    tables = ", ".join(sorted(path.stem for path in (folder.out / "tables").glob("*.parquet")))
    put(f" {page.title}", "", f" {page.answer}", "", f" tables  {tables}")
    print(f" page    {written}")  # a path is not broken into lines
    return 0


def kept(asked: Asked[Any]) -> str:
    """What an interrupt leaves."""
    return f"the tables and pieces that are done are kept in {asked.study.out}"
