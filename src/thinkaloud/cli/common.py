"""What do the verbs share? Loading a pair, naming its parts in one line, and writing a page."""

from pathlib import Path
from typing import TYPE_CHECKING

from thinkaloud.errors import UserError

if TYPE_CHECKING:
    from thinkaloud.pair.nla import NLA


def load_pair(
    nla: str | None, av: str | None = None, ar: str | None = None, base: str | None = None, device: str | None = None
) -> "NLA":
    """The pair a person named: a whole one, its two halves, or, with nothing said, the bundled one."""
    from thinkaloud.pair.nla import NLA

    if nla is None and av is None and ar is None:
        nla = "pocket"
    return NLA.from_pretrained(nla, av=av, ar=ar, base=base, device=device)


def check_target(path: Path) -> None:
    """Refuse a file that cannot be written before the work whose result it is to hold."""
    if path.is_dir():
        raise UserError(f"{path} is a folder: give the name of a file to write")
    if not path.absolute().parent.is_dir():
        raise UserError(f"no folder {path.absolute().parent} to write {path.name} in: make it first")


def write_page(path: Path, page: str) -> None:
    """Write a page whole or not at all."""
    from thinkaloud.activations.atomic import write_whole

    write_whole(path, lambda file: file.write(page.encode("utf-8")))
