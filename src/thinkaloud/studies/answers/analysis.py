"""Estimates of the study of answers: from rows of tables to rows of the page.

Rows are those of the table `explanations`, as `with_chance` makes them. Every interval resamples whole problems.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from math import comb
from typing import Any

import numpy as np

from thinkaloud.evals.degenerate import CLASSES, load_labelled, precision
from thinkaloud.stats import Estimate, correlation, difference, ratio
from thinkaloud.studies.frame import Frame

Records = Sequence[Mapping[str, Any]]
PUBLISHED_WORSE = 1.3  # MSE of wrong answers over that of right ones, as published


def solutions(solved: Records) -> list[dict[str, Any]]:
    """By right, wrong and none: how many problems, and what M wrote."""
    kinds: dict[str, list[Mapping[str, Any]]] = {"right": [], "wrong": [], "none": []}
    for row in solved:
        kinds["right" if row["right"] else "none" if row["answer"] is None else "wrong"].append(row)
    return [
        {
            "M's answer": name,
            "problems": len(rows),
            "with ####": sum(row["border"] is not None for row in rows),
            "tokens of solution": float(np.mean([len(r["ids"]) - r["prompt_tokens"] for r in rows] or np.nan)),
            "different answers": len({row["answer"] for row in rows} - {None}),
        }
        for name, rows in kinds.items()
    ]


def check_classes(labelled: str | None) -> list[dict[str, Any]]:
    """Precision of the classes on labelled texts: of the bundled ones the held-out half, and all."""
    some = {"all": load_labelled(labelled, split=None)}
    if labelled is None:
        some = {"held out": load_labelled(), **some}
    return [{"texts": f"{name} ({len(rows)})", **record} for name, rows in some.items() for record in precision(rows)]


def with_chance(explained: Records) -> Frame:
    """The rows with the share of other problems' answers that the explanation names: what it would hold by chance.

    Other problems may have the same answer. That is part of chance: if all answers were alike, naming one would say
    nothing of the problem.
    """
    rows = Frame.of(explained, "problem").assign(answered=[row["model_answer"] is not None for row in explained])
    for name, answer in (("model_chance", "model_answer"), ("gold_chance", "gold")):
        answers = {row["problem"]: row[answer] for row in explained if row[answer] is not None}
        chances = [_chance(set(row["numbers"]), answers, row["problem"]) for row in explained]
        rows = rows.assign(**{name: chances})
    return rows


def shares(rows: Frame) -> list[dict[str, Any]]:
    """By place and by right and wrong: the share of explanations that hold M's answer and the gold one, and chance."""
    out = []
    for place, group, some in by_place(rows):
        answered = some.at(answered=True)
        out.append(
            {
                "place": place,
                "M is": group,
                "problems": some.distinct("problem"),
                "holds M's answer": answered.mean("holds_model_answer"),
                "chance": answered.mean("model_chance").value,
                "above chance": answered.mean(answered["holds_model_answer"] - answered["model_chance"]),
                "holds the gold answer": some.mean("holds_gold"),
                "chance of gold": some.mean("gold_chance").value,
            }
        )
    return out


def by_samples(rows: Frame) -> list[dict[str, Any]]:
    """By place and number of sampled explanations k: how often at least one of k holds M's answer, and chance.

    Over all subsets of k of the m sampled: 1 − C(m − c, k) / C(m, k) where c of them hold it (Chen et al., Evaluating
    Large Language Models Trained on Code, 2021). Chance is the same for the other problems' answers.
    """
    sampled = rows.where(rows["answered"] & (rows["sample"] > 0))
    answers = dict(zip(sampled["problem"], sampled["model_answer"], strict=True))
    out = []
    for place, here in sampled.by("place"):
        named = {
            problem: (len(some), Counter(number for numbers in some["numbers"] for number in set(numbers)))
            for problem, some in here.by("problem")
        }
        for k in range(1, max(sampled["sample"]) + 1):
            records = []
            for problem, (m, counts) in named.items():
                any_of_k = {number: _any_of(m, count, k) for number, count in counts.items()}
                others = [any_of_k.get(answer, 0.0) for other, answer in answers.items() if other != problem]
                chance = float(np.mean(others or np.nan))
                records.append({"problem": problem, "held": any_of_k.get(answers[problem], 0.0), "chance": chance})
            found = Frame.of(records, "problem")
            out.append(
                {
                    "place": place,
                    "samples": k,
                    "at least one holds it": found.mean("held"),
                    "chance": found.mean("chance").value,
                    "above chance": found.mean(found["held"] - found["chance"]),
                }
            )
    return out


def nearness(rows: Frame) -> Estimate:
    """Correlation of how near a place is before the answer (its rank) with holding M's answer, chance taken off.

    Not of ranks on both sides: where more numbers are named, chance is higher, and the many explanations that do not
    hold the answer would rank lower for it. From the answer's first token on places are left out: M has read it there.
    """
    return _with_nearness(rows, rows["holds_model_answer"] - rows["model_chance"])


def nearness_with_chance(rows: Frame) -> Estimate:
    """The same with chance left in: it also rises where explanations name more numbers of any kind."""
    return _with_nearness(rows, rows["holds_model_answer"])


def reconstruction(rows: Frame) -> list[dict[str, Any]]:
    """By place: FVE where M is right and wrong, their difference, and the ratio of their MSEs."""
    out = []
    for place, here in rows.by("place"):
        right, wrong = here.at(right=True), here.at(right=False)
        out.append(
            {
                "place": place,
                "problems right": right.distinct("problem"),
                "problems wrong": wrong.distinct("problem"),
                "FVE right": right.mean("fve"),
                "FVE wrong": wrong.mean("fve"),
                "wrong − right": here.estimate(difference(here["fve"], ~here["right"])),
                "MSE wrong ∕ right": here.estimate(ratio(here["mse"], ~here["right"])),
            }
        )
    return out


def worse_when_wrong(rows: Frame) -> Estimate:
    """MSE of wrong solutions over that of right ones, each relative to the mean of its place.

    Else a solution that lacks a place, as one without an answer does, would weigh the other places more.
    """
    levels = {place: np.nanmean(some["mse"]) for place, some in rows.by("place")}
    return rows.estimate(ratio(rows["mse"] / [levels[place] for place in rows["place"]], ~rows["right"]))


def lengths(rows: Frame) -> list[dict[str, Any]]:
    """By place and by right and wrong: tokens of explanations, their spread over all and over samples of one vector."""
    out = []
    for place, group, some in by_place(rows):
        if group == "all":
            continue
        sampled = some.where(some["sample"] > 0).by("problem")
        spread = [
            {"problem": problem, "SD": float(np.std(own["tokens"], ddof=1))} for problem, own in sampled if len(own) > 1
        ]
        out.append(
            {
                "place": place,
                "M is": group,
                "tokens": some.mean("tokens"),
                "SD": float(np.std(some["tokens"])),
                "SD of one vector's samples": Frame.of(spread, "problem").mean("SD"),
                "cut at the limit": some.mean(some["finish"] == "cut"),
                "one sentence or none": some.mean(some["sentences"] <= 1),
            }
        )
    return out


def classes(rows: Frame) -> list[dict[str, Any]]:
    """By class: its share among greedy and sampled explanations, where M is right and wrong, and its FVE."""
    groups = {
        "greedy": rows.at(sample=0),
        "sampled": rows.where(rows["sample"] > 0),
        "right": rows.at(right=True),
        "wrong": rows.at(right=False),
    }
    out = []
    for name in CLASSES:
        own = rows.at(**{"class": name})
        shares = {kind: some.mean(some["class"] == name) for kind, some in groups.items()}
        out.append({"class": name, "explanations": len(own), **shares, "FVE": own.mean("fve")})
    return out


def changes(edited: Records) -> list[dict[str, Any]]:
    """By edit, place and right and wrong: FVE before, and by how much it changes."""
    return [
        {
            "edit": edit,
            "place": place,
            "M is": group,
            "explanations": len(rows),
            "FVE before": rows.mean("fve_before"),
            "change": rows.mean(rows["fve"] - rows["fve_before"]),
        }
        for edit, some in Frame.of(edited, "problem").by("edit")
        for place, group, rows in (*by_place(some), *by_group("every place", some))
    ]


def against_other_number(edited: Records) -> Estimate:
    """Change in FVE from taking the answer out less that from taking another number out of the same explanation."""
    removed, other = (
        {(r["problem"], r["place"], r["sample"]): r["fve"] - r["fve_before"] for r in edited if r["edit"] == edit}
        for edit in ("answer removed", "other number removed")
    )
    gaps = [{"problem": key[0], "gap": removed[key] - other[key]} for key in removed if key in other]
    return Frame.of(gaps, "problem").mean("gap")


def by_place(rows: Frame) -> Iterator[tuple[str, str, Frame]]:
    """(place, group, rows) in the order of their first row; a group without rows is left out."""
    for place, here in rows.by("place"):
        yield from by_group(place, here)


def by_group(place: str, rows: Frame) -> Iterator[tuple[str, str, Frame]]:
    """The rows of a place, and those where M is right and wrong."""
    for group, some in (("all", rows), ("right", rows.at(right=True)), ("wrong", rows.at(right=False))):
        if len(some):
            yield place, group, some


def _chance(named: set[str], answers: Mapping[str, str], own: str) -> float:
    return float(np.mean([answer in named for problem, answer in answers.items() if problem != own] or np.nan))


def _with_nearness(rows: Frame, values: np.ndarray) -> Estimate:
    from scipy.stats import rankdata

    before = rows["before_answer"] > 0
    near = rankdata(-rows["before_answer"][before])
    return rows.where(before).estimate(correlation(near, values[before], ranks=False))


def _any_of(m: int, c: int, k: int) -> float:
    return 1 - comb(m - c, k) / comb(m, k) if k <= m else float("nan")
