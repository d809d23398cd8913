"""The folder of a study: tables, results, figures, page, and how it goes on.

study.json        what was asked
tables/NAME.parquet
results.parquet   every number that the page shows (see results.py)
results.json      what the page says beside them: the pair, the site, the baseline, examples
work/             pieces of long steps, until their table is whole
figures/NAME.svg
index.html
"""

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from thinkaloud import ledger
from thinkaloud.atomic import write_json, write_text, write_whole
from thinkaloud.errors import UserError
from thinkaloud.render import plots
from thinkaloud.training.provenance import provenance

CONFIG, RESULTS = "study.json", "results.json"

T = TypeVar("T")
Rows = pa.Table | Sequence[Mapping[str, Any]]
"""A table, or records that all have the same keys."""
Watch = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""


class Folder:
    """The folder of a study; UserError where `out` holds another one, or this one asked otherwise."""

    def __init__(
        self, out: str | Path, name: str, asked: Mapping[str, Any], analysis: Mapping[str, Sequence[str]] | None = None
    ) -> None:
        """`asked` is what decides the tables; options of `analysis` may change, and the tables they name are then made
        anew.
        """
        self.out = Path(out)
        self.watch: Watch = lambda what, done, of: None
        path, now, analysis = self.out / CONFIG, {"study": name, **asked}, analysis or {}
        begun = any(file.is_file() for part in ("tables", "work") for file in (self.out / part).glob("*"))
        before = ledger.read(path) if self.out.is_dir() else {}
        if not before and self.out.exists() and (not self.out.is_dir() or any(self.out.iterdir())):
            raise UserError(f"{self.out} is there already and holds no study: choose another --out")
        if begun:  # else nothing of it was made: what was asked may have been a mistake
            ledger.check(self.out, before, now, tuple(analysis))
        for part in ("tables", "work", "figures"):
            (self.out / part).mkdir(parents=True, exist_ok=True)
        for option, tables in analysis.items():
            if ledger.first_difference({option: before.get(option)}, ledger.plain({option: now.get(option)})):
                for file in ("results", *(f"tables/{table}" for table in tables)):
                    (self.out / f"{file}.parquet").unlink(missing_ok=True)
        write_json(path, ledger.plain({**before, **now} if begun else now))

    def table(self, name: str, make: Callable[[], Rows]) -> pa.Table:
        """The table of this name: read if it is there, else made and kept."""
        path = self.out / "tables" / f"{name}.parquet"
        if not path.is_file():
            write_table(make(), path)
        return pq.read_table(path)

    def kept(self, name: str, but: Sequence[str] = ()) -> list[dict[str, Any]]:
        """The rows of a table that was made, `but` these columns; none where it was not."""
        path = self.out / "tables" / f"{name}.parquet"
        if not path.is_file():
            return []
        return pq.read_table(path, columns=[n for n in pq.read_schema(path).names if n not in but]).to_pylist()

    def pieces(self, name: str, of: Sequence[T], size: int, make: Callable[[Sequence[T], int], Rows]) -> pa.Table:
        """A table of a long step, made of `size` things at a time and the number of the first: every finished piece is
        kept, a stop loses one.
        """
        paths = {start: self.out / "work" / f"{name}-{start:06d}.parquet" for start in range(0, len(of), size)}

        def whole() -> pa.Table:
            if not paths:
                raise UserError(f"nothing was found to make the table {name} of")
            for start, piece in paths.items():
                self.watch(name, start, len(of))
                if not piece.is_file():
                    write_table(make(of[start : start + size], start), piece)
            self.watch(name, len(of), len(of))
            # A column that is all missing in one piece has a type in another.
            return pa.concat_tables(map(pq.read_table, paths.values()), promote_options="permissive")

        found = self.table(name, whole)
        for piece in paths.values():
            piece.unlink(missing_ok=True)
        return found

    def keep(self, facts: Mapping[str, str], examples: Sequence[Mapping[str, Any]] = (), **more: Any) -> None:
        """Write what the page needs beside the numbers: facts, `page.examples`, and anything else."""
        found = {"facts": {**facts, **self._made()}, "examples": examples, **more}
        write_text(self.out / RESULTS, json.dumps(found, indent=1, ensure_ascii=False) + "\n")

    def _made(self) -> dict[str, str]:
        """Of which weights, when and by which code the study was made first."""
        if (self.out / RESULTS).is_file():
            before = self.results()["facts"]
            return {name: before[name] for name in ("Weights", "Date", "Code") if name in before}
        found, sources = provenance(), ledger.read(self.out / CONFIG).get("sources", {})
        weights = {"Weights": ", ".join(f"{part} {value[:12]}" for part, value in sources.items())} if sources else {}
        commit = [f"commit {found['commit'][:12]}"] if found["commit"] else []
        code = ", ".join([*commit, *(f"{name} {version}" for name, version in found["versions"].items())])
        return {**weights, "Date": f"{date.today():%Y-%m-%d}", "Code": code}

    def results(self) -> dict[str, Any]:
        """What was kept; UserError where the study has not come so far."""
        try:
            return json.loads((self.out / RESULTS).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"{self.out} holds no finished study to draw: run it without --redraw first") from None

    def figure(self, name: str, draw: Callable[[Any], None], size: tuple[float, float] = (7.2, 3.4)) -> str:
        """The SVG that `draw` makes of a matplotlib figure, as in `plots.svg`, written; its text."""
        text = plots.svg(name, draw, size)
        write_text(self.out / "figures" / f"{name}.svg", text)
        return text[text.index("<svg") :]

    def page(self, text: str) -> Path:
        """Write the page; pieces of steps that were changed are of no more use."""
        write_text(self.out / "index.html", text)
        shutil.rmtree(self.out / "work", ignore_errors=True)
        return self.out / "index.html"


def write_table(made: Rows, path: Path) -> None:
    """Write a table as a Parquet file that is whole or not there; UserError for no records."""
    if not isinstance(made, pa.Table):
        if not made:
            raise UserError("nothing was found to make a table of")
        made = pa.Table.from_pylist(list(map(dict, made)))
    write_whole(path, lambda file: pq.write_table(made, file, compression="zstd"))
