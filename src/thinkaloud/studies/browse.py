"""How can one look at single explanations in a survey's page? A form, and data that no content can break out of."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

from thinkaloud.render.page import asset, embedded
from thinkaloud.studies.published import PREFIX

_MARKUP = """<form id="browse" class="browse">
<input type="search" name="words" placeholder="words in the explanation or the text" aria-label="words" size="32">
<select name="kind" aria-label="kind"><option value="">texts and chats</option>{kinds}</select>
<select name="class" aria-label="token class"><option value="">every token class</option>{classes}</select>
<select name="sort" aria-label="order"><option value="">as drawn</option>
<option value="best">best rebuilt first</option><option value="worst">worst rebuilt first</option></select>
</form>
<p id="browse-count" class="quiet" role="status"></p>
<div id="browse-list"></div>
<p><button id="browse-more" type="button" hidden>more</button></p>
<noscript><p class="quiet">Browsing needs a script; the data set beside this page holds all of them.</p></noscript>
<script type="application/json" id="browse-data">{data}</script>
"""


def choose(kinds: Sequence[str], n: int, seed: int) -> list[int]:
    """Rows to browse: as many of each kind, in random order; all of a kind that has too few."""
    dice, taken = np.random.default_rng(seed), []
    names = sorted(set(kinds), key=lambda kind: sum(k == kind for k in kinds))
    for i, name in enumerate(names):
        own = [row for row, kind in enumerate(kinds) if kind == name]
        share = (n - len(taken)) // (len(names) - i)
        taken += [own[int(j)] for j in dice.permutation(len(own))[:share]]
    return [taken[int(j)] for j in dice.permutation(len(taken))]


def markup(rows: Sequence[Mapping[str, Any]]) -> str:
    """The form, an empty list, and the rows as data for the script."""
    records = [_record(row) for row in rows]
    return _MARKUP.format(
        kinds=_options(sorted({r["kind"] for r in records}, reverse=True)),
        classes=_options(sorted({r["class"] for r in records})),
        data=embedded(records),
    )


def script() -> str:
    """What filters, sorts and shows."""
    return asset("browse.js")


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


def _options(values: Sequence[str]) -> str:
    return "".join(f'<option value="{escape(value)}">{escape(value)}</option>' for value in values)
