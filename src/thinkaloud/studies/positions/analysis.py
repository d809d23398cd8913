"""Tables of the study of positions: FVE along texts, persistence, first mentions."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from thinkaloud.baseline import Baseline
from thinkaloud.pair.scores import fve
from thinkaloud.stats import Estimate, Statistic, estimate, mean
from thinkaloud.studies.positions.mentions import KINDS_OF_WORDS, NEVER, WHEN
from thinkaloud.studies.positions.persistence import CURVES, above, half_life, kept
from thinkaloud.studies.positions.read_texts import Said

Records = Sequence[Mapping[str, Any]]


def fve_of(said: Iterable[Said], baseline: Baseline, seed: int = 0) -> Estimate:
    """FVE over some explanations: 1 − mean MSE ∕ V."""
    some = list(said)
    error = mean([one.mse for one in some])
    statistic: Statistic = lambda w: fve(error(w), baseline)  # noqa: E731
    return estimate(statistic, [one.id for one in some], seed=seed)


def share(records: Records, name: str, seed: int = 0, less: str = "") -> Estimate:
    """The mean of a column (less that of another) over the records that have it; texts are what is resampled."""
    some = [r for r in records if r[name] is not None and (not less or r[less] is not None)]
    values = [float(r[name]) - (float(r[less]) if less else 0.0) for r in some]
    return estimate(mean(values), [r["id"] for r in some], seed=seed)


def bin_of(position: int) -> str:
    """The bin of a position, each twice as wide as the one before: 0, 1, 2–3, 4–7 and so on."""
    if position < 2:
        return str(position)
    low = 1 << (position.bit_length() - 1)
    return f"{low}–{2 * low - 1}"


def bins(said: Sequence[Said]) -> dict[str, list[Said]]:
    """Explanations by the bin of their position, from the start of the text on."""
    out: dict[str, list[Said]] = {}
    for one in sorted(said, key=lambda one: one.position):
        out.setdefault(bin_of(one.position), []).append(one)
    return out


def along(said: Sequence[Said], baseline: Baseline, seed: int) -> list[dict[str, Any]]:
    """FVE by how many tokens stand before the one that is read."""
    return [
        {
            "tokens from the start": name,
            "texts": len({one.id for one in some}),
            "explanations": len(some),
            "FVE": fve_of(some, baseline, seed),
        }
        for name, some in bins(said).items()
    ]


def by_family(said: Sequence[Said], baseline: Baseline, seed: int) -> list[dict[str, Any]]:
    """FVE by kind of text, over all tokens and over the first, the next and the later ones."""
    parts = {"FVE": (0, np.inf), "of the first 8 tokens": (0, 8), "of tokens 8 to 31": (8, 32)}
    table = []
    for family in sorted({one.family for one in said}):
        some = [one for one in said if one.family == family]
        row: dict[str, Any] = {
            "kind of text": family,
            "texts": len({one.id for one in some}),
            "explanations": len(some),
        }
        for name, (low, high) in {**parts, "of later ones": (32, np.inf)}.items():
            row[name] = fve_of([one for one in some if low <= one.position < high], baseline, seed)
        table.append(row)
    return table


def by_claim(persistence: Records) -> Mapping[tuple[str, int], Records]:
    """The records of each kind of claim at each distance; none for what there is not."""
    found: defaultdict[tuple[str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for record in persistence:
        found[record["claim"], record["k"]].append(record)
    return found


def persists(persistence: Records, reach: int, seed: int) -> list[dict[str, Any]]:
    """By kind of claim: what is kept one token on, by chance too, and far on; and its half-life."""
    of = by_claim(persistence)
    return [
        {
            "claim": kind,
            "kept 1 on": kept(of[kind, 1], seed=seed),
            "beyond other texts": above(of[kind, 1], seed=seed),
            "beyond its kind": above(of[kind, 1], "kin", seed),
            f"beyond other texts {reach} on": above(of[kind, reach], seed=seed),
            "half-life (tokens)": _tokens(
                half_life([r for r in persistence if r["claim"] == kind], reach, seed), reach
            ),
        }
        for kind in CURVES
        if of[kind, 1]
    ]


def facts_table(facts: Records, seed: int) -> list[dict[str, Any]]:
    """By fact, whether it is stated, and whether the text has its value already: when explanations name it."""
    groups = defaultdict(list)
    for row in facts:
        groups[row["family"], row["fact"], row["stated"] is not None, row["stands"]].append(row)
    table = []
    for (family, fact, stated, stands), some in sorted(groups.items()):
        early = [r | {"ahead": r["stated"] - r["named"]} for r in some if stated and r["before"]]
        late = [r | {"delay": r["named"] - r["settled"]} for r in some if r["named"] is not None]
        table.append(
            {
                "fact": f"{family}: {fact}" if stated else f"{family}: {fact} (not stated)",
                "in the text already": stands,
                "facts": len(some),
                "named before": share(some, "before", seed),
                "chance": share(some, "chance", seed),
                "difference": share(some, "before", seed, less="chance"),
                "delay": share(late, "delay", seed),
                "ahead": share(early, "ahead", seed),
                "named once said": share(some, "once_said", seed),
            }
        )
    return table


def words_table(words: Records, seed: int) -> list[dict[str, Any]]:
    """By kind of word: when explanations first have it against when the text does, and by chance."""
    names = [*WHEN, NEVER]
    cells: dict[tuple[str, str], list[Mapping[str, Any]]] = {}
    for row in words:
        for name in names:
            chance = row["chance"][name]
            cells.setdefault((row["kind"], name), []).append(
                {"id": row["id"], "is": row["when"] == name, "chance": chance}
            )
    kinds = [kind for kind in KINDS_OF_WORDS if (kind, NEVER) in cells]
    return [
        {
            "": kind,
            "first named": name,
            "words": len(cells[kind, name]),
            "share": share(cells[kind, name], "is", seed),
            "chance": share(cells[kind, name], "chance", seed),
            "difference": share(cells[kind, name], "is", seed, less="chance"),
        }
        for kind in kinds
        for name in names
    ]


def early(row: Mapping[str, Any]) -> dict[str, Any]:
    """Whether a word was named before the text had it, and by chance."""
    before = list(WHEN)[:2]
    levels = [row["chance"][name] for name in before]
    return {"id": row["id"], "early": row["when"] in before, "chance": None if None in levels else sum(levels)}


def _tokens(found: Estimate, reach: int) -> str:
    """A half-life, with what lies beyond the reach said to."""
    if not np.isfinite(found.value):
        return "–"
    value, low, high = (f"over {reach}" if x >= reach else f"{x:.1f}" for x in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})" if np.isfinite(found.low) else value
