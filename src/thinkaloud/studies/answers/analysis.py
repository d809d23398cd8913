"""Estimates of the study of answers: from rows of tables to rows of the page.

Rows are those of the table `explanations` or `edited`. Every interval resamples whole problems.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import comb
from typing import Any

import numpy as np

from thinkaloud.evals.degenerate import CLASSES, load_labelled, precision
from thinkaloud.stats import Estimate, correlation, difference, estimate, mean, ratio

Record = Mapping[str, Any]
GROUPS: dict[str, Callable[[Record], bool]] = {
    "all": lambda row: True,
    "right": lambda row: row["right"],
    "wrong": lambda row: not row["right"],
}
PUBLISHED_WORSE = 1.3  # MSE of wrong answers over that of right ones, as published


def solutions(solved: Sequence[Record]) -> list[dict[str, Any]]:
    """By right, wrong and none: how many problems, and what M wrote."""
    kinds = {
        "right": lambda row: row["right"],
        "wrong": lambda row: not row["right"] and row["answer"] is not None,
        "none": lambda row: row["answer"] is None,
    }
    out = []
    for name, chosen in kinds.items():
        rows = [row for row in solved if chosen(row)]
        wrote = [len(row["ids"]) - row["prompt_tokens"] for row in rows]
        out.append(
            {
                "M's answer": name,
                "problems": len(rows),
                "with ####": sum(row["border"] is not None for row in rows),
                "tokens of solution": float(np.mean(wrote)) if wrote else float("nan"),
                "different answers": len({row["answer"] for row in rows} - {None}),
            }
        )
    return out


def check_classes(labelled: str | None) -> list[dict[str, Any]]:
    """Precision of the classes on labelled texts: of the bundled ones the held-out half, and all."""
    some = {"all": load_labelled(labelled, split=None)}
    if labelled is None:
        some = {"held out": load_labelled(), **some}
    return [{"texts": f"{name} ({len(rows)})", **record} for name, rows in some.items() for record in precision(rows)]


def with_chance(rows: Sequence[Record]) -> list[dict[str, Any]]:
    """The rows with the share of other problems' answers that the explanation names: what it would hold by chance.

    Other problems may have the same answer. That is part of chance: if all answers were alike, naming one would say
    nothing of the problem.
    """
    answers = {row["problem"]: row["model_answer"] for row in rows if row["model_answer"] is not None}
    golds = {row["problem"]: row["gold"] for row in rows}
    out = []
    for row in rows:
        named = set(row["numbers"])
        out.append(
            {
                **row,
                "model_chance": _chance(named, answers, row["problem"]),
                "gold_chance": _chance(named, golds, row["problem"]),
            }
        )
    return out


def shares(rows: Sequence[Record]) -> list[dict[str, Any]]:
    """By place and by right and wrong: the share of explanations that hold M's answer and the gold one, and chance."""
    out = []
    for place, group, some in by_place(with_chance(rows)):
        answered = [row for row in some if row["model_answer"] is not None]
        out.append(
            {
                "place": place,
                "M is": group,
                "problems": len({row["problem"] for row in some}),
                "holds M's answer": _mean(answered, lambda row: row["holds_model_answer"]),
                "chance": _mean(answered, lambda row: row["model_chance"]).value,
                "above chance": _mean(answered, lambda row: row["holds_model_answer"] - row["model_chance"]),
                "holds the gold answer": _mean(some, lambda row: row["holds_gold"]),
                "chance of gold": _mean(some, lambda row: row["gold_chance"]).value,
            }
        )
    return out


def by_samples(rows: Sequence[Record]) -> list[dict[str, Any]]:
    """By place and number of sampled explanations k: how often at least one of k holds M's answer, and chance.

    Over all subsets of k of the m sampled: 1 − C(m − c, k) / C(m, k) where c of them hold it (Chen et al., Evaluating
    Large Language Models Trained on Code, 2021). Chance is the same for the other problems' answers.
    """
    sampled = [row for row in rows if row["sample"] > 0 and row["model_answer"] is not None]
    answers = {row["problem"]: row["model_answer"] for row in sampled}
    groups: dict[tuple[str, str], list[Record]] = defaultdict(list)
    for row in sampled:
        groups[row["place"], row["problem"]].append(row)
    most = max((row["sample"] for row in sampled), default=0)
    out = []
    for place in dict.fromkeys(row["place"] for row in sampled):
        here = {problem: some for (where, problem), some in groups.items() if where == place}
        for k in range(1, most + 1):
            held, chance = [], []
            for problem, some in here.items():
                counts = Counter(number for row in some for number in set(row["numbers"]))
                any_of_k = {number: _any_of(len(some), count, k) for number, count in counts.items()}
                held.append(any_of_k.get(answers[problem], 0.0))
                others = [any_of_k.get(answer, 0.0) for other, answer in answers.items() if other != problem]
                chance.append(float(np.mean(others)) if others else float("nan"))
            gap = np.subtract(held, chance)
            out.append(
                {
                    "place": place,
                    "samples": k,
                    "at least one holds it": estimate(mean(held), list(here)),
                    "chance": estimate(mean(chance), list(here)).value,
                    "above chance": estimate(mean(gap), list(here)),
                }
            )
    return out


def nearness(rows: Sequence[Record]) -> Estimate:
    """Correlation of how near a place is before the answer (its rank) with holding M's answer, chance taken off.

    Not of ranks on both sides: where more numbers are named, chance is higher, and the many explanations that do not
    hold the answer would rank lower for it. From the answer's first token on places are left out: M has read it there.
    """
    some = _before_answer(with_chance(rows))
    return _with_nearness(some, [row["holds_model_answer"] - row["model_chance"] for row in some])


def nearness_with_chance(rows: Sequence[Record]) -> Estimate:
    """The same with chance left in: it also rises where explanations name more numbers of any kind."""
    some = _before_answer(rows)
    return _with_nearness(some, [float(row["holds_model_answer"]) for row in some])


def reconstruction(rows: Sequence[Record]) -> list[dict[str, Any]]:
    """By place: FVE where M is right and wrong, their difference, and the ratio of their MSEs."""
    out = []
    for place, group, some in by_place(rows):
        if group == "all":
            wrong = [not row["right"] for row in some]
            out.append(
                {
                    "place": place,
                    "problems right": len({row["problem"] for row in some if row["right"]}),
                    "problems wrong": len({row["problem"] for row in some if not row["right"]}),
                    "FVE right": _mean([row for row in some if row["right"]], lambda row: row["fve"]),
                    "FVE wrong": _mean([row for row in some if not row["right"]], lambda row: row["fve"]),
                    "wrong − right": estimate(difference([row["fve"] for row in some], wrong), problems_of(some)),
                    "MSE wrong ∕ right": estimate(ratio([row["mse"] for row in some], wrong), problems_of(some)),
                }
            )
    return out


def worse_when_wrong(rows: Sequence[Record]) -> Estimate:
    """MSE of wrong solutions over that of right ones, each relative to the mean of its place.

    Else a solution that lacks a place, as one without an answer does, would weigh the other places more.
    """
    levels = {
        place: float(np.nanmean([r["mse"] for r in some])) for place, group, some in by_place(rows) if group == "all"
    }
    relative = [row["mse"] / levels[row["place"]] for row in rows]
    return estimate(ratio(relative, [not row["right"] for row in rows]), problems_of(rows))


def lengths(rows: Sequence[Record]) -> list[dict[str, Any]]:
    """By place and by right and wrong: tokens of explanations, their spread over all and over samples of one vector."""
    out = []
    for place, group, some in by_place(rows):
        if group == "all":
            continue
        spread: dict[str, list[int]] = defaultdict(list)
        for row in some:
            if row["sample"] > 0:
                spread[row["problem"]].append(row["tokens"])
        own = {problem: float(np.std(tokens, ddof=1)) for problem, tokens in spread.items() if len(tokens) > 1}
        out.append(
            {
                "place": place,
                "M is": group,
                "tokens": _mean(some, lambda row: row["tokens"]),
                "SD": float(np.std([row["tokens"] for row in some])),
                "SD of one vector's samples": estimate(mean(list(own.values())), list(own)),
                "cut at the limit": _mean(some, lambda row: row["finish"] == "cut"),
                "one sentence or none": _mean(some, lambda row: row["sentences"] <= 1),
            }
        )
    return out


def classes(rows: Sequence[Record]) -> list[dict[str, Any]]:
    """By class: its share among greedy and sampled explanations, where M is right and wrong, and its FVE."""
    kinds = {"greedy": lambda row: row["sample"] == 0, "sampled": lambda row: row["sample"] > 0}
    out = []
    for name in CLASSES:
        record: dict[str, Any] = {"class": name, "explanations": sum(row["class"] == name for row in rows)}
        for kind, chosen in {**kinds, "right": GROUPS["right"], "wrong": GROUPS["wrong"]}.items():
            record[kind] = _mean([row for row in rows if chosen(row)], lambda row, name=name: row["class"] == name)
        record["FVE"] = _mean([row for row in rows if row["class"] == name], lambda row: row["fve"])
        out.append(record)
    return out


def changes(edited: Sequence[Record]) -> list[dict[str, Any]]:
    """By edit, place and right and wrong: FVE before, and by how much it changes."""
    out = []
    for edit in dict.fromkeys(row["edit"] for row in edited):
        some = [row for row in edited if row["edit"] == edit]
        for place, group, rows in [*by_place(some), *by_group("every place", some)]:
            out.append(
                {
                    "edit": edit,
                    "place": place,
                    "M is": group,
                    "explanations": len(rows),
                    "FVE before": _mean(rows, lambda row: row["fve_before"]),
                    "change": _mean(rows, lambda row: row["fve"] - row["fve_before"]),
                }
            )
    return out


def against_other_number(edited: Sequence[Record]) -> Estimate:
    """Change in FVE from taking the answer out less that from taking another number out of the same explanation."""
    by: dict[tuple[str, str, int], dict[str, float]] = defaultdict(dict)
    for row in edited:
        by[row["problem"], row["place"], row["sample"]][row["edit"]] = row["fve"] - row["fve_before"]
    pairs = {key: one for key, one in by.items() if {"answer removed", "other number removed"} <= set(one)}
    gaps = [one["answer removed"] - one["other number removed"] for one in pairs.values()]
    return estimate(mean(gaps), [problem for problem, *_ in pairs])


def by_place(rows: Sequence[Record]) -> Iterator[tuple[str, str, list[Record]]]:
    """(place, group, rows) in the order of their first row; a group without rows is left out."""
    for place in dict.fromkeys(row["place"] for row in rows):
        yield from by_group(place, [row for row in rows if row["place"] == place])


def by_group(place: str, rows: Sequence[Record]) -> Iterator[tuple[str, str, list[Record]]]:
    """The rows of a place, and those where M is right and wrong."""
    for group, chosen in GROUPS.items():
        some = [row for row in rows if chosen(row)]
        if some:
            yield place, group, some


def problems_of(rows: Sequence[Record]) -> list[str]:
    """The clusters of rows."""
    return [row["problem"] for row in rows]


def _chance(named: set[str], answers: Mapping[str, str], own: str) -> float:
    others = len(answers) - (own in answers)
    held = sum(answer in named for problem, answer in answers.items() if problem != own)
    return held / others if others else float("nan")


def _before_answer(rows: Sequence[Record]) -> list[Record]:
    return [row for row in rows if row["before_answer"] is not None and row["before_answer"] > 0]


def _with_nearness(rows: Sequence[Record], values: Sequence[float]) -> Estimate:
    from scipy.stats import rankdata

    near = rankdata([-row["before_answer"] for row in rows])
    return estimate(correlation(near, values, ranks=False), problems_of(rows))


def _any_of(m: int, c: int, k: int) -> float:
    return 1 - comb(m - c, k) / comb(m, k) if k <= m else float("nan")


def _mean(rows: Sequence[Record], of: Callable[[Record], float]) -> Estimate:
    return estimate(mean([float(of(row)) for row in rows]), problems_of(rows))
