"""Numbers of the study of positions: FVE along texts, persistence, first mentions."""

from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from thinkaloud.baseline import Baseline
from thinkaloud.pair.scores import fve
from thinkaloud.stats import Statistic, contrast, mean, pooled
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.positions import Positions
from thinkaloud.studies.positions.claims import KINDS
from thinkaloud.studies.positions.mentions import KINDS_OF_WORDS, NEVER, WHEN
from thinkaloud.studies.positions.persistence import CURVES, above, kept, left
from thinkaloud.studies.results import Results

AROUND = range(-12, 7)  # tokens around a statement
EARLY = list(WHEN)[:2]
PARTS = {"of the first 8 tokens": (0, 8), "of tokens 8 to 31": (8, 32), "of later ones": (32, 10**9)}


def results(config: Positions, folder: Folder) -> Results:
    """Every number of the page."""
    found = Results(config.name, seed=config.seed)
    baseline = Baseline.from_dict(folder.results()["baseline"])
    said = pd.DataFrame(folder.kept("readings", but=["vector"]))
    said["fve"] = [fve(mse, baseline) for mse in said["mse"]]
    along(found, said)
    persists(found, pd.DataFrame(folder.kept("persistence")), config.reach)
    facts_named(found, pd.DataFrame(folder.kept("facts")), pd.DataFrame(folder.kept("moments")))
    words_named(found, pd.DataFrame(folder.kept("words")))
    return found


def along(found: Results, said: pd.DataFrame) -> None:
    """FVE by how many tokens stand before the one that is read, and by kind of text."""
    ordered = said.sort_values("position", kind="stable")
    ordered["bin"] = ordered["position"].map(bin_of)
    counts = {"texts": lambda g: g["id"].nunique(), "explanations": len, "FVE": _mean("fve")}
    found.by("along", ordered, {"tokens from the start": "bin"}, counts)
    found.by("along by kind", ordered, {"bin": "bin", "kind": "family"}, {"FVE": _mean("fve")})
    parts = {
        name: lambda g, low=low, high=high: mean(g["fve"].where(g["position"].between(low, high - 1)))
        for name, (low, high) in PARTS.items()
    }
    found.by("kinds", said.sort_values("family", kind="stable"), {"kind of text": "family"}, counts | parts)
    whole = found.estimate(mean(said["fve"]), said)
    found.value(
        "whole", pooled(whole, {str(name): found.estimate(mean(g["fve"]), g) for name, g in said.groupby("family")})
    )
    found.value("texts", said["id"].nunique())


def bin_of(position: int) -> str:
    """The bin of a position, each twice as wide as the one before: 0, 1, 2–3, 4–7 and so on."""
    if position < 2:
        return str(position)
    low = 1 << (position.bit_length() - 1)
    return f"{low}–{2 * low - 1}"


def persists(found: Results, persistence: pd.DataFrame, reach: int) -> None:
    """By kind of claim: what is kept so many tokens on, by chance too, and its half-life."""
    next_: dict[str, Any] = {}
    for kind in CURVES if len(persistence) else ():
        here = persistence[persistence["claim"] == kind]
        at = {int(k): some for k, some in here.groupby("k")}
        for k, some in at.items():
            curve = {"kept": kept(some)} | {name: kept(some, name) for name in ("chance", "kin")}
            found.row("curves", {"claim": kind, "k": k}, {n: found.estimate(s, some) for n, s in curve.items()})
        if 1 not in at:
            continue
        columns = {
            "kept 1 on": (1, kept),
            "beyond other texts": (1, above),
            "beyond its kind": (1, lambda some: above(some, "kin")),
            f"beyond other texts {reach} on": (reach, above),
        }
        row = {n: found.estimate(of(at[k]), at[k]) if k in at else None for n, (k, of) in columns.items()}
        beyond, texts = row["beyond other texts"], here.drop_duplicates("id").sort_values("id")
        known = reach in at and beyond is not None and beyond.sign > 0
        row[f"of it left {reach} on"] = found.estimate(left(here, reach), texts) if known else None
        found.row("persists", {"claim": kind}, row)
        if kind in KINDS and beyond is not None and np.isfinite(beyond.value):
            next_[kind] = beyond
    ranked = sorted(next_, key=lambda kind: next_[kind].value)
    for name, kind in zip(("least", "most"), (ranked[0], ranked[-1]) if ranked else (), strict=False):
        found.value(f"{name} kept", kind)
        found.value(f"{name} kept by", next_[kind])


def facts_named(found: Results, facts: pd.DataFrame, moments: pd.DataFrame) -> None:
    """By fact, whether it is stated, and whether the text has its value already: when explanations name it."""
    if len(facts) == 0:
        return found.test("P1", why="the facts of these texts are not known")
    facts = facts.assign(
        label=facts["family"] + ": " + facts["fact"] + np.where(facts["stated"].isna(), " (not stated)", ""),
        more=_numbers(facts["before"]) - _numbers(facts["chance"]),
        delay=facts["named"] - facts["settled"],
        ahead=(facts["stated"] - facts["named"]).where(facts["before"].eq(True)),
    ).sort_values(["label", "stands"], kind="stable")
    columns = {
        "named before": "before",
        "chance": "chance",
        "difference": "more",
        "delay": "delay",
        "ahead": "ahead",
        "named once said": "once_said",
    }
    by = {"fact": "label", "in the text already": "stands"}
    found.by("facts", facts, by, {"facts": len} | {name: _mean(column) for name, column in columns.items()})
    if len(moments):
        near = moments[moments["to_stated"].isin(AROUND)].sort_values(["family", "to_stated"], kind="stable")
        by = {"family": "family", "tokens": "to_stated"}
        found.by("moments", near, by, {"its own value": _mean("named"), "values of other episodes": _mean("chance")})
    fresh = facts[~facts["stands"] & facts["stated"].notna() & (facts["places"] > 0) & facts["chance"].notna()]
    _beyond_chance(found, "P1", fresh, "family", "facts that were settled, not yet said, and differ from text to text")
    return None


def words_named(found: Results, words: pd.DataFrame) -> None:
    """By kind of word: when explanations first have it against when the text does, and by chance."""
    if len(words) == 0:
        return found.test("P2", why="no names, numbers or rarer words")
    for kind, name in product(KINDS_OF_WORDS, (*WHEN, NEVER)):
        here = words[words["kind"] == kind]
        if len(here):
            row = {"share": here["when"] == name, "chance": _chance(here, [name])}
            row["difference"] = row["share"].astype(float) - row["chance"]
            estimates = {column: found.estimate(mean(values), here) for column, values in row.items()}
            found.row("words", {"": kind, "first named": name}, {"words": len(here), **estimates})
    early = words.assign(before=words["when"].isin(EARLY), chance=_chance(words, EARLY))
    early["more"] = early["before"].astype(float) - early["chance"]
    _beyond_chance(found, "P2", early[early["chance"].notna()], "kind", "words that other texts lack")
    return None


def _beyond_chance(found: Results, claim: str, some: pd.DataFrame, by: str, what: str) -> None:
    """Test whether things are named before the text has them more often than by chance: each kind, and all of them."""
    if len(some) == 0:
        return found.test(claim, why=f"there were no {what}")
    parts = {str(name): found.estimate(contrast(g["more"]), g) for name, g in some.groupby(by, sort=False)}
    for part, one in parts.items():
        found.test(claim, one, part, optional=True)
    for name, column in (("early", "before"), ("early by chance", "chance")):
        found.value(f"{claim} {name}", found.estimate(mean(_numbers(some[column])), some))
    found.value(f"{claim} more", pooled(found.estimate(contrast(some["more"]), some), parts))
    return None


def _mean(column: str) -> Any:
    def of(group: pd.DataFrame) -> Statistic:
        return mean(_numbers(group[column]))

    return of


def _numbers(column: pd.Series) -> pd.Series:
    """True, False and missing as 1, 0 and NaN."""
    return column.astype("Float64" if column.dtype == object else float).astype(float)


def _chance(words: pd.DataFrame, names: list[str]) -> pd.Series:
    """By chance: the share of other texts that first have the word then; NaN where there is none."""
    return pd.DataFrame(list(words["chance"]), index=words.index)[names].astype(float).sum(axis=1, skipna=False)
