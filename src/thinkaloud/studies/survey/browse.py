"""Browsing single explanations in the survey's page: a form and its data."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thinkaloud.render.page import embedded, render
from thinkaloud.studies.survey.published import PREFIX


def choose(kinds: Sequence[str], n: int, seed: int) -> list[int]:
    """Rows to browse: as many of each kind, in random order; all of a kind that has too few."""
    dice, taken = np.random.default_rng(seed), []
    names = sorted(set(kinds), key=lambda kind: (kinds.count(kind), kind))
    for i, name in enumerate(names):
        own = [row for row, kind in enumerate(kinds) if kind == name]
        share = (n - len(taken)) // (len(names) - i)
        taken += [own[int(j)] for j in dice.permutation(len(own))[:share]]
    return [taken[int(j)] for j in dice.permutation(len(taken))]


def markup(rows: Sequence[Mapping[str, Any]]) -> str:
    """The form, an empty list, and the rows as data for the script."""
    records = [_record(row) for row in rows]
    kinds, classes = (sorted({record[name] for record in records}) for name in ("kind", "class"))
    return render("browse.html", kinds=kinds[::-1], classes=classes, data=embedded(records))


def _record(row: Mapping[str, Any]) -> dict[str, Any]:
    token, prefix, fve = row["token"], row["prefix"], row["fve"]
    before = prefix[: len(prefix) - len(token)] if token and prefix.endswith(token) else prefix
    return {
        "kind": row["kind"],
        "where": f"{row['doc_id']}, position {row['position']}",
        "class": row["token_class"],
        "before": f"…{before}" if len(prefix) >= PREFIX else before,
        "token": token,
        "said": row["text"],
        "fve": None if fve is None else round(float(fve), 3),
    }
