"""Results of a study: every number that its page shows, in one long table, results.parquet, and verdicts on claims.

A row is one number (or word) of a table: `table`, `row` and `labels` (JSON) say where it stands, `quantity` what it is,
`value`, `low`, `high`, `n`, `clusters`, `method`, `p` and `note` are its estimate. Rows of the table `claims` have the
claim's id, null and published values, Holm's p and the verdict beside it.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from thinkaloud.atomic import write_whole
from thinkaloud.stats import Estimate, Statistic, estimate, mean
from thinkaloud.studies.verdicts import Finding, claims, judged, worst

FILE = "results.parquet"
CLAIMS = "claims"
COUNT, NUMBER, TEXT, YES = "count", "number", "text", "yes or no"
_ESTIMATE = [field.name for field in fields(Estimate)]
_EXPECTED = ["null", "direction", "published", "margin"]
_CLAIM = [*_EXPECTED, "optional", "p_holm", "verdict", "why"]
_FLOATS = ("value", "low", "high", "p")
_TYPES: dict[str, str] = dict.fromkeys((*_FLOATS, "null", "published", "margin", "p_holm"), "float64")
_TYPES |= {**dict.fromkeys(("row", "n", "clusters", "direction"), "Int64"), "optional": "object"}
_KINDS = {bool: YES, int: COUNT, float: NUMBER}  # in this order: True is an int
_READ = {YES: bool, COUNT: round, NUMBER: float}
COLUMNS = ["study", "table", "row", "labels", "quantity", *_ESTIMATE, "text", *_CLAIM]

Quantity = str | Callable[[pd.DataFrame], Any]


class Results:
    """The tables of a study, made row by row or read from its folder.

    `cluster` names the column whose rows are resampled together: the document, text or problem.
    """

    def __init__(self, study: str, cluster: str = "id", seed: int = 0) -> None:
        self.study, self.cluster, self.seed = study, cluster, seed
        self._tables: dict[str, list[tuple[dict[str, Any], dict[str, Any]]]] = {}
        self._findings: list[Finding] = []

    def estimate(self, statistic: Statistic, of: pd.DataFrame, null: float | None = None) -> Estimate:
        """A statistic of the rows of `of`, with its interval over clusters; `null` is what its p is of."""
        return estimate(statistic, of[self.cluster].to_numpy(), seed=self.seed, null=null)

    def row(self, table: str, labels: Mapping[str, Any], quantities: Mapping[str, Any]) -> None:
        """Add a row: what it is of, and its numbers: estimates, counts, words; None for a cell without any."""
        self._tables.setdefault(table, []).append((dict(labels), dict(quantities)))

    def by(
        self, table: str, of: pd.DataFrame, by: Mapping[str, str], quantities: Mapping[str, Quantity], /, **labels: Any
    ) -> None:
        """Add a row for each group of the rows of `of` that are alike in the columns `by` (label: column), in order.

        A quantity is a function of the group's rows: a `Statistic` is estimated, anything else is shown as it is. Or it
        is a column, of which the mean is estimated.
        """
        for key, group in of.groupby(list(by.values()), sort=False, observed=True):
            found = {n: mean(numbers(group[of])) if isinstance(of, str) else of(group) for n, of in quantities.items()}
            self.row(
                table,
                {**labels, **dict(zip(by, key, strict=True))},
                {n: self.estimate(v, group) if isinstance(v, Statistic) else v for n, v in found.items()},
            )

    def value(self, name: str, found: Any) -> Any:
        """Keep a single number for the text of the page; it is returned as well."""
        self.row("values", {"": name}, {"value": found})
        return found

    def test(self, claim: str, found: Estimate | None = None, part: str = "", why: str = "", **how: Any) -> None:
        """Test a claim, or a `part` of it; where it cannot be, `why`. `how`: its null, direction, published value and
        margin, where they are not those of claims.yaml; `optional` where the claim can hold without this part.
        """
        optional = how.pop("optional", False)
        self._findings.append(Finding(replace(claims()[claim], **how), found, part, why, optional))

    def write(self, folder: Path) -> None:
        """Write results.parquet, with a verdict for every claim that claims.yaml gives to this study."""
        tested = {finding.claim.id for finding in self._findings}
        for claim in claims().values():
            if claim.study == self.study and claim.id not in tested:
                self.test(claim.id, why="not tested")
        findings = sorted(self._findings, key=lambda finding: list(claims()).index(finding.claim.id))
        lines = [
            self._line(table, i, labels, name, value)
            for table, rows in self._tables.items()
            for i, (labels, quantities) in enumerate(rows)
            for name, value in (quantities or {"": None}).items()  # a row of labels alone is a row too
        ]
        for i, (finding, (verdict, p, why)) in enumerate(zip(findings, judged(findings), strict=True)):
            line = self._line(CLAIMS, i, {"claim": finding.claim.id, "part": finding.part}, "tested", finding.found)
            more = {name: getattr(finding.claim, name) for name in _EXPECTED} | {"optional": finding.optional}
            lines.append(line | more | {"p_holm": p, "verdict": verdict, "why": why})
        frame = pd.DataFrame(lines, columns=COLUMNS).astype({name: _TYPES.get(name, "string") for name in COLUMNS})
        write_whole(folder / FILE, lambda file: frame.to_parquet(file, index=False))

    def _line(self, table: str, row: int, labels: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
        line = {"study": self.study, "table": table, "row": row, "quantity": name}
        line["labels"] = json.dumps(labels, ensure_ascii=False, default=_plain)
        if value is None or isinstance(value, Estimate):
            return line | {field: getattr(value, field) for field in _ESTIMATE if value is not None}
        kind = next((kind for of, kind in _KINDS.items() if isinstance(_plain(value), of)), TEXT)
        return line | {"method": kind, **({"text": str(value)} if kind == TEXT else {"value": float(value)})}


def numbers(column: pd.Series) -> pd.Series:
    """True, False and missing as 1, 0 and NaN."""
    return column.astype("Float64" if column.dtype == object else float).astype(float)


class Read:
    """The results of a study as written: tables by name, single values, and the claims; empty without a file."""

    def __init__(self, folder: Path) -> None:
        there = (folder / FILE).is_file()
        self.frame = frame = pd.read_parquet(folder / FILE) if there else pd.DataFrame(columns=COLUMNS)
        self._tables: dict[str, list[dict[str, Any]]] = {}
        for line in frame[frame["table"] != CLAIMS].to_dict("records"):
            rows = self._tables.setdefault(line["table"], [])
            if line["row"] == len(rows):
                rows.append(json.loads(line["labels"]))
            if line["quantity"]:
                rows[-1][line["quantity"]] = _cell(line)
        self.values: dict[str, Any] = {row[""]: row["value"] for row in self._tables.pop("values", [])}

    def __getitem__(self, table: str) -> list[dict[str, Any]]:
        """The rows of a table, each its labels and then its quantities; none for a table that was not made."""
        return self._tables.get(table, [])

    def claims(self) -> list[dict[str, Any]]:
        """The claims that this study is asked about, each with its parts and the verdict on all of them."""
        out: dict[str, dict[str, Any]] = {}
        for line in self.frame[self.frame["table"] == CLAIMS].to_dict("records"):
            labels = json.loads(line["labels"])
            claim = claims()[labels["claim"]]
            one = out.setdefault(claim.id, {"id": claim.id, "claim": claim.claim, "source": claim.source, "parts": []})
            told = {name: None if pd.isna(line.get(name)) else line[name] for name in _CLAIM}
            one["parts"].append({"part": labels["part"], "found": _cell(line), **told})
        return [
            {**one, "verdict": worst((part["verdict"], bool(part["optional"])) for part in one["parts"])}
            for one in out.values()
        ]


def _cell(line: Mapping[str, Any]) -> Any:
    method, text, n, note = (None if pd.isna(line[name]) else line[name] for name in ("method", "text", "n", "note"))
    if method in _READ:
        return _READ[method](line["value"])
    if n is None:
        return text
    numbers = {name: line[name] for name in _FLOATS}
    return Estimate(**numbers, n=int(n), clusters=int(line["clusters"]), method=method or "", note=note or "")


def _plain(value: Any) -> Any:
    """A Python value of one of numpy's; other labels as words."""
    return value.item() if isinstance(value, np.generic) else value if isinstance(value, (int, float)) else str(value)
