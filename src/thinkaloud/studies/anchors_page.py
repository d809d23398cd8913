"""What do the importances of sentences come to? Their tables and figures, by place, position, right and wrong."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from thinkaloud.studies.estimates import Estimate, correlation, difference, estimate, mean
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import Example, Page, Section, at_quartiles

Rows = Sequence[Mapping[str, Any]]

OUTCOMES = {"model": "holds M's answer", "gold": "holds the gold answer", "fve": "FVE"}
METHODS = {"counterfactual": "counterfactual", "plain": "plain resampling", "deletion": "deletion"}
COLOURS = {"counterfactual": "#1b6ca8", "plain": "#e39c4a", "deletion": "#999999"}


def page(
    found: Rows,
    swept: Rows,
    halves: Sequence[Rows],
    rollouts: Rows,
    explained: Rows,
    facts: Mapping[str, str],
    folder: Folder,
) -> Page:
    """The page of the study, from its tables."""
    return Page(
        "Which sentence of an explanation decides?",
        "Counterfactual importance: sentences kept, against sentences drawn anew that came out otherwise.",
        answer(found),
        facts,
        [
            by_position(found, folder),
            grouped("By place", found, "place", "Where the activation stands in the working of the problem"),
            by_right(found),
            against_reconstruction(found),
            sweep(swept, folder),
            noise(halves),
            examples(found),
        ],
        shown(found, explained),
    )


def shown(found: Rows, explained: Rows) -> list[Example]:
    """Explanations at the quartiles of FVE, with the end of what M had read."""
    fves = {(row["problem"], row["place"]): row["explanation_fve"] for row in found}
    scored = [row for row in explained if "prefix" in row and (row["problem"], row["place"]) in fves]
    known = [fves[row["problem"], row["place"]] for row in scored]
    return [
        Example.of(row["prefix"], row["token"], row["text"], fve, row["place"])
        for row, fve in ((scored[i], known[i]) for i in at_quartiles(known))
    ]


def of(some: Rows, method: str, outcome: str) -> Estimate:
    """The mean importance of these sentences, problems resampled."""
    return estimate(mean(column(some, f"{method}_{outcome}")), [row["problem"] for row in some])


def column(some: Rows, name: str) -> np.ndarray:
    return np.array([math.nan if row[name] is None else row[name] for row in some], dtype=np.float64)


def answer(found: Rows) -> str:
    """The study's result in a sentence or two."""
    last = [row for row in found if row["sentence"] == row["of"] - 1]
    other, plain, deleted = (of(last, method, "fve") for method in METHODS)
    model = of(found, "counterfactual", "model")
    return (
        f"Taking the last sentence of an explanation out costs {deleted} of FVE; against drawing it anew, keeping it "
        f"is worth {plain}, and against drawing another in its place {other} ({known(last)} of {len(last)} "
        f"explanations). For whether M's answer is named, keeping a sentence rather than another is worth {model} on "
        "average."
    ).replace("-", "−")


def known(some: Rows) -> int:
    """For how many of these sentences another was drawn at all."""
    return sum(row["other"] > 0 for row in some)


def _at(found: Rows, sentence: int) -> Rows:
    return [row for row in found if row["sentence"] == sentence]


def by_position(found: Rows, folder: Folder) -> Section:
    numbers = [i for i in sorted({row["sentence"] for row in found}) if len(_at(found, i)) >= 3]
    table = [
        {
            "sentence": i + 1,
            "outcome": name,
            **{label: of(_at(found, i), method, outcome) for method, label in METHODS.items()},
            "explanations": len(_at(found, i)),
            "another drawn in": known(_at(found, i)),
        }
        for outcome, name in OUTCOMES.items()
        for i in numbers
    ]

    def draw(figure: Any) -> None:
        axes = figure.subplots(1, len(OUTCOMES))
        for axis, (outcome, name) in zip(axes, OUTCOMES.items(), strict=True):
            for k, method in enumerate(METHODS):
                values = [of(_at(found, i), method, outcome) for i in numbers]
                x = np.array(numbers) + 1 + 0.18 * (k - 1)
                spread = [[max(0, v.value - v.low) for v in values], [max(0, v.high - v.value) for v in values]]
                axis.errorbar(
                    x, [v.value for v in values], spread, fmt="o", ms=4, color=COLOURS[method], label=METHODS[method]
                )
            axis.axhline(0, color="#bbbbbb", linewidth=0.8)
            axis.set(title=name, xlabel="sentence", xticks=[i + 1 for i in numbers])
        axes[0].legend(loc="best")

    return Section(
        "By the sentence's place in the explanation",
        "How much the outcome changes with a sentence, by where it stands: as it is against one drawn otherwise "
        "(counterfactual, of the explanations in which another was drawn at all), against whatever is drawn (plain), "
        "and against the same text without it (deletion).",
        "That a sentence is true, or that the model used what it says: the outcome is what the verbalizer says on and "
        "what the reconstructor makes of it. Sentences of one number are not the same kind of sentence in every text.",
        table,
        folder.figure("position", draw, (9.0, 3.0)),
    )


def grouped(title: str, found: Rows, key: str, meaning: str) -> Section:
    names = list(dict.fromkeys(row[key] for row in found))
    table = [
        {
            "outcome": said,
            key: name,
            **{label: of(here, method, outcome) for method, label in METHODS.items()},
            "sentences": len(here),
        }
        for outcome, said in OUTCOMES.items()
        for name in names
        if (here := [row for row in found if row[key] == name])
    ]
    return Section(
        title,
        f"{meaning}, and how much a sentence there decides on average, all sentences of an explanation taken together.",
        "Why places differ: an explanation may name the answer at one place because it quotes the text there.",
        table,
    )


def by_right(found: Rows) -> Section:
    right = np.array([row["right"] for row in found])
    clusters = [row["problem"] for row in found]
    if right.all() or not right.any():
        which = "rightly" if right.all() else "wrongly"
        return Section(
            "Problems worked rightly and wrongly",
            f"Nothing: every problem was worked {which}, so there is nothing to compare.",
            "Whether importance differs between right and wrong answers.",
        )
    table = [
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
    return Section(
        "Problems worked rightly and wrongly",
        "Mean importance of a sentence where M's answer is right and where it is wrong, and their difference.",
        "That right and wrong problems are alike otherwise: harder problems have longer solutions and other numbers.",
        table,
    )


def against_reconstruction(found: Rows) -> Section:
    fve, clusters = column(found, "explanation_fve"), [row["problem"] for row in found]
    edges = np.quantile(fve, [0.25, 0.5, 0.75])
    quarter = np.searchsorted(edges, fve, side="right")
    table: list[dict[str, Any]] = []
    for outcome, said in OUTCOMES.items():
        rank = estimate(correlation(column(found, f"counterfactual_{outcome}"), fve), clusters)
        table.append({"importance for": said, "explanations": "all: rank correlation with FVE", "value": rank})
        for q in range(4):
            here = [row for row, k in zip(found, quarter, strict=True) if k == q]
            if here:
                bounds = f"{fve[quarter == q].min():.2f} to {fve[quarter == q].max():.2f}".replace("-", "−")
                mean_here = of(here, "counterfactual", outcome)
                table.append(
                    {"importance for": said, "explanations": f"quarter {q + 1}, FVE {bounds}", "value": mean_here}
                )
    return Section(
        "Importance against reconstruction",
        "Whether sentences of explanations that rebuild their vector well decide more: rank correlation of a "
        "sentence's counterfactual importance with its explanation's FVE, and its mean in each quarter of FVE.",
        "A cause in either direction, or anything of single sentences: importance is measured with noise (see below), "
        "which pulls a correlation towards zero.",
        table,
    )


def sweep(swept: Rows, folder: Folder) -> Section:
    thresholds = sorted({row["threshold"] for row in swept})

    def at(t: float) -> Rows:
        return [row for row in swept if row["threshold"] == t]

    table = [
        {
            "threshold": float(t),
            "resamples that are others": float(sum(r["other"] for r in at(t)) / max(1, sum(r["drawn"] for r in at(t)))),
            "sentences with none": sum(r["other"] == 0 for r in at(t)),
            **{said: of(at(t), "counterfactual", outcome) for outcome, said in OUTCOMES.items()},
        }
        for t in thresholds
    ]

    def draw(figure: Any) -> None:
        axes = figure.subplots(1, 2)
        for outcome, said in OUTCOMES.items():
            values = [of(at(t), "counterfactual", outcome) for t in thresholds]
            axes[0].plot(thresholds, [v.value for v in values], "o-", ms=3, label=said)
            axes[0].fill_between(thresholds, [v.low for v in values], [v.high for v in values], alpha=0.15)
        axes[0].set(title="mean counterfactual importance", xlabel="threshold of similarity")
        axes[0].legend()
        axes[1].plot(thresholds, [row["resamples that are others"] for row in table], "o-", ms=3, color="#555555")
        axes[1].set(title="share of resamples that count as others", xlabel="threshold of similarity", ylim=(0, 1))

    return Section(
        "How much hangs on the threshold",
        "Mean counterfactual importance for several thresholds, and how many of the resampled sentences each lets "
        "count as another sentence.",
        "Which threshold is right: similarity is what this space takes for alike, not what a reader would.",
        table,
        folder.figure("thresholds", draw, (8.0, 3.0)),
    )


def noise(halves: Sequence[Rows]) -> Section:
    first, second = halves
    table = []
    for outcome, said in OUTCOMES.items():
        for method, label in METHODS.items():
            if method == "deletion":
                continue
            a, b = column(first, f"{method}_{outcome}"), column(second, f"{method}_{outcome}")
            r = estimate(correlation(a, b, ranks=False), [row["problem"] for row in first])
            # Spearman and Brown: the reliability of the whole from the correlation of its halves.
            table.append(
                {
                    "importance for": said,
                    "method": label,
                    "halves correlate": r,
                    "reliability of all": 2 * r.value / (1 + r.value) if r.value > -1 else math.nan,
                }
            )
    return Section(
        "How much of it is sampling noise",
        "Importance estimated twice, from the even and the odd continuations: what the two agree on is not noise of "
        "sampling. The last column says how reliable the importance from all continuations is.",
        "Anything of what importance means: two halves also agree where both measure the wrong thing.",
        table,
    )


def examples(found: Rows) -> Section:
    known = [row for row in found if row["counterfactual_fve"] is not None and math.isfinite(row["counterfactual_fve"])]
    ranked = sorted(known, key=lambda row: -row["counterfactual_fve"])
    chosen = [*ranked[:6], *ranked[-3:]] if len(ranked) > 9 else ranked
    table = [
        {
            "sentence": row["words"],
            "place": row["place"],
            "no.": row["sentence"] + 1,
            **{
                said: float(math.nan if row[f"counterfactual_{o}"] is None else row[f"counterfactual_{o}"])
                for o, said in OUTCOMES.items()
            },
        }
        for row in chosen
    ]
    return Section(
        "The sentences that decide most, and least",
        "The six sentences of highest counterfactual importance for FVE, and the three of lowest.",
        "What is typical: these are extremes, and part of what makes them extreme is noise.",
        table,
    )
