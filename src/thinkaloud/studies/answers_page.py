"""How is the study of answers told? Its sections, each table with what it shows and what it does not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thinkaloud.studies import answers_analysis as found
from thinkaloud.studies.config import Answers
from thinkaloud.studies.estimates import Estimate
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import Example, Page, Section

RIGHT, WRONG, CHANCE = "#1b6ca8", "#c4572e", "#8a949e"
LINES = ("#1b6ca8", "#c4572e", "#3b8f5a", "#8a5fb0", "#b58a1b", "#5c6670", "#d078a0")

HELD = "holds M's answer"

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Results:
    """What a run of the study found: its tables, and how the classes did on labelled texts."""

    config: Answers
    pair: str
    site: str
    baseline: str
    solved: Sequence[Record]
    explained: Sequence[Record]
    edited: Sequence[Record]
    checked: Sequence[Record]
    examples: Sequence[Example] = ()

    @property
    def nothing_to_compare(self) -> str:
        """Why right and wrong cannot be compared; empty where they can."""
        right = sum(row["right"] for row in self.solved)
        if right == len(self.solved):
            return "M is right on every problem: there is nothing to compare."
        return "" if right else "M is wrong on every problem: there is nothing to compare."


def page_of(results: Results, folder: Folder) -> Page:
    """The page of the study."""
    config, n = results.config, len(results.solved)
    right = sum(row["right"] for row in results.solved)
    near, worse = found.nearness(results.explained), found.worse_when_wrong(results.explained)
    sections = [
        solutions(results),
        held(results, near, folder),
        more_samples(results, folder),
        reconstruction(results, worse, folder),
        lengths(results),
        degenerate(results),
        trust(results),
        edits(results, folder),
    ]
    return Page(
        "Answers in explanations",
        "Do explanations hold the answer of a problem that the model is working, and is it the right one?",
        f"M solves {right} of {n} problems. {_headline(results)} {nearer_verdict(near)} "
        f"{worse_verdict(results, worse)}",
        {
            "Pair": results.pair,
            "Site": results.site,
            "Problems": f"{config.problems}, {n} worked, solutions of at most {config.solution_tokens} tokens, greedy",
            "Places": ", ".join(dict.fromkeys(config.places)),
            "Explanations": f"{len(results.explained):,}: one greedy and {config.samples} at temperature "
            f"{config.temperature:g} at each place, at most {config.max_tokens} tokens",
            "Baseline of FVE": results.baseline,
            "Seed": str(config.seed),
        },
        sections,
        results.examples,
    )


def nearer_verdict(near: Estimate) -> str:
    """Whether answers appear more often nearer the answer, in a sentence."""
    if not np.isfinite(near.value) or not np.isfinite(near.low):
        return "Answers appear more often nearer the answer: cannot be said, nearness or holding it does not vary."
    said = {1: "holds here", -1: "does not hold here, it is the other way round", 0: "cannot be said here"}[near.sign]
    return f"Answers appear more often nearer the answer: {said} (correlation {_shown(near)})."


def worse_verdict(results: Results, worse: Estimate) -> str:
    """Whether wrong answers reconstruct about 30 % worse, in a sentence."""
    if results.nothing_to_compare:
        return f"Wrong answers reconstruct about 30 % worse: cannot be said. {results.nothing_to_compare}"
    if not np.isfinite(worse.low):
        return "Wrong answers reconstruct about 30 % worse: cannot be said from so few problems."
    published = worse.low <= found.PUBLISHED_WORSE <= worse.high
    if worse.low > 1:
        said = "holds here" if published else "the direction holds here, the size does not"
    elif worse.high < 1:
        said = "does not hold here, wrong ones reconstruct better"
    else:
        said = "cannot be said here" if published else "does not hold here"
    return f"Wrong answers reconstruct about 30 % worse: {said} (MSE wrong ∕ right {_shown(worse)})."


def solutions(results: Results) -> Section:
    records = []
    kinds = {
        "right": lambda row: row["right"],
        "wrong": lambda row: not row["right"] and row["answer"] is not None,
        "none": lambda row: row["answer"] is None,
    }
    for name, chosen in kinds.items():
        rows = [row for row in results.solved if chosen(row)]
        wrote = [len(row["ids"]) - row["prompt_tokens"] for row in rows]
        records.append(
            {
                "M's answer": name,
                "problems": len(rows),
                "with ####": sum(row["border"] is not None for row in rows),
                "tokens of solution": float(np.mean(wrote)) if wrote else float("nan"),
                "different answers": len({row["answer"] for row in rows} - {None}),
            }
        )
    return Section(
        "What M answers",
        "How many problems M works to the right number by itself, greedily. The answer is the first number behind "
        "####, or the last one named where M writes no border. Where no number is named, or M is cut off first, there "
        "is no answer, and no place near it.",
        "How well M could do with another prompt or with sampling; and a right number may come of wrong working.",
        records,
    )


def held(results: Results, near: Estimate, folder: Folder) -> Section:
    records = found.shares(results.explained)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        places = list(dict.fromkeys(record["place"] for record in records))
        for group, colour, shift in (("right", RIGHT, -0.12), ("wrong", WRONG, 0.12)):
            some = [record for record in records if record["M is"] == group]
            _points(axes, places, some, HELD, colour, shift, f"M is {group}")
        some = [record for record in records if record["M is"] == "all"]
        axes.plot(range(len(some)), [r["chance"] for r in some], "_", ms=16, color=CHANCE, label="by chance")
        top = np.nan_to_num([max(record[HELD].value, record[HELD].high) for record in records])
        axes.set_ylim(0, max(0.05, 1.05 * float(top.max())))
        axes.set_ylabel("share that hold M's answer")
        figure.legend(loc="outside upper left", ncols=3)

    return Section(
        "Does the explanation hold the answer?",
        "The share of explanations, greedy and sampled, that name M's answer and the gold one, as a number: 12 is not "
        "in 120, and twelve and 1,200.0 count as 12 and 1200. Chance is the share of the other problems' answers that "
        f"the same explanations name. {results.nothing_to_compare} The correlation with nearness has chance taken off; "
        f"with chance in it, it is {_shown(found.nearness_with_chance(results.explained))}.",
        "Whether M holds an answer that the text does not: one token before an answer of one token, naming it is "
        "naming the next token; and places at which M has written the number already in its working are not left out. "
        "Whether the explanation calls the number an answer: it may be one of the question's numbers, or a step's. "
        "Chance knows how common numbers are among answers, not that a problem's own numbers are likelier in its "
        "texts. Places differ in which solutions have them. An interval without width, where all or none hold it, is "
        "no certainty: resampling cannot show what was never seen.",
        records,
        folder.figure("held", draw),
        nearer_verdict(near),
    )


def more_samples(results: Results, folder: Folder) -> Section:
    records = found.by_samples(results.explained)
    places = list(dict.fromkeys(record["place"] for record in records))

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        for place, colour in zip(places, LINES * len(places), strict=False):
            some = [record for record in records if record["place"] == place]
            ks = [record["samples"] for record in some]
            axes.plot(ks, [r["above chance"].value for r in some], color=colour, marker="o", ms=3, label=place)
        axes.axhline(0, color=CHANCE, lw=0.8)
        axes.set_xticks(range(1, results.config.samples + 1))
        axes.set_xlabel("sampled explanations of a vector")
        axes.set_ylabel("at least one holds it,\nabove chance")
        axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))

    return Section(
        "Does it help to sample more?",
        "How often at least one of k sampled explanations names M's answer, over all subsets of k. More samples name "
        "more numbers, so chance grows as well: the figure is what remains above it.",
        "Which of the samples to believe: nothing here picks the one that holds the answer.",
        records,
        folder.figure("samples", draw) if records else "",
    )


def reconstruction(results: Results, worse: Estimate, folder: Folder) -> Section:
    records = found.reconstruction(results.explained)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        places = [record["place"] for record in records]
        _points(axes, places, records, "FVE right", RIGHT, -0.08, "M is right")
        _points(axes, places, records, "FVE wrong", WRONG, 0.08, "M is wrong")
        axes.set_ylabel("FVE")
        figure.legend(loc="outside upper left", ncols=3)

    return Section(
        "Do wrong answers reconstruct worse?",
        "How well explanations rebuild the vectors, by place, where M's answer is right and where it is wrong. A ratio "
        "of 1.3 is an error 30 % larger; the verdict's ratio takes each explanation relative to the mean of its place. "
        f"{results.nothing_to_compare}",
        "Why: wrong answers come with harder, longer or rarer problems, and those may reconstruct worse whatever the "
        "answer. Nothing is held fixed here but the place.",
        records,
        folder.figure("reconstruction", draw),
        worse_verdict(results, worse),
    )


def lengths(results: Results) -> Section:
    return Section(
        "How long are they?",
        "Tokens of an explanation with its tags, their standard deviation over all of a group, and over the samples of "
        "one vector; how many were cut at the limit, and how many have one sentence or none.",
        "Whether longer ones say more. An explanation cut at the limit is counted at the limit.",
        found.lengths(results.explained),
    )


def degenerate(results: Results) -> Section:
    return Section(
        "Degenerate explanations",
        "The share of explanations of each class, by rules: loops, word debris, other scripts or emoji, page "
        "furniture. FVE is that of the class: an explanation may be no prose and rebuild its vector all the same.",
        "Why they come about. The classes are of whole texts: a fine one may have a slip in it. How far the rules can "
        "be trusted is in the next table.",
        found.classes(results.explained),
    )


def trust(results: Results) -> Section:
    own = (
        "They are the texts given as labelled."
        if results.config.labelled
        else "Half of the bundled texts were held out when the rules were set: go by those figures."
    )
    return Section(
        "How far the classes can be trusted",
        f"Precision and recall of the rules on texts labelled by reading them. {own} Intervals are Wilson's.",
        "How the rules do on another pair's explanations: the bundled texts are the pocket pair's and written ones. "
        "All of other scripts and page furniture are written, by who set the rules, and are clearer cases than a run "
        "may have. The shares of classes are not those of a run. One reader labelled them, and how much debris makes a "
        "text garbled is a matter of degree: where the form of an explanation is kept around it, the rules miss much.",
        results.checked,
    )


def edits(results: Results, folder: Folder) -> Section:
    records = found.changes(results.edited)
    against = found.against_other_number(results.edited)
    empty = sum(not row["text"] for row in results.edited)

    def draw(figure: Any) -> None:
        axes = figure.subplots()
        some = [record for record in records if record["M is"] == "all"]
        places = list(dict.fromkeys(record["place"] for record in some))
        names = list(dict.fromkeys(record["edit"] for record in some))
        for i, (edit, colour) in enumerate(zip(names, (RIGHT, WRONG, CHANCE), strict=False)):
            mine = [record for record in some if record["edit"] == edit]
            _points(axes, places, mine, "change", colour, 0.14 * (i - 1), edit)
        axes.axhline(0, color=CHANCE, lw=0.8)
        axes.set_ylabel("change in FVE")
        figure.legend(loc="outside upper left", ncols=3)

    if not records:
        shows = "No explanation holds M's answer: there is nothing to take out."
    else:
        shows = (
            "Explanations that hold M's answer, with every instance of it taken out, or another problem's answer put "
            "for it, and by how much FVE changes; as a control, another number of the same explanation taken out. "
            f"Where both can be, taking out the answer rather than the other number makes a difference in FVE of "
            f"{_shown(against)}."
            + (f" Nothing is left of {empty} explanations; they have no FVE." if empty else "")
            + (f" {results.nothing_to_compare}" if results.nothing_to_compare else "")
        )
    return Section(
        "The answer taken out, and replaced",
        shows,
        "What the number means to the AR: a digit in a quotation is both the answer and a token that stands there. A "
        "text with a gap in it is none that the AV would write, and that alone may cost.",
        records,
        folder.figure("edits", draw) if records else "",
    )


def _headline(results: Results) -> str:
    answered = [record for record in found.shares(results.explained) if record["M is"] == "all"]
    known = [record for record in answered if np.isfinite(record["above chance"].value)]
    if not known:
        return "M names no answer, or there is no other problem to compare chance with."
    best = max(known, key=lambda record: record["above chance"].value)
    return (
        f"Explanations hold M's answer most often above chance at “{best['place']}”: "
        f"{_shown(best[HELD])} against {best['chance']:.3f} by chance. Beside the answer this is in part prediction of "
        "the next token, and where the text has the number already, copying."
    )


def _points(
    axes: Any,
    places: Sequence[str],
    records: Sequence[Record],
    key: str,
    colour: str,
    shift: float,
    label: str,
) -> None:
    """Estimates of one group over places, with their intervals."""
    known = [record for record in records if np.isfinite(record[key].value)]
    if known:
        x = np.array([places.index(record["place"]) for record in known]) + shift
        y = np.array([record[key].value for record in known])
        low, high = (np.array([getattr(record[key], side) for record in known]) for side in ("low", "high"))
        errors = np.nan_to_num(np.maximum(np.array([y - low, high - y]), 0))
        axes.errorbar(x, y, errors, fmt="o", ms=4, color=colour, lw=1.2, capsize=0, label=label)
    axes.set_xticks(range(len(places)), places)
    axes.set_xlim(-0.5, len(places) - 0.5)


def _shown(value: Estimate) -> str:
    return str(value).translate(str.maketrans("-", "−"))
