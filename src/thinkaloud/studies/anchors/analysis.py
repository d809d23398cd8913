"""Estimates of the study of anchors: importance by sentence, place, class and threshold, and of M's own solutions.

Means of counterfactual importance are weighted by how many other sentences were drawn: a sentence in whose place hardly
another ever comes says little of what another would do. The sentences of an explanation are sampled, as those drawn in
their places are, so differences are zero on average however much a sentence decides. How much is told by KL
divergences, and by the product of the differences of two halves of the rollouts, whose mean is the squared effect.
"""

from collections.abc import Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from thinkaloud.stats import Statistic, Values, correlation, difference, mean, pooled, weighted
from thinkaloud.studies.anchors import Anchors
from thinkaloud.studies.anchors.importance import KEY, Frame, closed, importances, sentences
from thinkaloud.studies.anchors.taxonomy import CLASSES
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.results import Results

OUTCOMES = {"model": "holds M's answer", "gold": "holds the gold answer", "fve": "FVE"}
SHOWN = {**OUTCOMES, "kl": "KL, both answers"}
AFTER = {"after_model": "M's answer, behind the sentence", "after_gold": "the gold answer, behind the sentence"}
LAST = "whole last line"
METHODS = {"counterfactual": "counterfactual", "plain": "plain resampling", "deletion": "deletion"}
METHODS |= {"square": "squared, without noise"}
FEW = 3  # explanations below which a position has no row
EDGES = {"lowest": 0.0, "5 %": 0.05, "95 %": 0.95, "highest": 1.0}


def results(config: Anchors, folder: Folder) -> Results:
    """Every number of the page, from the tables."""
    found = Results(config.name, cluster="problem", seed=config.seed)
    said = sentences(closed(folder.kept("explanations", but=["vector", "token_ids"])))
    tables = {name: pd.DataFrame(folder.kept(name, but=["text"])) for name in ("rollouts", "similarity", "deletions")}
    rollouts, similar, deleted = tables.values()

    def at(threshold: float, some: Frame = rollouts) -> Frame:
        every = importances(said, some, similar, threshold, list(OUTCOMES), deleted, config.seed)
        return every.assign(loss=1 - every["whole_fve"], at=_positions(every))

    swept = {threshold: at(threshold) for threshold in sorted({config.threshold, *config.thresholds})}
    halves = [at(config.threshold, rollouts[rollouts["sample"] % 2 == half]) for half in (0, 1)]
    for outcome in (*OUTCOMES, *AFTER):
        first, second = (half[f"counterfactual_{outcome}"] for half in halves)
        swept[config.threshold][f"square_{outcome}"] = first * second
    of_explanations(found, swept[config.threshold])
    thresholds(found, swept, config.threshold)
    noise(found, *halves)
    traced, drawn, alike, spoken = (
        pd.DataFrame(folder.kept(f"trace{name}", but=["text", "token_ids", "prompt_ids"]))
        for name in ("s", "_rollouts", "_similarity", "_said")
    )
    own = sentences(traced.to_dict("records"))
    of_solutions(found, importances(own, drawn, alike, config.threshold, ["model", "gold"], None, config.seed), spoken)
    return found


def of_explanations(found: Results, every: Frame) -> None:
    """The tables of explanations at one threshold, and the claims that they tell of."""
    free, last = every[~every["own"]], every[every["own"]]
    for method in ("counterfactual", "deletion"):
        found.value(f"last_{method}", found.estimate(importance(last, "fve", method), last))
    found.value("last_known", int((last["other"] > 0).sum()))
    found.value("last_of", len(last))
    for name, some in (("kl", free), ("kl_first", free[free["sentence"] == 0])):
        found.value(name, found.estimate(importance(some, "kl"), some))
    counts = {"sentences": len, "another drawn in": lambda g: int((g["other"] > 0).sum())}
    for outcome, name in {**SHOWN, **AFTER}.items():
        methods = [method for method in METHODS if f"{method}_{outcome}" in every]
        numbers = {METHODS[method]: partial(importance, outcome=outcome, method=method) for method in methods}
        found.by("positions", _common(every), {"sentence": "at"}, {**numbers, **counts}, outcome=name)
        here = {place: found.estimate(importance(g, outcome), g) for place, g in free.groupby("place", sort=False)}
        whole = pooled(found.estimate(importance(free, outcome), free), here)
        for place, one in {**here, "every place": whole}.items():
            found.row("places", {"outcome": name, "place": place}, {"counterfactual": one})
    classes(found, every)
    quartiles(found, every)
    ranges(found, every)
    order(found, every)
    ranked = free.dropna(subset="counterfactual_fve").sort_values("counterfactual_fve", ascending=False)
    chosen: Frame = pd.concat([ranked.head(6), ranked.iloc[6:].tail(3)])
    for row in chosen.itertuples():
        labels = {"sentence": row.words, "place": row.place, "no.": row.sentence + 1}
        numbers = {name: float(getattr(row, f"counterfactual_{outcome}")) for outcome, name in SHOWN.items()}
        found.row("extremes", labels, numbers)


def classes(found: Results, every: Frame) -> None:
    """Importance by class of sentence, where M is right and where it is wrong; a sentence may be of several classes."""
    some = every.explode("classes")
    groups = {"every sentence": every} | {name: some[some["classes"] == name] for name in CLASSES}
    for (outcome, label), (name, group) in product(SHOWN.items(), groups.items()):
        if len(group) >= FEW:
            sides = {"M right": group[group["right"]], "M wrong": group[~group["right"]]}
            numbers = {side: found.estimate(importance(g, outcome), g) for side, g in sides.items()}
            apart = difference(group[f"counterfactual_{outcome}"], group["right"], group["other"])
            numbers |= {"right − wrong": found.estimate(apart, group), "sentences": len(group)}
            found.row("classes", {"outcome": label, "class": name}, numbers | {LAST: float(group["own"].mean())})


def quartiles(found: Results, every: Frame) -> None:
    """The reconstruction loss of explanations by quartile of a sentence's importance for holding an answer."""
    for outcome in ("model", "gold", "kl"):
        name = f"counterfactual_{outcome}"
        known = every.dropna(subset=[name, "loss"])
        known = known[known["other"] > 0]
        cut: Any = pd.qcut(known[name], 4, duplicates="drop") if known[name].nunique() > 1 else known[name]
        for k, (_, group) in enumerate(known.groupby(cut, observed=True)):
            span = f"{group[name].min():.2f} to {group[name].max():.2f}".replace("-", "−")
            labels = {"outcome": SHOWN[outcome], "group": k + 1, "importance": span}
            loss = found.estimate(mean(group["loss"]), group)
            found.row("quartiles", labels, {"MSE ∕ V": loss, "sentences": len(group)})
        rank = found.estimate(correlation(known[name], known["loss"]), known)
        found.row("ranks", {"outcome": SHOWN[outcome]}, {"rank correlation with the loss": rank})
        found.test("A8", rank, part=f"rank correlation, {SHOWN[outcome]}")


def ranges(found: Results, every: Frame) -> None:
    """How far the change in FVE with a sentence ranges, where M is right and where it is wrong, and A11."""
    known = every.dropna(subset="counterfactual_fve")
    for place, here in known.groupby("place", sort=False):
        for side, group in (("right", here[here["right"]]), ("wrong", here[~here["right"]])):
            values = group["counterfactual_fve"]
            numbers = {name: float(values.quantile(q)) for name, q in EDGES.items() if len(values)}
            numbers |= {"standard deviation": float(values.std()), "sentences": len(group)}
            found.row("ranges", {"place": place, "M is": side}, numbers)
        wider = found.estimate(spread(here["counterfactual_fve"], [(~here["right"], 1), (here["right"], -1)]), here)
        found.row("spread", {"place": place}, {"deviation, wrong ∕ right": wider})
        if place in ("answer end", "border"):
            found.test("A11", wider, part=f"spread wrong ∕ right, {place}", null=1.0)
    last, border, wrong = known["place"] == "answer end", known["place"] == "border", ~known["right"]
    signs = [(last & wrong, 1), (last & ~wrong, -1), (border & wrong, -1), (border & ~wrong, 1)]
    more = found.estimate(spread(known["counterfactual_fve"], signs), known)
    found.test("A11", more, part="that ratio, answer end ∕ border", null=1.0)


def order(found: Results, every: Frame) -> None:
    """Whether the first or the last sentence is the most important, and how evenly importance is spread; A6, A11."""
    ends = every.assign(first=every["sentence"] == 0, last=every["sentence"] == every["of"] - 1)
    free, wrong = ends[~ends["own"]], ends[(ends["of"] > 1) & ~ends["right"]]
    apart = f"the last one is a {LAST} in {int(wrong[wrong['last']]['own'].sum())} of {int(wrong['last'].sum())}"
    for claim, part, some, which, column, why in (
        ("A6", f"first less others but a {LAST}, gold answer", free, "first", "counterfactual_gold", ""),
        ("A6", f"first less others but a {LAST}, gold answer, squared", free, "first", "square_gold", ""),
        ("A6", "last less others where M is wrong, M's answer", wrong, "last", "counterfactual_model", apart),
        ("A6", "last less others where M is wrong, M's answer, squared", wrong, "last", "square_model", apart),
        ("A11", f"first less others but a {LAST}, FVE, squared", free, "first", "square_fve", ""),
    ):
        statistic = difference(some[column], some[which], some["other"])
        found.test(claim, found.estimate(statistic, some), part=part, why=why)
    spread_out = every.groupby([*KEY[:2], "right"]).apply(_evenness, include_groups=False).dropna()
    spread_out = spread_out.rename("evenness").reset_index()
    numbers = {"evenness": lambda g: mean(g["evenness"]), "explanations": len}
    found.by("evenness", spread_out, {"M is right": "right"}, numbers)
    differs = found.estimate(difference(spread_out["evenness"], spread_out["right"]), spread_out)
    found.test("A6", differs, part="evenness, right less wrong", direction=0)


def thresholds(found: Results, swept: dict[float, Frame], main: float) -> None:
    """Importances by threshold of similarity, how far they agree with those at the main one, and A12."""
    for threshold, every in swept.items():
        free = every[~every["own"]]
        means = {name: found.estimate(importance(free, outcome), free) for outcome, name in SHOWN.items()}
        ranks = correlation(free["counterfactual_fve"], swept[main].loc[free.index, "counterfactual_fve"])
        share = float(every["other"].sum() / max(1, every["draws"].sum()))
        numbers = {"resamples that are others": share, "sentences with none": int((every["other"] == 0).sum()), **means}
        numbers[f"rank correlation with {main:g}, FVE"] = found.estimate(ranks, free)
        found.row("thresholds", {"threshold": threshold}, numbers)
        part = f"mean KL, threshold {threshold:g}"
        found.test("A12", means[SHOWN["kl"]], part=part, why="classes by rule stand for clusters")


def noise(found: Results, first: Frame, second: Frame) -> None:
    """How far importances from two halves of the continuations agree."""
    for (outcome, name), method in product(SHOWN.items(), ("counterfactual", "plain")):
        column = f"{method}_{outcome}"
        r = found.estimate(correlation(first[column], second[column], ranks=False), first)
        # Spearman and Brown: the reliability of the whole from the correlation of its halves.
        whole = 2 * r.value / (1 + r.value) if r.value > -1 else float("nan")
        numbers = {"halves correlate": r, "reliability of all": whole}
        found.row("noise", {"outcome": name, "method": METHODS[method]}, numbers)


def of_solutions(found: Results, every: Frame, spoken: Frame) -> None:
    """Importance of the sentences of M's own solutions, and what the AV says at those that matter most."""
    every = every.assign(at=_positions(every, "states the answer"))
    numbers = {"model": "comes to M's answer", "gold": "comes to the gold answer", "kl": "KL of answers"}
    quantities: dict[str, Any] = {label: partial(importance, outcome=o) for o, label in numbers.items()}
    quantities |= {"plain KL": partial(importance, outcome="kl", method="plain"), "sentences": len}
    quantities["another drawn in"] = lambda g: int((g["other"] > 0).sum())
    found.by("solutions", _common(every), {"sentence": "at"}, quantities)
    both = every.merge(spoken, on=KEY).rename(columns={"model": "holds_model"})
    both = both[~both["own"]].assign(importance=lambda b: b["counterfactual_kl"].fillna(0.0))
    several = both[both.groupby("problem")["problem"].transform("size") > 1]
    top = several["importance"] == several.groupby("problem")["importance"].transform("max")
    said = {"holds_model": "names M's answer", "result": "names the sentence's last number", "fve": "FVE"}
    for column, name in said.items():
        sides = {"at anchors": several[top], "elsewhere": several[~top]}
        numbers = {label: found.estimate(mean(g[column]), g) for label, g in sides.items()}
        numbers["difference"] = found.estimate(difference(several[column], top), several)
        numbers["rank correlation with KL"] = found.estimate(correlation(both["importance"], both[column]), both)
        found.row("anchors", {"the AV's explanation": name}, numbers)
    best = both.groupby("problem")["importance"].max().sort_values(ascending=False, kind="stable").index[:3]
    for problem in best:
        for row in every[every["problem"] == problem].merge(spoken, on=KEY).itertuples():
            numbers = {"KL": float(row.counterfactual_kl), "comes to M's answer": float(row.counterfactual_model)}
            said_there = {"what the AV says at its end": row.explanation}
            found.row("shown", {"problem": row.problem, "sentence": row.words}, numbers | said_there)


def spread(values: Values, sides: Sequence[tuple[Values, int]]) -> Statistic:
    """The product of the standard deviations of the rows of each side, to the power given with it: 1 or −1."""
    x = np.asarray(values, dtype=float)
    masks = np.stack([np.asarray(side, dtype=bool) & np.isfinite(x) for side, _ in sides], axis=1)
    powers = np.array([power for _, power in sides])
    x = np.where(np.isfinite(x), x - np.nanmean(x) if np.isfinite(x).any() else 0.0, 0.0)
    rows = np.concatenate([masks, masks * x[:, None], masks * x[:, None] ** 2], axis=1)

    def of(sums: np.ndarray) -> np.ndarray:
        n, total, squares = np.split(sums, 3, axis=-1)
        return np.exp((0.5 * powers * np.log(squares / n - (total / n) ** 2)).sum(axis=-1))

    return Statistic(rows, of, masks, "log", null=1.0)


def importance(some: Frame, outcome: str, method: str = "counterfactual") -> Statistic:
    """The mean importance of these sentences, weighted by draws where it is of other sentences alone."""
    values = some[f"{method}_{outcome}"]
    return mean(values) if method in ("plain", "deletion") else weighted(values * some["other"], some["other"])


def _positions(every: Frame, own: str = LAST) -> Frame:
    """Which sentence of its text each is, those whose effect is what they say themselves apart."""
    return (every["sentence"] + 1).astype(str).mask(every["own"], own)


def _common(every: Frame) -> Frame:
    """The sentences at positions that FEW texts or more have, in order."""
    enough = every.groupby("at")["at"].transform("size") >= FEW
    return every[enough].sort_values(["own", "sentence"], kind="stable")


def _evenness(some: Frame) -> float:
    """The entropy of the sizes of importance for M's answer over an explanation's sentences, over its largest value."""
    sizes = some["counterfactual_model"].abs().dropna().to_numpy()
    if len(sizes) < 2 or not sizes.sum():
        return float("nan")
    shares = sizes[sizes > 0] / sizes.sum()
    return float(-(shares * np.log(shares)).sum() / np.log(len(sizes)))
