"""Numbers of the study of positions: FVE along texts, and first mentions."""

from itertools import product

import numpy as np
import pandas as pd

from thinkaloud.baseline import Baseline
from thinkaloud.pair.scores import fve
from thinkaloud.stats import contrast, mean, pooled
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.positions import Positions
from thinkaloud.studies.positions.mentions import KINDS_OF_WORDS, NEVER, WHEN
from thinkaloud.studies.results import Results, numbers

EARLY: list[str] = list(WHEN[:2])


def results(config: Positions, folder: Folder) -> Results:
    """Every number of the page."""
    found = Results(config.name, seed=config.seed)
    baseline = Baseline.from_dict(folder.results()["baseline"])
    said = pd.DataFrame(folder.kept("readings", but=["vector"]))
    along(found, said.assign(fve=[fve(mse, baseline) for mse in said["mse"]]))
    facts_named(found, pd.DataFrame(folder.kept("facts")))
    words_named(found, pd.DataFrame(folder.kept("words")))
    return found


def along(found: Results, said: pd.DataFrame) -> None:
    """FVE by how many tokens stand before the one that is read, and by kind of text."""
    ordered = said.sort_values("position", kind="stable")
    ordered["bin"] = ordered["position"].map(bin_of)
    counts = {"texts": lambda g: g["id"].nunique(), "explanations": len, "FVE": "fve"}
    found.by("along", ordered, {"tokens from the start": "bin"}, counts)
    found.by("along by kind", ordered, {"bin": "bin", "kind": "family"}, {"FVE": "fve"})
    found.by("kinds", said.sort_values("family", kind="stable"), {"kind of text": "family"}, counts)
    parts = {str(name): found.estimate(mean(g["fve"]), g) for name, g in said.groupby("family")}
    found.value("whole", pooled(found.estimate(mean(said["fve"]), said), parts))
    found.value("texts", said["id"].nunique())


def bin_of(position: int) -> str:
    """The bin of a position, each twice as wide as the one before: 0, 1, 2–3, 4–7 and so on."""
    low = 1 << (position.bit_length() - 1) if position else 0
    return f"{low}–{2 * low - 1}" if low > 1 else str(low)


def facts_named(found: Results, facts: pd.DataFrame) -> None:
    """By fact, whether it is stated, and whether the text has its value already: when explanations name it."""
    if facts.empty:
        return found.test("P1", why="the facts of these texts are not known")
    facts = facts.assign(
        label=facts["family"] + ": " + facts["fact"] + np.where(facts["stated"].isna(), " (not stated)", ""),
        more=numbers(facts["before"]) - numbers(facts["chance"]),
        delay=facts["named"] - facts["settled"],
        ahead=(facts["stated"] - facts["named"]).where(facts["before"].eq(True)),
    ).sort_values(["label", "stands"], kind="stable")
    columns = {"named before": "before", "chance": "chance", "difference": "more", "delay": "delay", "ahead": "ahead"}
    by = {"fact": "label", "in the text already": "stands"}
    found.by("facts", facts, by, {"facts": len} | columns)
    fresh = facts[~facts["stands"] & facts["stated"].notna() & (facts["places"] > 0) & facts["chance"].notna()]
    _beyond_chance(found, "P1", fresh, "family", "facts that were settled, not yet said, and differ from text to text")


def words_named(found: Results, words: pd.DataFrame) -> None:
    """By kind of word: when explanations first have it against when the text does, and by chance."""
    if words.empty:
        return found.test("P2", why="no names, numbers or rarer words")
    for kind, name in product(KINDS_OF_WORDS, (*WHEN, NEVER)):
        here = words[words["kind"] == kind]
        if len(here):
            row = {"share": (here["when"] == name).astype(float), "chance": _chance(here, [name])}
            row["difference"] = row["share"] - row["chance"]
            estimates = {column: found.estimate(mean(values), here) for column, values in row.items()}
            found.row("words", {"": kind, "first named": name}, {"words": len(here), **estimates})
    early = words.assign(before=words["when"].isin(EARLY), chance=_chance(words, EARLY))
    early["more"] = early["before"].astype(float) - early["chance"]
    _beyond_chance(found, "P2", early[early["chance"].notna()], "kind", "words that other texts lack")


def _beyond_chance(found: Results, claim: str, some: pd.DataFrame, by: str, what: str) -> None:
    """Test whether things are named before the text has them more often than by chance: each kind, and all of them."""
    if some.empty:
        return found.test(claim, why=f"there were no {what}")
    parts = {str(name): found.estimate(contrast(g["more"]), g) for name, g in some.groupby(by, sort=False)}
    for part, one in parts.items():
        found.test(claim, one, part, optional=True)
    for name, column in (("early", "before"), ("early by chance", "chance")):
        found.value(f"{claim} {name}", found.estimate(mean(numbers(some[column])), some))
    found.value(f"{claim} more", pooled(found.estimate(contrast(some["more"]), some), parts))


def _chance(words: pd.DataFrame, names: list[str]) -> pd.Series:
    """By chance: the share of other texts that first have the word then; NaN where there is none."""
    return pd.DataFrame(list(words["chance"]), index=words.index)[names].astype(float).sum(axis=1, skipna=False)
