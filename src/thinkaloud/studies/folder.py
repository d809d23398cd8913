"""The folder of a study: tables, results, figures, page, and how it goes on.

study.json        what was asked
tables/NAME.parquet
results.json      what the page says beside the tables: the pair, the site, the baseline, examples
work/             pieces of long steps, until their table is whole
figures/NAME.svg
index.html
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from thinkaloud.atomic import write_json, write_text, write_whole
from thinkaloud.errors import UserError
from thinkaloud.render import plots

CONFIG, RESULTS = "study.json", "results.json"

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

    def kept(self, name: str, but: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The rows of a table that was made, `but` these columns; none where it was not."""
        path = self.out / "tables" / f"{name}.parquet"
        if not path.is_file():
            return []
        return pq.read_table(path, columns=[n for n in pq.read_schema(path).names if n not in but]).to_pylist()

    def keep(self, facts: Mapping[str, str], examples: Sequence[Any] = (), **more: Any) -> None:
        """Write what the page needs beside the tables: facts, examples (dataclasses), and anything else."""
        found = {"facts": dict(facts), "examples": [asdict(one) for one in examples], **more}
        write_text(self.out / RESULTS, json.dumps(found, indent=1, ensure_ascii=False) + "\n")

    def results(self) -> dict[str, Any]:
        """What was kept; UserError where the study has not come so far."""
        try:
            return json.loads((self.out / RESULTS).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{self.out} holds no finished study to draw: run it without --redraw first") from None

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
        text = plots.svg(name, draw, size)
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
