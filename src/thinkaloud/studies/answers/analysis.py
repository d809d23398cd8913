"""Estimates of the study of answers: from its tables to results, and its verdicts on published claims."""

from collections import Counter
from collections.abc import Sequence
from math import comb
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import rankdata

from thinkaloud.evals.degenerate import CLASSES, load_labelled, precision
from thinkaloud.stats import Estimate, Statistic, Values, contrast, correlation, difference, mean, pooled, ratio
from thinkaloud.studies.answers import Answers
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.results import Results

HELD, GOLD = "holds M's answer", "holds the right answer"
OWN, POSSIBLE = "own numbers", "possible results"
DEVIATION = "deviation wrong ∕ right"
OUTCOMES = ("right", "wrong", "cut", "none")
SHOWN = 3  # degenerate explanations of each class that stand as examples, of right and of wrong solutions


def results(config: Answers, folder: Folder) -> Results:
    """Every number of the page, and the verdicts."""
    rows = joined(folder)
    found = Results(config.name, "problem", config.seed)
    solutions(found, pd.DataFrame(folder.kept("solutions")))
    rows = rows[rows["outcome"].isin(("right", "wrong"))]
    each = by_name(rows, config.places)
    named(found, rows, each)
    sampled(found, each)
    reconstruction(found, rows, each)
    lengths(found, rows, each)
    classes(found, rows)
    ablation(found, rows, pd.DataFrame(folder.kept("edited")), config.places)
    return found


def joined(folder: Folder) -> pd.DataFrame:
    """Explanations with their places and problems, whether they hold M's answer and the right one, and chance."""
    solved = pd.DataFrame(folder.kept("solutions", but=("ids", "prompt", "text")))
    places = pd.DataFrame(folder.kept("places", but=("vector",)))
    rows = pd.DataFrame(folder.kept("explanations")).merge(places, on=["problem", "token"])
    rows = rows.merge(solved.assign(characters=solved["question"].str.len()), on="problem")

    def share(numbers: pd.Series) -> list[float]:
        """The share of the numbers in a column that an explanation names."""
        pairs = zip(rows["numbers"], numbers, strict=True)
        return [float(np.isin(list(other), list(own)).mean()) if len(other) else np.nan for own, other in pairs]

    wrapped = rows[["answer", "gold"]].map(lambda n: [n] if isinstance(n, str) else [])
    rows = rows.assign(**{HELD: share(wrapped["answer"]), GOLD: share(wrapped["gold"]), OWN: share(rows["own"])})
    possible = pd.Series(share(rows["possible"]), rows.index)
    return rows.assign(**{POSSIBLE: possible.where(rows["standing"] != "written")})  # it is of numbers not written


def by_name(rows: pd.DataFrame, places: Sequence[str]) -> pd.DataFrame:
    """A row for each name of its token, `place`, in the order in which places were asked for."""
    each = rows.assign(place=rows["names"]).explode("place", ignore_index=True)

    def at(place: str) -> tuple[int, int]:
        """Where a place was asked for; sentences in their order."""
        word, *rest = place.split()
        name = f"sentence {rest[-1]}s" if word == "sentence" and place not in places else place
        return list(places).index(name), int(rest[0]) if word == "sentence" else 0

    order = sorted(each["place"].unique(), key=at)
    return each.sort_values("place", key=lambda names: names.map(order.index), kind="stable")


def solutions(found: Results, solved: pd.DataFrame) -> None:
    """By the steps that a problem takes: how M's solutions end."""
    solved = solved.assign(of=solved["steps"].map(lambda n: "unknown" if pd.isna(n) else str(int(n))))
    for steps, some in [*solved.sort_values("of").groupby("of"), ("all", solved)]:
        ends = {name: int((some["outcome"] == name).sum()) for name in OUTCOMES}
        share = found.estimate(mean(some["outcome"] == "right"), some)
        length, numbers = (some["ids"].str.len() - some["prompt_tokens"]).mean(), some["answer"].nunique()
        more = {"with ####": int(some["border"].sum()), "tokens of solution": length, "different answers": numbers}
        found.row("solutions", {"steps": steps}, {"problems": len(some), "share right": share, **ends, **more})


def named(found: Results, rows: pd.DataFrame, each: pd.DataFrame) -> None:
    """How often explanations name M's answer, above chance: where it is still ahead, and by where it stands."""

    shares: dict[str, Any] = {"explanations": len, HELD: HELD, GOLD: GOLD}
    for chance in (OWN, POSSIBLE):
        shares[chance] = lambda g, of=chance: g[of].mean()
        shares[f"above {chance}"] = lambda g, of=chance: contrast(g[HELD] - g[of])
    ahead, here = rows[rows["standing"] == "ahead"], each[each["standing"] == "ahead"]
    both = pd.concat([here.assign(M="all"), here.assign(M=here["outcome"]).sort_values("outcome", kind="stable")])
    both["order"] = both.groupby("place", sort=False).ngroup()
    found.by("named", both.sort_values("order", kind="stable"), {"place": "place", "M is": "M"}, shares)
    tokens = np.where(each["answer_tokens"] > 2, "3 and more", each["answer_tokens"].fillna(0).astype(int).astype(str))
    split = each.assign(length=tokens)
    found.by("standing", split, {"place": "place", "answer is": "standing", "its tokens": "length"}, shares)

    at_end = _at_end(ahead)
    gain = ahead[HELD] - ahead[POSSIBLE]
    near = correlation(rankdata(-ahead["before_answer"]), gain, ranks=False)
    found.test("A1", found.value("near", found.estimate(near, ahead)), part="nearness to the first writing")
    later = found.estimate(difference(gain, ~at_end), ahead)
    found.test("A1", found.value("later", later), part="later places against the question's end")
    for name, group in (("all", ahead), *ahead.groupby("outcome", sort=False)):
        for chance in (OWN, POSSIBLE):
            above = group.assign(above=group[HELD] - group[chance])
            places = above.explode("names").groupby("names", sort=False)
            parts = {str(place): found.estimate(contrast(some["above"]), some) for place, some in places}
            whole = pooled(found.estimate(contrast(above["above"]), above), parts)
            found.value(f"{name}: {chance}", whole)
            if name != "all":
                found.test("A4", whole, part=f"M is {name}, against {chance}")
    for place in ("border", "answer"):
        there = each[each["place"] == place]
        unread = there[there["standing"] != "written"]
        for part, some in ((place, there), (f"{place}, not yet written", unread)):
            gap = found.estimate(difference(some[HELD], some["outcome"] == "right"), some)
            found.test("A2", gap if len(some) else None, part, _read(there), optional=part != place)


def sampled(found: Results, each: pd.DataFrame) -> None:
    """How often at least one of k sampled explanations names M's answer, and the problem's other numbers, by place.

    Over all subsets of k of the m sampled: 1 − C(m − c, k) / C(m, k) where c of them hold it (Chen et al., Evaluating
    Large Language Models Trained on Code, 2021). Chance is the mean of the same over the problem's own numbers.
    """
    some = each[each["sample"] > 0]
    records = []
    for (place, problem), group in some.groupby(["place", "problem"], sort=False):
        counts, first, m = Counter(n for ns in group["numbers"] for n in set(ns)), group.iloc[0], len(group)
        for k in range(1, m + 1):
            held, *others = [1 - comb(m - counts[n], k) / comb(m, k) for n in [first["answer"], *first["own"]]]
            chance = float(np.mean(others)) if others else np.nan
            records.append((place, problem, k, held, chance, float(first["standing"] == "written")))
    drawn = pd.DataFrame(records, columns=["place", "problem", "samples", "held", "chance", "written"])
    quantities: dict[str, Any] = {
        "at least one holds it": "held",
        "chance": lambda g: g["chance"].mean(),
        "above chance": lambda g: contrast(g["held"] - g["chance"]),
        "written before": lambda g: g["written"].mean(),
    }
    if len(drawn):
        found.by("samples", drawn, {"place": "place", "samples": "samples"}, quantities)
    most = drawn["samples"].max() if len(drawn) else 0
    wide = drawn.pivot_table(index="problem", columns=["place", "samples"], values="held")
    if most < 2 or not {"border", "answer"} <= set(drawn["place"]):
        return found.test("A3", why="it takes both places and two samples or more")
    gaps = (wide["answer"] - wide["border"]).reset_index()
    growth = found.estimate(contrast(gaps[most] - gaps[1]), gaps)
    part = f"answer − border with {most} samples, less with one"
    found.test("A3", growth, part, _read(some[some["place"].isin(("answer", "border"))]))


def reconstruction(found: Results, rows: pd.DataFrame, each: pd.DataFrame) -> None:
    """Whether wrong solutions reconstruct worse, by place and over all, as it is and at the same difficulty."""
    wrong = {"MSE wrong ∕ right": lambda g: ratio(g["mse"], g["outcome"] == "wrong"), "adjusted": harder}
    sides = {f"FVE {name}": lambda g, name=name: mean(g["fve"].where(g["outcome"] == name)) for name in OUTCOMES[:2]}
    before = rows[_at_end(rows)].groupby("problem")["mse"].mean().rename("question_mse")
    each, rows = (some.merge(before, how="left", on="problem") for some in (each, rows))
    found.by("reconstruction", each, {"place": "place"}, {**sides, **wrong})
    level = rows.assign(mse=relative(rows, "mse"))
    for name, of in (("as it is", wrong["MSE wrong ∕ right"]), ("adjusted for the question's difficulty", harder)):
        worse = found.value("worse" if name == "as it is" else "adjusted", found.estimate(of(level), level))
        found.test("A9", worse, part=name, optional=of is harder)


def harder(rows: pd.DataFrame) -> Statistic:
    """MSE of wrong solutions over that of right ones at the same steps, length and MSE at the question's end."""
    known = ["steps", "characters", "question_mse"]
    return adjusted(rows["mse"].where(~_at_end(rows)), rows["outcome"] == "wrong", rows[known].astype(float))


def adjusted(values: Values, where: Values, by: pd.DataFrame) -> Statistic:
    """The ratio of means where `where` is true and not, by a linear regression on it and the columns `by`.

    Columns that are nowhere known or all alike are left out.
    """
    y, here = np.asarray(values, dtype=float), np.asarray(where, dtype=bool)
    by = by.loc[:, by.nunique() > 1]
    known = np.isfinite(y) & np.isfinite(by).all(axis=1).to_numpy()
    z = ((by - by.mean()) / by.std()).to_numpy()
    x = np.where(known[:, None], np.column_stack([np.ones(len(y)), here, z]), 0.0)
    q = x.shape[1]
    products = (x[:, :, None] * x[:, None, :]).reshape(len(x), q * q)

    def of(sums: np.ndarray) -> np.ndarray:
        xx, xy = sums[..., : q * q].reshape(*sums.shape[:-1], q, q), sums[..., q * q :]
        ridge = 1e-9 * xx[..., :1, :1] * np.eye(q)  # columns may be alike in a resample
        gap = np.linalg.solve(xx + ridge, xy[..., None])[..., 1, 0]
        n, on = xx[..., 0, 0], xx[..., 0, 1]
        return np.where((on != 0) & (on != n), 1 + gap / ((xy[..., 0] - gap * on) / n), np.nan)

    rows = np.concatenate([products, x * np.where(known, y, 0.0)[:, None]], axis=1)
    return Statistic(rows, of, np.stack([known & here, known & ~here], axis=1), "log", null=1.0)


def lengths(found: Results, rows: pd.DataFrame, each: pd.DataFrame) -> None:
    """Tokens of explanations, and how much more they vary where M is wrong."""

    def spread(some: pd.DataFrame, tokens: pd.Series) -> Statistic:
        middle = tokens.groupby([some["outcome"], some["names"].str[0]]).transform("median")
        return ratio((tokens - middle).abs(), some["outcome"] == "wrong")

    sides = {f"tokens {n}": lambda g, n=n: mean(g["tokens"].where(g["outcome"] == n)) for n in OUTCOMES[:2]}
    varies = {DEVIATION: lambda g: spread(g, g["tokens"]), "cut at the limit": lambda g: mean(g["finish"] == "cut")}
    found.by("lengths", each, {"place": "place"}, {**sides, **varies})
    overall = found.estimate(spread(rows, relative(rows, "tokens")), rows)
    found.test("A5", found.value(DEVIATION, overall), part=DEVIATION)


def classes(found: Results, rows: pd.DataFrame) -> None:
    """By class: its share where M is right and wrong, its FVE, examples; and how far the rules can be trusted."""
    wrong = rows["outcome"] == "wrong"

    def share(of: pd.Series) -> dict[str, Estimate]:
        sides = {"M right": ~wrong, "M wrong": wrong}
        shares = {name: found.estimate(mean(of[here]), rows[here]) for name, here in sides.items()}
        return {**shares, "wrong − right": found.estimate(difference(of, wrong), rows)}

    for name in CLASSES:
        own = rows["class"] == name
        fve = found.estimate(mean(rows["fve"].where(own)), rows)
        found.row("classes", {"class": name}, {"explanations": int(own.sum()), **share(own), "FVE": fve})
        if name != "fine":
            for outcome, some in rows[own].groupby("outcome"):
                for _, row in some.groupby("text", sort=False).head(1).head(SHOWN).iterrows():
                    where = {"class": name, "M is": outcome, "place": row["names"][0], "problem": row["problem"]}
                    found.row("degenerate", where, {"FVE": row["fve"], "explanation": row["text"]})
    broken = share(rows["class"] != "fine")
    found.test("A7", found.value("broken", broken["M right"]), part="share where M is right")
    found.test("A7", broken["wrong − right"], part="wrong − right", direction=1, published=None)
    for record in precision(load_labelled()):
        found.row("checked", {"class": record.pop("class")}, record)


def ablation(found: Results, rows: pd.DataFrame, edited: pd.DataFrame, places: Sequence[str]) -> None:
    """What it costs to take the answer out, or another number, by place and outcome."""
    if edited.empty:
        return found.test("A10", why="no explanation holds M's answer")
    keys = ["problem", "token", "sample"]
    known = rows[[*keys, "names", "outcome", "standing"]]
    edited = edited.assign(cost=edited["mse"] - edited["mse_before"]).merge(known, on=keys)
    each = by_name(edited, places)
    sides = {f"cost {n}": lambda g, n=n: mean(g["cost"].where(g["outcome"] == n)) for n in OUTCOMES[:2]}
    gap = {"right − wrong": lambda g: difference(g["cost"], g["outcome"] == "right")}
    shown = {"explanations": len, "MSE before": lambda g: g["mse_before"].mean(), "cost": "cost"}
    found.by("edits", each.sort_values("edit"), {"edit": "edit", "place": "place"}, {**shown, **sides, **gap})
    wide = edited.pivot_table(index=keys, columns="edit", values="cost").reset_index()
    if {"answer removed", "other number removed"} <= set(wide):
        found.value("against", found.estimate(mean(wide["answer removed"] - wide["other number removed"]), wide))
    found.value("empty", int((edited["text"] == "").sum()))
    removed = each[each["edit"] == "answer removed"]
    for place, published in (("border", None), ("answer", 0.0)):  # about the same at the answer token
        some = removed[removed["place"] == place]
        differs = found.estimate(gap["right − wrong"](some), some) if len(some) else None
        side = 1 if published is None else 0
        found.test("A10", differs, place, _read(some), direction=side, published=published)


def relative(rows: pd.DataFrame, column: str) -> pd.Series:
    """Values over the mean of their place: else a solution that lacks a place would weigh the others more."""
    return rows[column] / rows[column].groupby(rows["names"].str[0]).transform("mean")


def _read(rows: pd.DataFrame) -> str:
    """How many of the answers at these places are no longer to be found out."""
    return f"M has written it before at {(rows['standing'] == 'written').mean():.0%}" if len(rows) else ""


def _at_end(rows: pd.DataFrame) -> np.ndarray:
    """Which rows are of the question's last token."""
    return np.array(["question end" in names for names in rows["names"]], dtype=bool)
