"""What do the verbs share? Loading a pair, showing how far it is, printing for a person, writing a page."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from thinkaloud.errors import UserError

if TYPE_CHECKING:
    from rich.console import RenderableType

    from thinkaloud.pair.nla import NLA

# Options that may be left out, shown in the help as one word and without a default that says nothing.
Name = Annotated[str | None, tyro.conf.arg(metavar="NAME", help_behavior_hint="", constructor=str)]
File = Annotated[Path | None, tyro.conf.arg(metavar="FILE", help_behavior_hint="", constructor=Path)]
Number = Annotated[float | None, tyro.conf.arg(metavar="FLOAT", help_behavior_hint="", constructor=float)]


def load_pair(
    nla: str | None, av: str | None = None, ar: str | None = None, base: str | None = None, device: str | None = None
) -> "NLA":
    """The pair a person named: a whole one, its two halves, or, with nothing said, the bundled one.

    One that read nothing when it was made is called so on standard error.
    """
    from thinkaloud.pair.nla import NLA
    from thinkaloud.pair.verdict import recorded

    if nla is None and av is None and ar is None:
        nla = "pocket"
    pair = NLA.from_pretrained(nla, av=av, ar=ar, base=base, device=device)
    for part in (pair.reconstructor, pair.verbalizer):
        verdict = recorded(part.contract)
        if verdict is not None and not verdict.reads:
            print(f"thinkaloud: believe nothing of this pair: {verdict.words}", file=sys.stderr)
    return pair


def put(*parts: "RenderableType") -> None:
    """Print for a person: styled on a terminal; plain in a pipe, 80 or COLUMNS wide, without blanks at the ends."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if console.is_terminal:
        console.print(*parts, sep="\n")
        return
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    sys.stdout.write("".join(line.rstrip() + "\n" for line in captured.get().splitlines()))


def check_target(path: Path) -> None:
    """Refuse a file that cannot be written before the work whose result it is to hold."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the name of a file to write")
    if not path.absolute().parent.is_dir():
        raise UserError(f"no folder {path.absolute().parent} to write {path.name} in: make it first")


def write_page(path: Path, page: str) -> None:
    """Write a page whole or not at all."""
    from thinkaloud.atomic import write_whole

    write_whole(path, lambda file: file.write(page.encode("utf-8")))


@contextmanager
def progress(what: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
    """A bar on a terminal's standard error that goes when the work is done; nothing in a pipe.

    Gives the function to call with the number of explanations that have come since the last call.
    """
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    count = "{task.completed:,}" + (" of {task.total:,}" if total else "") + " explanations"
    time = TimeRemainingColumn(elapsed_when_finished=True) if total else TimeElapsedColumn()
    with Progress(
        TextColumn(what), BarColumn(), TextColumn(count), time, console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
