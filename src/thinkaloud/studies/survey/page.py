"""The page of the survey: section tables, figures, verdicts on published claims."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from thinkaloud.baseline import Baseline
from thinkaloud.render.page import asset
from thinkaloud.render.text import minus
from thinkaloud.stats import Estimate, estimate, mean
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import Page, told
from thinkaloud.studies.survey import Survey, browse, clusters, difficulty, figures, form, paragraphs
from thinkaloud.studies.survey.form import Columns
from thinkaloud.studies.survey.published import FILES

CLUSTERED = 20_000  # at most so many paragraphs or sentences are clustered
HARD = ("whitespace", "punctuation")

Records = Sequence[Mapping[str, Any]]


def page(config: Survey, folder: Folder) -> Page:
    """The page of the survey."""
    seed = config.seed
    table, ablated = folder.kept("explanations"), folder.kept("ablation")
    counts = Counter(token for name in FILES.values() for row in folder.kept(f"{name}-read") for token in row["ids"])
    columns = columns_of(table, np.array([counts[row["token_id"]] for row in table]))
    baseline = Baseline.from_dict(folder.kept("baseline")[0])
    effects, measured = ablation_effects(ablated, baseline.v, seed), form.measured(columns["text"].tolist())
    known = difficulty.scored(columns)
    hard = difficulty.contrasts(known, HARD, seed)
    browsed = [table[i] for i in browse.choose([row["kind"] for row in table], config.browse, seed)]
    said = bool(np.isfinite(measured["words"]).any())
    losses = effects and _losses(effects)
    return told(
        __package__,
        folder,
        script=asset("browse.js"),
        judged=judged,
        n=len(table),
        words=np.nanmean(measured["words"]) if said else None,
        paragraphs=np.nanmean(measured["paragraphs"]) if said else None,
        whole=estimate(mean(columns["fve"]), columns["doc"], seed=seed),
        format=form.format_table(columns, seed),
        lengths_figure=folder.figure("lengths", figures.lengths(measured["words"], columns["kind"])),
        openings=form.openings(columns, seed=seed),
        templates=_templates(columns, config),
        effects=effects,
        most_removed=effects and max(effects.removed, key=lambda k: effects.removed[k].value),
        most_replaced=effects and max(effects.replaced, key=lambda k: effects.replaced[k].value),
        single=int(np.nansum(measured["of one paragraph, share"])),
        empty=int(measured["empty, share"].sum()),
        ablated=sum(row["variant"] == "whole" for row in ablated),
        losses=losses or (),
        losses_figure=folder.figure("paragraphs", figures.losses(effects)) if effects else "",
        last=last_verdict(effects),
        hard=hard_verdict(hard),
        hard_judged=judged(_turned(hard)),
        rebuilt=len(known["fve"]),
        **(_difficulty(known, config, folder) if len(known["fve"]) else {}),
        themes=_themes(columns, config),
        browsed=len(browsed),
        browse=browse.markup(browsed),
    )


def columns_of(table: Records, frequency: np.ndarray) -> dict[str, np.ndarray]:
    """The table's columns as arrays: what has no reconstruction is NaN, documents of the two kinds are told apart."""
    out = {name: np.array([r[name] for r in table], dtype=object) for name in ("kind", "text", "finish", "token_class")}
    out["doc"] = np.array([f"{row['kind']}/{row['doc_id']}" for row in table])
    for name in ("fve", "mse", "tokens", "position"):
        out[name] = np.array([np.nan if row[name] is None else row[name] for row in table], float)
    return {**out, "position": out["position"].astype(int), "frequency": frequency}


def ablation_effects(ablated: Records, v: float, seed: int) -> paragraphs.Effects | None:
    """Effects among the explanations with the commonest number of paragraphs; None where none has two."""
    if not ablated:
        return None
    of = paragraphs.commonest([row["of"] for row in ablated if row["variant"] == "whole"])
    return paragraphs.effects(ablated, v, of, seed)


def judged(contrasts: Iterable[Estimate]) -> str:
    """Whether all contrasts lie clearly above zero, one of them clearly below, or neither."""
    signs = [value.sign for value in contrasts]
    if not signs:
        return "cannot be said"
    return "holds here" if min(signs) > 0 else "does not hold here" if min(signs) < 0 else "cannot be said"


def last_verdict(found: paragraphs.Effects | None) -> str:
    """On: the last paragraph matters most."""
    claim = "“The last paragraph matters most”: "
    if found is None:
        return f"{claim}cannot be said: no explanation has two paragraphs."

    def by(what: str, contrasts: Mapping[int, Estimate]) -> str:
        told = ", ".join(f"{minus(str(e))} for paragraph {k}" for k, e in contrasts.items())
        return f"{what}, {judged(contrasts.values())}: FVE lost with the last less FVE lost with another is {told}."

    return f"{claim}{by('by removal', found.last_removed)} {by('By replacement', found.last_replaced)}"


def hard_verdict(hard: Mapping[str, Estimate]) -> str:
    """On: whitespace and punctuation are hardest."""
    claim = "“Whitespace and punctuation are hardest”: "
    if not hard:
        return f"{claim}cannot be said: fewer than {difficulty.ENOUGH} positions of them, or of every other class."
    told = ", ".join(f"{minus(str(e))} for {name}" for name, e in hard.items())
    return (
        f"{claim}{judged(_turned(hard))}. FVE of both together less FVE of another class (below zero is harder) is "
        f"{told}; classes with fewer than {difficulty.ENOUGH} positions are left out."
    )


def _turned(values: Mapping[str, Estimate]) -> list[Estimate]:
    return [Estimate(-e.value, -e.high, -e.low, e.n, e.clusters) for e in values.values()]


def _templates(columns: Columns, config: Survey) -> dict[str, Any]:
    splits = [paragraphs.split(text) for text in columns["text"]]
    pairs, total = _some([(i, k) for i, parts in enumerate(splits) for k in range(len(parts))], config.seed)
    shapes = clusters.skeletons([splits[i].parts[k] for i, k in pairs])
    found = clusters.cluster(shapes, config.clusters, config.seed, words=False)
    owners = np.array([i for i, _ in pairs], dtype=int)
    places = [f"{k + 1} of {len(splits[i])}" for i, k in pairs]
    table = form.templates(found, shapes, owners, places, columns, config.seed)
    return {"n": len(pairs), "of": total, "found": found, "different": len(set(shapes)), "table": table}


def _themes(columns: Columns, config: Survey) -> dict[str, Any]:
    every = [(i, sentence) for i, text in enumerate(columns["text"]) for sentence in clusters.sentences(text)]
    pairs, total = _some(every, config.seed)
    owners, sentences = np.array([i for i, _ in pairs], dtype=int), [s for _, s in pairs]
    found = clusters.cluster(sentences, config.clusters, config.seed) if sentences else clusters.Clustering((), np.nan)
    table = form.themes(found, sentences, owners, columns, config.seed)
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


def _difficulty(known: Columns, config: Survey, folder: Folder) -> dict[str, Any]:
    """Tables and figures of what makes tokens hard."""
    seed = config.seed
    tables = {
        "classes": difficulty.by_class(known, seed),
        "deciles": difficulty.deciles(known),
        "frequency": difficulty.by_frequency(known, seed=seed),
        "position": difficulty.by_position(known, seed),
    }
    drawn = {
        "classes": figures.classes(tables["classes"]),
        "deciles": figures.deciles(tables["deciles"]),
        "frequency": figures.steps(tables["frequency"], "times in the documents"),
        "position": figures.steps(tables["position"], "position"),
    }
    trends = {f"{name}_trend": difficulty.trend(known, name, seed) for name in ("frequency", "position")}
    return tables | {f"{name}_figure": folder.figure(name, draw) for name, draw in drawn.items()} | trends
