"""Tables of the study of positions: FVE along texts, persistence, first mentions."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from thinkaloud.baseline import Baseline
from thinkaloud.pair.scores import fve
from thinkaloud.stats import Estimate, mean
from thinkaloud.studies.frame import Frame
from thinkaloud.studies.positions.mentions import KINDS_OF_WORDS, NEVER, WHEN
from thinkaloud.studies.positions.persistence import CURVES, above, half_life, kept


def fve_of(said: Frame, baseline: Baseline) -> Estimate:
    """FVE over some explanations: 1 − mean MSE ∕ V."""
    error = mean(said["mse"])
    return said.estimate(lambda w: fve(error(w), baseline))


def share(records: Frame, name: str, less: str = "") -> Estimate:
    """The mean of a column (less that of another) over the records that have it."""
    some = records.known(name, less or name)
    return some.mean(some[name].astype(float) - (some[less] if less else 0.0))


def bin_of(position: int) -> str:
    """The bin of a position, each twice as wide as the one before: 0, 1, 2–3, 4–7 and so on."""
    if position < 2:
        return str(position)
    low = 1 << (position.bit_length() - 1)
    return f"{low}–{2 * low - 1}"


def bins(said: Frame) -> Iterator[tuple[str, Frame]]:
    """Explanations by the bin of their position, from the start of the text on."""
    ordered = said.where(np.argsort(said["position"], kind="stable"))
    return ordered.assign(bin=map(bin_of, ordered["position"].tolist())).by("bin")


def along(said: Frame, baseline: Baseline) -> list[dict[str, Any]]:
    """FVE by how many tokens stand before the one that is read."""
    return [
        {
            "tokens from the start": name,
            "texts": some.distinct("id"),
            "explanations": len(some),
            "FVE": fve_of(some, baseline),
        }
        for name, some in bins(said)
    ]


def by_family(said: Frame, baseline: Baseline) -> list[dict[str, Any]]:
    """FVE by kind of text, over all tokens and over the first, the next and the later ones."""
    parts = {
        "FVE": (0, np.inf),
        "of the first 8 tokens": (0, 8),
        "of tokens 8 to 31": (8, 32),
        "of later ones": (32, np.inf),
    }
    return [
        {"kind of text": family, "texts": some.distinct("id"), "explanations": len(some)}
        | {
            name: fve_of(some.where((some["position"] >= low) & (some["position"] < high)), baseline)
            for name, (low, high) in parts.items()
        }
        for family, some in sorted(said.by("family"))
    ]


def persists(persistence: Frame, reach: int) -> list[dict[str, Any]]:
    """By kind of claim: what is kept one token on, by chance too, and far on; and its half-life."""
    table = []
    for kind in CURVES:
        here = persistence.at(claim=kind)
        if len(next_ := here.at(k=1)):
            table.append(
                {
                    "claim": kind,
                    "kept 1 on": kept(next_),
                    "beyond other texts": above(next_),
                    "beyond its kind": above(next_, "kin"),
                    f"beyond other texts {reach} on": above(here.at(k=reach)),
                    "half-life (tokens)": _tokens(half_life(here, reach), reach),
                }
            )
    return table


def facts_table(facts: Frame) -> list[dict[str, Any]]:
    """By fact, whether it is stated, and whether the text has its value already: when explanations name it."""
    facts = facts.assign(
        group=zip(facts["family"], facts["fact"], np.isfinite(facts["stated"]), facts["stands"], strict=True),
        delay=facts["named"] - facts["settled"],
        ahead=np.where(facts["before"] == 1, facts["stated"] - facts["named"], np.nan),
    )
    return [
        {
            "fact": f"{family}: {fact}" if stated else f"{family}: {fact} (not stated)",
            "in the text already": bool(stands),
            "facts": len(some),
            "named before": share(some, "before"),
            "chance": share(some, "chance"),
            "difference": share(some, "before", less="chance"),
            "delay": share(some, "delay"),
            "ahead": share(some, "ahead"),
            "named once said": share(some, "once_said"),
        }
        for (family, fact, stated, stands), some in sorted(facts.by("group"))
    ]


def words_table(words: Frame) -> list[dict[str, Any]]:
    """By kind of word: when explanations first have it against when the text does, and by chance."""
    table = []
    for kind in KINDS_OF_WORDS:
        here = words.at(kind=kind)
        for name in (*WHEN, NEVER) if len(here) else ():
            some = here.assign(found=here["when"] == name, chance=[levels[name] for levels in here["chance"]])
            table.append(
                {
                    "": kind,
                    "first named": name,
                    "words": len(some),
                    "share": share(some, "found"),
                    "chance": share(some, "chance"),
                    "difference": share(some, "found", less="chance"),
                }
            )
    return table


def early(words: Frame) -> Frame:
    """Whether words were named before the text had them, and by chance."""
    before = list(WHEN)[:2]
    levels = np.array([[chance[name] for name in before] for chance in words["chance"]], dtype=np.float64)
    return words.assign(early=[when in before for when in words["when"]], chance=levels.reshape(-1, 2).sum(axis=1))


def _tokens(found: Estimate, reach: int) -> str:
    """A half-life, with what lies beyond the reach said to."""
    if not np.isfinite(found.value):
        return "–"
    value, low, high = (f"over {reach}" if x >= reach else f"{x:.1f}" for x in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})" if np.isfinite(found.low) else value
