"""The page of the survey: section tables, figures, verdicts on published claims, and explanations to browse."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from thinkaloud.baseline import Baseline
from thinkaloud.render import plots
from thinkaloud.render.page import asset, embedded, render
from thinkaloud.render.plots import BLUE, GREY, ORANGE
from thinkaloud.stats import Estimate
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.frame import Frame
from thinkaloud.studies.page import Page, told
from thinkaloud.studies.survey import Survey, analysis, clusters, paragraphs
from thinkaloud.studies.survey.published import FILES, PREFIX
from thinkaloud.studies.survey.tokens import CLASSES

CLUSTERED = 20_000  # at most so many paragraphs or sentences are clustered
HARD = ("whitespace", "punctuation")
LOOK: dict[str, Any] = {"lw": 1.5, "capsize": 2}
COLOURS = dict(
    zip(CLASSES, ("#d9822b", "#a83c3c", "#1b6ca8", "#8fbfe0", "#4f9d69", "#c9b458", "#555555", "#9b7bb8"), strict=True)
)

Records = Sequence[Mapping[str, Any]]


def page(config: Survey, folder: Folder) -> Page:
    """The page of the survey."""
    table, ablated = folder.kept("explanations"), folder.kept("ablation")
    counts = Counter(token for name in FILES.values() for row in folder.kept(f"{name}-read") for token in row["ids"])
    explained = Frame.of(table, "doc", config.seed).assign(
        doc=[f"{row['kind']}/{row['doc_id']}" for row in table],  # documents of the two kinds are told apart
        frequency=[counts[row["token_id"]] for row in table],
    )
    v = Baseline.from_dict(folder.kept("baseline")[0]).v
    effects, measured = paragraphs.effects(ablated, v, config.seed), analysis.measured(explained["text"].tolist())
    known = explained.known("fve")
    hard = analysis.contrasts(known, HARD)
    browsed = [table[i] for i in choose([row["kind"] for row in table], config.browse, config.seed)]
    said = bool(np.isfinite(measured["words"]).any())
    return told(
        __package__,
        folder,
        script=asset("browse.js"),
        judged=judged,
        n=len(table),
        words=np.nanmean(measured["words"]) if said else None,
        paragraphs=np.nanmean(measured["paragraphs"]) if said else None,
        whole=explained.mean("fve"),
        format=analysis.format_table(explained),
        lengths_figure=folder.figure("lengths", _lengths, measured["words"], explained["kind"]),
        openings=analysis.openings(explained),
        templates=_templates(explained, config),
        effects=effects,
        most_removed=effects and max(effects.removed, key=lambda k: effects.removed[k].value),
        most_replaced=effects and max(effects.replaced, key=lambda k: effects.replaced[k].value),
        single=int(np.nansum(measured["of one paragraph, share"])),
        empty=int(measured["empty, share"].sum()),
        ablated=sum(row["variant"] == "whole" for row in ablated),
        losses=_losses(effects) if effects else (),
        losses_figure=folder.figure("paragraphs", _ablation, effects) if effects else "",
        hard=hard,
        enough=analysis.ENOUGH,
        rebuilt=len(known),
        **(_difficulty(known, folder) if len(known) else {}),
        themes=_themes(explained, config),
        browsed=len(browsed),
        browse=browse(browsed),
    )


def judged(contrasts: Iterable[Estimate], side: int = 1) -> str:
    """Whether all contrasts lie clearly above zero (`side` −1: below), one clearly on the other side, or neither."""
    signs = [side * value.sign for value in contrasts]
    if not signs:
        return "cannot be said"
    return "holds here" if min(signs) > 0 else "does not hold here" if min(signs) < 0 else "cannot be said"


def choose(kinds: Sequence[str], n: int, seed: int) -> list[int]:
    """Rows to browse: as many of each kind, in random order; all of a kind that has too few."""
    dice, taken, counts = np.random.default_rng(seed), [], Counter(kinds)
    names = sorted(counts, key=lambda kind: (counts[kind], kind))
    for i, name in enumerate(names):
        own = [row for row, kind in enumerate(kinds) if kind == name]
        taken += dice.permutation(own)[: (n - len(taken)) // (len(names) - i)].tolist()
    return dice.permutation(taken).tolist()


def browse(rows: Records) -> str:
    """A form to browse these rows by, an empty list, and the rows as data for the script."""
    records = [
        {
            "kind": row["kind"],
            "where": f"{row['doc_id']}, position {row['position']}",
            "class": row["token_class"],
            "before": ("…" if len(row["prefix"]) >= PREFIX else "") + row["prefix"].removesuffix(row["token"]),
            "token": row["token"],
            "said": row["text"],
            "fve": None if row["fve"] is None else round(float(row["fve"]), 3),
        }
        for row in rows
    ]
    kinds, classes = (sorted({record[name] for record in records}) for name in ("kind", "class"))
    return render("browse.html", kinds=kinds[::-1], classes=classes, data=embedded(records))


def _templates(rows: Frame, config: Survey) -> dict[str, Any]:
    splits = [paragraphs.split(text) for text in rows["text"]]
    pairs, total = _some([(i, k) for i, parts in enumerate(splits) for k in range(len(parts))], config.seed)
    shapes = clusters.skeletons([splits[i].parts[k] for i, k in pairs])
    found = clusters.cluster(shapes, config.clusters, config.seed, words=False)
    owners = np.array([i for i, _ in pairs], dtype=int)
    places = [f"{k + 1} of {len(splits[i])}" for i, k in pairs]
    table = analysis.templates(found, shapes, owners, places, rows)
    return {"n": len(pairs), "of": total, "found": found, "different": len(set(shapes)), "table": table}


def _themes(rows: Frame, config: Survey) -> dict[str, Any]:
    every = [(i, sentence) for i, text in enumerate(rows["text"]) for sentence in clusters.sentences(text)]
    pairs, total = _some(every, config.seed)
    owners, sentences = np.array([i for i, _ in pairs], dtype=int), [s for _, s in pairs]
    found = clusters.cluster(sentences, config.clusters, config.seed)
    table = analysis.themes(found, sentences, owners, rows)
    return {"n": len(sentences), "of": total, "found": found, "table": table}


def _some(pairs: list[Any], seed: int) -> tuple[list[Any], int]:
    """At most CLUSTERED of them, in order, and how many there were."""
    if len(pairs) <= CLUSTERED:
        return pairs, len(pairs)
    keep = np.sort(np.random.default_rng(seed).permutation(len(pairs))[:CLUSTERED])
    return [pairs[int(i)] for i in keep], len(pairs)


def _losses(effects: paragraphs.Effects) -> list[dict[str, Any]]:
    return [
        {
            "paragraph": f"{k} of {effects.of}" + (" (last)" if k == effects.of else ""),
            "FVE lost without it": effects.removed[k],
            "FVE lost with another's": effects.replaced[k],
            "FVE of it alone": effects.alone[k],
        }
        for k in effects.removed
    ]


def _difficulty(known: Frame, folder: Folder) -> dict[str, Any]:
    """Tables and figures of what makes tokens hard."""
    classes, deciles = analysis.by_class(known), analysis.deciles(known)
    frequency, position = analysis.by_frequency(known), analysis.by_position(known)
    return {
        "classes": classes,
        "classes_figure": folder.figure("classes", _classes, classes),
        "deciles": deciles,
        "deciles_figure": folder.figure("deciles", _deciles, deciles),
        "frequency": frequency,
        "frequency_figure": folder.figure("frequency", _steps, frequency, "times in the documents"),
        "frequency_trend": analysis.trend(known, "frequency"),
        "position": position,
        "position_figure": folder.figure("position", _steps, position, "position"),
        "position_trend": analysis.trend(known, "position"),
    }


def _lengths(figure: Any, words: np.ndarray, kinds: np.ndarray) -> None:
    """The share of explanations at each length in words, by kind."""
    axes, known = figure.subplots(), np.isfinite(words)
    low, high = (int(words[known].min()), int(words[known].max())) if known.any() else (0, 1)
    step = max(1, (high - low) // 30)
    edges = np.arange(low, high + step + 1, step) - 0.5
    for (kind, name), colour in zip(FILES.items(), (BLUE, ORANGE), strict=True):
        own = words[known & (kinds == kind)]
        if len(own):
            axes.stairs(np.histogram(own, edges)[0] / len(own), edges, color=colour, label=name, linewidth=1.4)
    axes.set(xlabel="words of an explanation", ylabel="share of explanations")
    if known.any():
        axes.legend()


def _ablation(figure: Any, found: paragraphs.Effects) -> None:
    """What removing and replacing each paragraph costs, and what each is worth alone."""
    left, right = figure.subplots(1, 2)
    names = {k: f"{k}" + (" (last)" if k == found.of else "") for k in found.removed}

    def named(values: Mapping[int, Estimate]) -> dict[str, Estimate]:
        return {names[k]: value for k, value in values.items()}

    lost = {"removed": (BLUE, named(found.removed)), "replaced by another's": (ORANGE, named(found.replaced))}
    plots.beside(left, list(names.values()), lost, 0.16, **LOOK)
    left.axhline(0, color=GREY, linewidth=0.8)
    left.set(ylabel="FVE lost", xlabel="paragraph")
    left.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
    plots.beside(right, list(names.values()), {"alone": (BLUE, named(found.alone))}, 0, **LOOK)
    for value, name in ((found.whole, "whole explanation"), (found.other, "another document's")):
        if np.isfinite(value.value):
            right.axhline(value.value, color=GREY, linewidth=0.8, linestyle="--")
            right.annotate(
                name, (1, value.value), (0, 3), xycoords=("axes fraction", "data"), ha="right",
                textcoords="offset points", fontsize=8, color=GREY,
            )  # fmt: skip
    right.set(ylabel="FVE of the paragraph alone", xlabel="paragraph")


def _classes(figure: Any, table: Records) -> None:
    """FVE of each class, the hardest at the top."""
    axes = figure.subplots()
    order = sorted(table, key=lambda record: -record["FVE"].value)
    for i, record in enumerate(order):
        plots.intervals(axes, [i], [record["FVE"]], COLOURS[record["class"]], across=True, **LOOK)
    axes.set_yticks(range(len(order)), [f"{r['class']} ({r['positions']:,})" for r in order])
    axes.set(xlabel="FVE", ylim=(-0.5, len(order) - 0.5))
    axes.grid(axis="x", color="#eceff1")
    axes.set_axisbelow(True)


def _deciles(figure: Any, table: Records) -> None:
    """The share of each class in each part, stacked."""
    axes, x = figure.subplots(), [record["decile of error"] for record in table]
    base = np.zeros(len(x))
    for name in (name for name in CLASSES if name in table[0]):
        share = np.array([record[name] for record in table])
        axes.bar(x, share, bottom=base, color=COLOURS[name], label=name, width=0.85)
        base += share
    axes.set(xlabel="decile of reconstruction error (10: worst rebuilt)", ylabel="share of positions", ylim=(0, 1))
    axes.set_xticks(x)
    axes.legend(loc="center left", bbox_to_anchor=(1, 0.5))


def _steps(figure: Any, table: Records, label: str) -> None:
    """FVE in each part of an ordered quantity, by kind."""
    axes = figure.subplots()
    series = {
        name: (colour, {record[label]: found for record in table if (found := record.get(f"FVE, {name}")) is not None})
        for name, colour in zip(FILES.values(), (BLUE, ORANGE), strict=True)
    }
    plots.beside(axes, [record[label] for record in table], series, 0.12, **LOOK)
    axes.set(xlabel=label, ylabel="FVE")
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=2)
