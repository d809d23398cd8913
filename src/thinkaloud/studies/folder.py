"""Where does a study keep what it has found, and where does it go on? Tables, figures and one page in a folder.

study.json        what was asked
tables/NAME.parquet
work/             pieces of long steps, until their table is whole
figures/NAME.svg
index.html
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from thinkaloud.atomic import write_json, write_text, write_whole
from thinkaloud.errors import UserError

CONFIG = "study.json"
INK = "#010203"  # stands for the page's own colour until a figure is written

Watch = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


class Folder:
    """The folder of a study; UserError where `out` holds another one, or this one asked otherwise."""

    def __init__(self, out: str | Path, name: str, asked: Mapping[str, Any]) -> None:
        self.out = Path(out)
        now = {"study": name, **{key: _plain(value) for key, value in asked.items()}}
        begun = any(path.is_file() for part in ("tables", "work") for path in (self.out / part).glob("*"))
        if (self.out / CONFIG).is_file():
            if begun:  # else nothing of it was made: what was asked may have been a mistake
                self._same(now)
        elif self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise UserError(f"{self.out} is there already and holds no study: choose another --out")
        for part in ("tables", "work", "figures"):
            (self.out / part).mkdir(parents=True, exist_ok=True)
        write_json(self.out / CONFIG, now)

    def _same(self, now: Mapping[str, Any]) -> None:
        import json

        try:
            before = json.loads((self.out / CONFIG).read_text(encoding="utf-8"))
        except ValueError as error:
            raise UserError(f"{self.out / CONFIG} is not JSON: {error}; choose another --out") from None
        for key in dict.fromkeys([*now, *before]):
            if before.get(key) != now.get(key):
                raise UserError(
                    f"{self.out} holds a study with {key} = {before.get(key)!r}, asked for {now.get(key)!r}: "
                    "choose another --out"
                )

    def table(self, name: str, make: Callable[[], pa.Table]) -> pa.Table:
        """The table of this name: read if it is there, else made and kept."""
        path = self.out / "tables" / f"{name}.parquet"
        if not path.is_file():
            self._write(path, make())
        return pq.read_table(path)

    def pieces(
        self,
        name: str,
        n: int,
        size: int,
        make: Callable[[slice], pa.Table],
        watch: Watch = lambda what, done, of: None,
    ) -> pa.Table:
        """A table of a long step over `n` things, `size` at a time: every finished piece is kept, a stop loses one."""
        path = self.out / "tables" / f"{name}.parquet"
        if path.is_file():
            return pq.read_table(path)
        paths = [self.out / "work" / f"{name}-{start:06d}.parquet" for start in range(0, n, size)]
        for i, piece in enumerate(paths):
            watch(name, i * size, n)
            if not piece.is_file():
                self._write(piece, make(slice(i * size, min(n, (i + 1) * size))))
        watch(name, n, n)
        if not paths:
            raise UserError(f"nothing was found to make the table {name} of")
        # A column that is all missing in one piece has a type in another.
        whole = pa.concat_tables([pq.read_table(piece) for piece in paths], promote_options="permissive")
        self._write(path, whole)
        for piece in paths:
            piece.unlink()
        return whole

    def figure(self, name: str, draw: Callable[[Any], None], size: tuple[float, float] = (7.2, 3.4)) -> str:
        """An SVG that `draw` fills, a matplotlib figure of this size (inches) being given to it; returns its text.

        Lines and letters without a colour of their own take that of the page around them, light or dark.
        """
        import io

        import matplotlib

        matplotlib.use("Agg")
        import matplotlib.pyplot as plt

        style: dict[Any, Any] = {
            "svg.fonttype": "none",
            "svg.hashsalt": name,
            "font.family": "sans-serif",
            "font.size": 9,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.titlesize": 9,
            "legend.frameon": False,
            "legend.fontsize": 8,
            "figure.facecolor": "none",
            "axes.facecolor": "none",
            **dict.fromkeys(("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), INK),
        }
        with plt.rc_context(style):
            figure = plt.figure(figsize=size, layout="constrained")
            draw(figure)
            held = io.StringIO()
            figure.savefig(held, format="svg", metadata={"Date": None, "Creator": None})
            plt.close(figure)
        text = held.getvalue().replace(INK, "currentColor")
        write_text(self.out / "figures" / f"{name}.svg", text)
        return text[text.index("<svg") :]

    def page(self, text: str) -> Path:
        """Write the page; pieces of steps that were changed are of no more use."""
        write_text(self.out / "index.html", text)
        shutil.rmtree(self.out / "work", ignore_errors=True)
        return self.out / "index.html"

    def _write(self, path: Path, table: pa.Table) -> None:
        write_whole(path, lambda file: pq.write_table(table, file, compression="zstd"))


def rows(records: Sequence[Mapping[str, Any]]) -> pa.Table:
    """A table of records that all have the same keys; UserError if there are none."""
    if not records:
        raise UserError("nothing was found to make a table of")
    return pa.Table.from_pylist([dict(record) for record in records])


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
