"""Importances of sentences, and their tables by place, position and threshold."""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from thinkaloud.render.text import minus
from thinkaloud.stats import Estimate, correlation, difference, estimate, mean

Rows = Sequence[Mapping[str, Any]]

OUTCOMES = {"model": "holds M's answer", "gold": "holds the gold answer", "fve": "FVE"}
METHODS = {"counterfactual": "counterfactual", "plain": "plain resampling", "deletion": "deletion"}


def closed(explained: Rows) -> Rows:
    """The explanations that end by themselves and have a sentence."""
    return [row for row in explained if row["finish"] == "closed" and row["ends"]]


def importances(
    explained: Rows, rollouts: Rows, similar: Rows, deleted: Rows, threshold: float
) -> list[dict[str, Any]]:
    """For every sentence and outcome: counterfactual, plain and deletion importance.

    Counterfactual: the outcome's mean with the sentence kept, less its mean where another was drawn in its place whose
    similarity to it is below `threshold` (none at all counts as another). Plain: less its mean whatever was drawn.
    Deletion: the explanation's own outcome less that of its text without the sentence. NaN where there is nothing to
    compare with.
    """
    likeness = {(row["drawn"], row["original"]): row["similarity"] for row in similar}
    by_prefix: dict[tuple[str, str, int], list[Mapping[str, Any]]] = defaultdict(list)
    for row in rollouts:
        by_prefix[row["problem"], row["place"], row["kept"]].append(row)
    cut = {(row["problem"], row["place"], row["sentence"]): row for row in deleted}
    out = []
    for row in explained:
        key = row["problem"], row["place"]
        for i, sentence in enumerate(row["sentences"]):
            kept, drawn = by_prefix[*key, i + 1], by_prefix[*key, i]
            other = [
                one
                for one in drawn
                if one["sentence"] != sentence and likeness.get((one["sentence"], sentence), -1.0) < threshold
            ]
            out.append(
                {
                    "problem": key[0],
                    "place": key[1],
                    "right": row["right"],
                    "sentence": i,
                    "of": len(row["sentences"]),
                    "words": sentence,
                    "explanation_fve": cut[*key, -1]["fve"],
                    "other": len(other),
                    "drawn": len(drawn),
                    **_compared(
                        lambda name, one=kept, two=other: _mean(one, name) - _mean(two, name), "counterfactual"
                    ),
                    **_compared(lambda name, one=kept, two=drawn: _mean(one, name) - _mean(two, name), "plain"),
                    **_compared(lambda name, k=key, s=i: cut[*k, -1][name] - cut[*k, s][name], "deletion"),
                }
            )
    return out


def of(some: Rows, method: str, outcome: str) -> Estimate:
    """The mean importance of these sentences, problems resampled."""
    return estimate(mean(column(some, f"{method}_{outcome}")), [row["problem"] for row in some])


def column(some: Rows, name: str) -> np.ndarray:
    """A column as numbers; what is missing is NaN."""
    return np.array([math.nan if row[name] is None else row[name] for row in some], dtype=np.float64)


def methods(some: Rows, outcome: str) -> dict[str, Estimate]:
    """The mean importance of these sentences by each method."""
    return {label: of(some, method, outcome) for method, label in METHODS.items()}


def known(some: Rows) -> int:
    """For how many of these sentences another was drawn at all."""
    return sum(row["other"] > 0 for row in some)


def at(found: Rows, sentence: int) -> Rows:
    """The sentences that stand at one place of their explanations."""
    return [row for row in found if row["sentence"] == sentence]


def places(found: Rows) -> list[int]:
    """The places of sentences that three explanations or more have."""
    return [i for i in sorted({row["sentence"] for row in found}) if len(at(found, i)) >= 3]


def by_position(found: Rows) -> list[dict[str, Any]]:
    """By outcome and the sentence's place in the explanation."""
    return [
        {
            "sentence": i + 1,
            "outcome": name,
            **methods(at(found, i), outcome),
            "explanations": len(at(found, i)),
            "another drawn in": known(at(found, i)),
        }
        for outcome, name in OUTCOMES.items()
        for i in places(found)
    ]


def by_place(found: Rows) -> list[dict[str, Any]]:
    """By outcome and the place of the activation."""
    return [
        {"outcome": said, "place": name, **methods(here, outcome), "sentences": len(here)}
        for outcome, said in OUTCOMES.items()
        for name in dict.fromkeys(row["place"] for row in found)
        if (here := [row for row in found if row["place"] == name])
    ]


def by_right(found: Rows) -> list[dict[str, Any]]:
    """Where M is right and where it is wrong; nothing where it is always one of the two."""
    right = np.array([row["right"] for row in found])
    if right.all() or not right.any():
        return []
    clusters = [row["problem"] for row in found]
    return [
        {
            "outcome": said,
            "importance": label,
            "right": of([row for row in found if row["right"]], method, outcome),
            "wrong": of([row for row in found if not row["right"]], method, outcome),
            "right − wrong": estimate(difference(column(found, f"{method}_{outcome}"), right), clusters),
        }
        for outcome, said in OUTCOMES.items()
        for method, label in METHODS.items()
    ]


def by_fve(found: Rows) -> list[dict[str, Any]]:
    """Rank correlation of counterfactual importance with the explanation's FVE, and its mean in each quarter of FVE."""
    fve, clusters = column(found, "explanation_fve"), [row["problem"] for row in found]
    quarter = np.searchsorted(np.quantile(fve, [0.25, 0.5, 0.75]), fve, side="right")
    table: list[dict[str, Any]] = []
    for outcome, said in OUTCOMES.items():
        rank = estimate(correlation(column(found, f"counterfactual_{outcome}"), fve), clusters)
        table.append({"importance for": said, "explanations": "all: rank correlation with FVE", "value": rank})
        for q in range(4):
            here = [row for row, k in zip(found, quarter, strict=True) if k == q]
            if here:
                bounds = minus(f"{fve[quarter == q].min():.2f} to {fve[quarter == q].max():.2f}")
                which, value = f"quarter {q + 1}, FVE {bounds}", of(here, "counterfactual", outcome)
                table.append({"importance for": said, "explanations": which, "value": value})
    return table


def sweep(swept: Rows) -> list[dict[str, Any]]:
    """By threshold of similarity."""
    table = []
    for threshold in sorted({row["threshold"] for row in swept}):
        here = [row for row in swept if row["threshold"] == threshold]
        others, drawn = (sum(row[name] for row in here) for name in ("other", "drawn"))
        table.append(
            {
                "threshold": float(threshold),
                "resamples that are others": float(others / max(1, drawn)),
                "sentences with none": sum(row["other"] == 0 for row in here),
                **{said: of(here, "counterfactual", outcome) for outcome, said in OUTCOMES.items()},
            }
        )
    return table


def noise(first: Rows, second: Rows) -> list[dict[str, Any]]:
    """How far importances from two halves of the continuations agree."""
    table = []
    for outcome, said in OUTCOMES.items():
        for method in ("counterfactual", "plain"):
            a, b = column(first, f"{method}_{outcome}"), column(second, f"{method}_{outcome}")
            r = estimate(correlation(a, b, ranks=False), [row["problem"] for row in first])
            # Spearman and Brown: the reliability of the whole from the correlation of its halves.
            whole = 2 * r.value / (1 + r.value) if r.value > -1 else math.nan
            table.append(
                {
                    "importance for": said,
                    "method": METHODS[method],
                    "halves correlate": r,
                    "reliability of all": whole,
                }
            )
    return table


def extremes(found: Rows) -> list[dict[str, Any]]:
    """The six sentences of highest counterfactual importance for FVE, and the three of lowest."""
    importance = column(found, "counterfactual_fve")
    order = [i for i in np.argsort(-importance, kind="stable") if np.isfinite(importance[i])]
    chosen = [found[i] for i in ([*order[:6], *order[-3:]] if len(order) > 9 else order)]
    values = {said: column(chosen, f"counterfactual_{outcome}").tolist() for outcome, said in OUTCOMES.items()}
    return [
        {
            "sentence": row["words"],
            "place": row["place"],
            "no.": row["sentence"] + 1,
            **{said: some[i] for said, some in values.items()},
        }
        for i, row in enumerate(chosen)
    ]


def _compared(of: Callable[[str], float], method: str) -> dict[str, float]:
    return {f"{method}_{name}": float(of(name)) for name in OUTCOMES}


def _mean(some: Rows, name: str) -> float:
    values = [one[name] for one in some if one[name] is not None and math.isfinite(one[name])]
    return float(np.mean(values)) if values else math.nan
