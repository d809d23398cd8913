"""What the verbs share: naming a pair and its data, printing for a person, writing a page."""

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from thinkaloud.config.eval import Explaining
from thinkaloud.errors import UserError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from thinkaloud.pair.nla import NLA

File = Annotated[Path | None, tyro.conf.arg(metavar="FILE")]


def load_pair(asked: Explaining, engine: str = "lockstep") -> "NLA":
    """The pair a person named: a whole one, its two halves, or, with nothing said, the pocket pair.

    One that read nothing when it was made, or that was trained on other weights, is called so on standard error.
    """
    from thinkaloud.pair import known
    from thinkaloud.pair.nla import NLA
    from thinkaloud.pair.verdict import recorded

    halves = {"av": asked.av, "ar": asked.ar}
    pair = NLA.from_pretrained(asked.pair, **halves, base=asked.base, device=asked.device, engine=engine)
    for part in (pair.reconstructor, pair.verbalizer):
        verdict = recorded(part.contract)
        if verdict is not None and not verdict.reads:
            print(f"thinkaloud: believe nothing of this pair: {verdict.words}", file=sys.stderr)
    other = None if pair.base is None else known.other_base([asked.pair, asked.av, asked.ar], pair.base)
    if other is not None:
        print(f"thinkaloud: believe less of what follows: {other}", file=sys.stderr)
    return pair


def command(*words: object) -> str:
    """A command of ours as it can be pasted into a shell."""
    return shlex.join(["thinkaloud", *map(str, words)])


def listed(lines: Mapping[str, str]) -> "Table":
    """Names with a description each, wrapped beside them."""
    from rich.table import Column, Table

    grid = Table.grid(Column(no_wrap=True), "", padding=(0, 2))
    for name, what in lines.items():
        grid.add_row(f"  {name}", what)
    return grid


def put(*parts: "RenderableType") -> None:
    """Print for a person: styled on a terminal; plain in a pipe."""
    from rich.console import Console

    from thinkaloud.render.text import plain

    console = Console(highlight=False, markup=False)
    if console.is_terminal:
        console.print(*parts, sep="\n")
    else:
        print(plain(*parts))


def check_data(folder: str | Path) -> None:
    """Refuse a folder that holds no extraction, before anything heavy is imported."""
    if not (Path(folder) / "manifest.json").is_file():
        raise UserError(f"no manifest.json in {folder}: run thinkaloud extract first")


def check_pair(nla: str | None, av: str | None, ar: str | None, data: str | Path) -> None:
    """Refuse a pair that is none, or that reads another site than `data` holds, before any weights are loaded."""
    from thinkaloud.activations.store import check_read_by, read_manifest
    from thinkaloud.pair.formats import read_contract
    from thinkaloud.pair.nla import pair_paths

    if nla is not None:
        av, ar, _ = map(str, pair_paths(nla))
    if av is not None:
        read_contract(av, "av")
    if ar is not None:
        found, manifest = read_contract(ar, "ar"), read_manifest(data)
        check_read_by("the pair", data, manifest, found.site, found.d_model)


def check_target(path: Path) -> None:
    """Refuse a file that cannot be written before the work whose result it is to hold."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the name of a file to write")
    if not path.absolute().parent.is_dir():
        raise UserError(f"no folder {path.absolute().parent} to write {path.name} in: make it first")
