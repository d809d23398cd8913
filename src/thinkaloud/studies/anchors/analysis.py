"""Importances of sentences, and their tables by place, position and threshold."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from thinkaloud.render.text import minus
from thinkaloud.stats import Estimate, correlation, difference
from thinkaloud.studies.frame import Frame

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
            kept, drawn, whole, without = by_prefix[*key, i + 1], by_prefix[*key, i], cut[*key, -1], cut[*key, i]
            other = [
                one
                for one in drawn
                if one["sentence"] != sentence and likeness.get((one["sentence"], sentence), -1.0) < threshold
            ]
            compared = {"counterfactual": (kept, other), "plain": (kept, drawn), "deletion": ([whole], [without])}
            out.append(
                {
                    "problem": key[0],
                    "place": key[1],
                    "right": row["right"],
                    "sentence": i,
                    "of": len(row["sentences"]),
                    "words": sentence,
                    "explanation_fve": whole["fve"],
                    "other": len(other),
                    "drawn": len(drawn),
                    **{
                        f"{method}_{name}": _mean(with_it, name) - _mean(otherwise, name)
                        for method, (with_it, otherwise) in compared.items()
                        for name in OUTCOMES
                    },
                }
            )
    return out


def methods(some: Frame, outcome: str) -> dict[str, Estimate]:
    """The mean importance of these sentences by each method."""
    return {label: some.mean(f"{method}_{outcome}") for method, label in METHODS.items()}


def known(some: Frame) -> int:
    """For how many of these sentences another was drawn at all."""
    return int((some["other"] > 0).sum())


def by_sentence(found: Frame) -> dict[int, Frame]:
    """The sentences at each place of their explanations that three explanations or more have."""
    return {i: some for i, some in sorted(found.by("sentence")) if len(some) >= 3}


def by_position(found: Frame) -> list[dict[str, Any]]:
    """By outcome and the sentence's place in the explanation."""
    return [
        {
            "sentence": i + 1,
            "outcome": name,
            **methods(some, outcome),
            "explanations": len(some),
            "another drawn in": known(some),
        }
        for (outcome, name), (i, some) in product(OUTCOMES.items(), by_sentence(found).items())
    ]


def by_place(found: Frame) -> list[dict[str, Any]]:
    """By outcome and the place of the activation."""
    return [
        {"outcome": said, "place": name, **methods(here, outcome), "sentences": len(here)}
        for (outcome, said), (name, here) in product(OUTCOMES.items(), found.by("place"))
    ]


def by_right(found: Frame) -> list[dict[str, Any]]:
    """Where M is right and where it is wrong; nothing where it is always one of the two."""
    right, wrong = found.at(right=True), found.at(right=False)
    if not len(right) or not len(wrong):
        return []
    return [
        {
            "outcome": said,
            "importance": label,
            "right": right.mean(f"{method}_{outcome}"),
            "wrong": wrong.mean(f"{method}_{outcome}"),
            "right − wrong": found.estimate(difference(found[f"{method}_{outcome}"], found["right"])),
        }
        for (outcome, said), (method, label) in product(OUTCOMES.items(), METHODS.items())
    ]


def by_fve(found: Frame) -> list[dict[str, Any]]:
    """Rank correlation of counterfactual importance with the explanation's FVE, and its mean in each quarter of FVE."""
    fve = found["explanation_fve"]
    quarters = found.assign(quarter=np.searchsorted(np.quantile(fve, [0.25, 0.5, 0.75]), fve, side="right") + 1)
    table: list[dict[str, Any]] = []
    for outcome, said in OUTCOMES.items():
        rank = found.estimate(correlation(found[f"counterfactual_{outcome}"], fve))
        table.append({"importance for": said, "explanations": "all: rank correlation with FVE", "value": rank})
        for q, here in sorted(quarters.by("quarter")):
            own = here["explanation_fve"]
            which = f"quarter {q}, FVE {minus(f'{own.min():.2f} to {own.max():.2f}')}"
            value = here.mean(f"counterfactual_{outcome}")
            table.append({"importance for": said, "explanations": which, "value": value})
    return table


def sweep(swept: Frame) -> list[dict[str, Any]]:
    """By threshold of similarity."""
    return [
        {
            "threshold": float(threshold),
            "resamples that are others": float(here["other"].sum() / max(1, here["drawn"].sum())),
            "sentences with none": len(here) - known(here),
            **{said: here.mean(f"counterfactual_{outcome}") for outcome, said in OUTCOMES.items()},
        }
        for threshold, here in sorted(swept.by("threshold"))
    ]


def noise(first: Frame, second: Frame) -> list[dict[str, Any]]:
    """How far importances from two halves of the continuations agree."""
    table = []
    for (outcome, said), method in product(OUTCOMES.items(), ("counterfactual", "plain")):
        name = f"{method}_{outcome}"
        r = first.estimate(correlation(first[name], second[name], ranks=False))
        # Spearman and Brown: the reliability of the whole from the correlation of its halves.
        whole = 2 * r.value / (1 + r.value) if r.value > -1 else np.nan
        record = {"importance for": said, "method": METHODS[method]}
        table.append(record | {"halves correlate": r, "reliability of all": whole})
    return table


def extremes(found: Frame) -> list[dict[str, Any]]:
    """The six sentences of highest counterfactual importance for FVE, and the three of lowest."""
    ranked = found.known("counterfactual_fve")
    order = np.argsort(-ranked["counterfactual_fve"], kind="stable")
    chosen = ranked.where(np.r_[order[:6], order[-3:]] if len(order) > 9 else order)
    return [
        {
            "sentence": words,
            "place": place,
            "no.": number + 1,
            **{said: float(chosen[f"counterfactual_{outcome}"][i]) for outcome, said in OUTCOMES.items()},
        }
        for i, (words, place, number) in enumerate(
            zip(chosen["words"], chosen["place"], chosen["sentence"].tolist(), strict=True)
        )
    ]


def _mean(some: Rows, name: str) -> float:
    values = [one[name] for one in some if one[name] is not None and np.isfinite(one[name])]
    return float(np.mean(values or np.nan))
