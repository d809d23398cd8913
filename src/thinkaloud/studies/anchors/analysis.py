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
from scipy.stats import entropy

from thinkaloud.stats import Statistic, Values, correlation, difference, mean, pooled, weighted
from thinkaloud.studies.anchors import Anchors
from thinkaloud.studies.anchors.importance import KEY, Frame, closed, importances, sentences
from thinkaloud.studies.anchors.taxonomy import CLASSES
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.results import Results

OUTCOMES = {"model": "holds M's answer", "gold": "holds the gold answer", "fve": "FVE"}
SHOWN = {**OUTCOMES, "kl": "KL, both answers"}
LAST = "whole last line"
FEW = 3  # explanations below which a position or class has no row
EDGES = {"lowest": 0.0, "5 %": 0.05, "95 %": 0.95, "highest": 1.0}


def results(config: Anchors, folder: Folder) -> Results:
    """Every number of the page, from the tables."""
    found = Results(config.name, cluster="problem", seed=config.seed)
    said = sentences(closed(folder.kept("explanations", but=["vector", "token_ids"])))
    rollouts, similar = (pd.DataFrame(folder.kept(name, but=["text"])) for name in ("rollouts", "similarity"))

    def at(threshold: float, some: Frame = rollouts) -> Frame:
        return importances(said, some, similar, threshold, list(OUTCOMES), config.seed)

    swept = {threshold: at(threshold) for threshold in sorted({config.threshold, *config.thresholds})}
    first, second = (at(config.threshold, rollouts[rollouts["sample"] % 2 == half]) for half in (0, 1))
    squares = {f"square_{o}": first[f"counterfactual_{o}"] * second[f"counterfactual_{o}"] for o in OUTCOMES}
    of_explanations(found, swept[config.threshold].assign(**squares))
    thresholds(found, swept, config.threshold)
    traced, drawn, alike, spoken = (
        pd.DataFrame(folder.kept(f"trace{name}", but=["text", "token_ids", "prompt_ids"]))
        for name in ("s", "_rollouts", "_similarity", "_said")
    )
    own = sentences(traced.to_dict("records"))
    of_solutions(found, importances(own, drawn, alike, config.threshold, ["model", "gold"], config.seed), spoken)
    return found


def of_explanations(found: Results, every: Frame) -> None:
    """The tables of explanations at one threshold, and the claims that they tell of."""
    free, last = every[~every["own"]], every[every["own"]]
    found.value("last_counterfactual", found.estimate(importance(last, "fve"), last))
    found.value("last_known", int((last["other"] > 0).sum()))
    found.value("last_of", len(last))
    for name, some in (("kl", free), ("kl_first", free[free["sentence"] == 0])):
        found.value(name, found.estimate(importance(some, "kl"), some))
    for outcome, name in SHOWN.items():
        numbers: dict[str, Any] = {"counterfactual": partial(importance, outcome=outcome)}
        if outcome in OUTCOMES:
            numbers["squared, without noise"] = partial(importance, outcome=outcome, method="square")
        by_position(found, "positions", every, numbers, LAST, outcome=name)
        here = {place: found.estimate(importance(g, outcome), g) for place, g in free.groupby("place", sort=False)}
        whole = pooled(found.estimate(importance(free, outcome), free), here)
        for place, one in {**here, "every place": whole}.items():
            found.row("places", {"outcome": name, "place": place}, {"counterfactual": one})
    classes(found, every)
    quartiles(found, every)
    ranges(found, every)
    order(found, every)


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
        known = every[every["other"] > 0].assign(loss=1 - every["whole"]).dropna(subset=[name, "loss"])
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
    sizes = every.assign(evenness=every["counterfactual_model"].abs()).dropna(subset="evenness")
    even = sizes.groupby([*KEY[:2], "right"])["evenness"].agg(evenness).dropna().reset_index()
    found.by("evenness", even, {"M is right": "right"}, {"evenness": "evenness", "explanations": len})
    differs = found.estimate(difference(even["evenness"], even["right"]), even)
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


def of_solutions(found: Results, every: Frame, spoken: Frame) -> None:
    """Importance of the sentences of M's own solutions, and what the AV says at those that matter most."""
    numbers = {"model": "comes to M's answer", "gold": "comes to the gold answer", "kl": "KL of answers"}
    means = {label: partial(importance, outcome=outcome) for outcome, label in numbers.items()}
    by_position(found, "solutions", every, means, "states the answer")
    both = every.merge(spoken, on=KEY).rename(columns={"model": "holds_model"})
    both = both[~both["own"]].assign(importance=lambda b: b["counterfactual_kl"].fillna(0.0))
    several = both[both.groupby("problem")["problem"].transform("size") > 1]
    top = several["importance"] == several.groupby("problem")["importance"].transform("max")
    said = {"holds_model": "names M's answer", "result": "names the sentence's last number", "fve": "FVE"}
    for column, name in said.items():
        sides = {"at anchors": several[top], "elsewhere": several[~top]}
        means = {label: found.estimate(mean(g[column]), g) for label, g in sides.items()}
        means["difference"] = found.estimate(difference(several[column], top), several)
        means["rank correlation with KL"] = found.estimate(correlation(both["importance"], both[column]), both)
        found.row("anchors", {"the AV's explanation": name}, means)
    best = both.groupby("problem")["importance"].max().sort_values(ascending=False, kind="stable").index[:3]
    for problem in best:
        for row in every[every["problem"] == problem].merge(spoken, on=KEY).itertuples():
            means = {"KL": float(row.counterfactual_kl), "comes to M's answer": float(row.counterfactual_model)}
            said_there = {"what the AV says at its end": row.explanation}
            found.row("shown", {"problem": row.problem, "sentence": row.words}, means | said_there)


def by_position(found: Results, table: str, every: Frame, numbers: Any, own: str, **labels: Any) -> None:
    """A row for each place in its text that FEW sentences or more have, those called `own` apart."""
    every = every.assign(at=(every["sentence"] + 1).astype(str).mask(every["own"], own))
    enough = every[every.groupby("at")["at"].transform("size") >= FEW].sort_values(["own", "sentence"], kind="stable")
    counts = {"sentences": len, "another drawn in": lambda g: int((g["other"] > 0).sum())}
    found.by(table, enough, {"sentence": "at"}, {**numbers, **counts}, **labels)


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
    """The mean importance of these sentences, weighted by draws."""
    return weighted(some[f"{method}_{outcome}"] * some["other"], some["other"])


def evenness(sizes: Frame) -> float:
    """The entropy of the sizes of importance over an explanation's sentences, over its largest value."""
    return float(entropy(sizes, base=len(sizes))) if len(sizes) > 1 and sizes.sum() else float("nan")
