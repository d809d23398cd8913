"""Run a study of what explanations say and how far it holds: tables, figures and one page; a stopped one goes on."""

import argparse
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, TypeVar, Union

import tyro

from thinkaloud.cli import arguments
from thinkaloud.cli.common import File, listed, put
from thinkaloud.cli.progress import stages
from thinkaloud.errors import UserError
from thinkaloud.studies.config import PRESETS, STUDIES, Study, from_file

Kind = TypeVar("Kind", bound=Study)


@dataclass(frozen=True)
class Asked(Generic[Kind]):
    """A study, and where its values come from."""

    study: tyro.conf.OmitArgPrefixes[Kind]
    preset: Literal["pocket"] | None = None
    """Start from the values of a preset: what fits the bundled pair."""
    config: File = None
    """A JSON file with any of the options; it goes over the preset, and options given here over both."""
    limit: int | None = None
    """How much is looked at, whatever the study counts: the same as --n."""


Options = Union[*(Annotated[Asked[kind], tyro.conf.subcommand(name)] for name, kind in STUDIES.items())]


def parse(args: list[str]) -> Study:
    """The study that is asked for: a preset, then a file, then the command line, each over what is before it."""
    if not args or args[0] in ("-h", "--help"):
        put("usage: thinkaloud study NAME --out DIR [options]", "", __doc__ or "", "", "studies:")
        put(listed({name: (kind.__doc__ or "").splitlines()[0] for name, kind in STUDIES.items()}))
        put("", "thinkaloud study NAME --help lists the options of one.")
        raise SystemExit(0)
    name, rest = args[0], args[1:]
    if name not in STUDIES:
        raise UserError(f"no study {name!r}{arguments.suggest(name, STUDIES)}")
    kind = STUDIES[name]
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--preset", choices=sorted(PRESETS))
    first.add_argument("--config", type=Path)
    given, _ = first.parse_known_args(rest)
    values: dict[str, Any] = dict(PRESETS[given.preset][name]) if given.preset else {}
    if given.config is not None:
        values |= from_file(given.config, kind)
    default = Asked(kind(**{"out": tyro.MISSING, **values}))
    asked = arguments.parse(Asked[kind], rest, f"thinkaloud study {name}", kind.__doc__, default)
    # Every study looks at n of something.
    return asked.study if asked.limit is None else replace(asked.study, n=asked.limit)


def main(study: Study) -> int:
    """Run the study, write its page, and say what was found in a line or two."""
    check(study)
    from thinkaloud.pair.nla import NLA
    from thinkaloud.studies.folder import Folder
    from thinkaloud.studies.page import render

    folder = Folder(study.out, study.name, study.asked())
    nla = NLA.from_pretrained(study.nla, device=study.device)
    with stages() as watch:
        page = import_module(f"thinkaloud.studies.{study.name}").run(study, folder, nla, watch)
    written = folder.page(render(page))
    tables = ", ".join(sorted(path.stem for path in (folder.out / "tables").glob("*.parquet")))
    put(f" {page.title}", "", f" {page.answer}", "", f" tables  {tables}")
    print(f" page    {written}")  # a path is not broken into lines
    return 0


def check(study: Study) -> None:
    """Refuse files that are not there and places that are none, before a model is loaded."""
    for name in ("problems", "labelled"):
        file = getattr(study, name, None)
        if file not in (None, "pocket") and not Path(file).is_file():
            raise UserError(f"no file {file}: {name} must be a JSONL file")
    if places := getattr(study, "places", None):
        from thinkaloud.studies.problems import place_of

        for place in places:
            place_of(place)
    for name in ("texts", "chats"):
        if getattr(study, name, "pocket") != "pocket":
            from thinkaloud.activations import read_corpus

            read_corpus(getattr(study, name))


def kept(study: Study) -> str:
    """What an interrupt leaves."""
    return f"the tables and pieces that are done are kept in {study.out}"
