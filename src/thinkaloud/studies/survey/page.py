"""Explanations to browse in the survey's page."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from thinkaloud.render.page import embedded, render


def choose(kinds: Sequence[str], n: int, seed: int) -> list[int]:
    """Rows to browse, drawn at random: of each kind in turn, as long as it has any."""
    order = pd.Series(kinds).sample(frac=1, random_state=seed)
    return order.groupby(order).cumcount().sort_values(kind="stable").index[:n].tolist()


def browse(rows: Sequence[Mapping[str, Any]]) -> str:
    """A form to browse these rows by, an empty list, and the rows as data for the script."""
    records = [
        {
            "kind": row["kind"],
            "where": row["doc_id"] + ("" if row["position"] is None else f", position {row['position']}"),
            "class": row["token_class"] or "–",
            "before": row["prefix"].removesuffix(row["token"]),
            "token": row["token"],
            "said": row["text"],
            "fve": None if row["fve"] is None else round(float(row["fve"]), 3),
        }
        for row in rows
    ]
    kinds, classes = (sorted({record[name] for record in records}) for name in ("kind", "class"))
    return render("browse.html", kinds=kinds[::-1], classes=classes, data=embedded(records))
