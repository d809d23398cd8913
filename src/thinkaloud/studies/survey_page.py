"""How is a survey shown? From its tables to sections, each with what it shows and what it does not."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from thinkaloud.baseline import Baseline
from thinkaloud.studies import browse, clusters, difficulty, form, paragraphs, survey_figures
from thinkaloud.studies.config import Survey
from thinkaloud.studies.estimates import Estimate, estimate, mean
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.form import Columns
from thinkaloud.studies.page import Example, Page, Section, at_quartiles

CLUSTERED = 20_000  # at most so many paragraphs or sentences are clustered
HARD = ("whitespace", "punctuation")
PARAGRAPH = "A paragraph is a block between blank lines or, where an explanation is one block, a line of it."


def page(
    config: Survey,
    folder: Folder,
    table: pa.Table,
    frequency: np.ndarray,
    ablated: pa.Table | None,
    baseline: Baseline,
    facts: Mapping[str, str],
) -> Page:
    """The survey's page, from the table of explanations and the table of their ablation."""
    columns = columns_of(table, frequency)
    known = difficulty.scored(columns)
    found = ablation_effects(ablated, baseline.v, config.seed)
    hard = difficulty.contrasts(known, HARD, config.seed)
    sections = [
        *_format(columns, config, folder),
        _templates(columns, config),
        *_ablation(ablated, found, columns, config, folder),
        *_difficulty(known, hard, config, folder),
        _themes(columns, config),
        _browse(table, config),
    ]
    return Page(
        title="Survey of explanations",
        question="What do explanations look like, what in them carries the vector, and which tokens are hard?",
        answer=answer(columns, found, hard, config.seed),
        facts=facts,
        sections=sections,
        examples=_examples(table),
        script=browse.script(),
    )


def _examples(table: pa.Table) -> list[Example]:
    rows = table.take(pa.array(at_quartiles(table["fve"].to_pylist()), pa.int64())).to_pylist()
    return [Example.of(row["prefix"], row["token"], row["text"], row["fve"], row["kind"]) for row in rows]


def columns_of(table: pa.Table, frequency: np.ndarray) -> dict[str, np.ndarray]:
    """The table's columns as arrays: what has no reconstruction is NaN, documents of the two kinds are told apart."""
    out = {name: np.array(table[name].to_pylist(), dtype=object) for name in ("kind", "text", "finish", "token_class")}
    out["doc"] = np.array([f"{k}/{d}" for k, d in zip(out["kind"], table["doc_id"].to_pylist(), strict=True)])
    for name in ("fve", "mse", "tokens", "position"):
        values = table[name].to_pylist()
        out[name] = np.array([np.nan if v is None else v for v in values], float)
    return {**out, "position": out["position"].astype(int), "frequency": frequency}


def ablation_effects(ablated: pa.Table | None, v: float, seed: int) -> paragraphs.Effects | None:
    """Effects among the explanations with the commonest number of paragraphs; None where none has two."""
    if ablated is None:
        return None
    records = ablated.to_pylist()
    of = paragraphs.commonest([record["of"] for record in records if record["variant"] == "whole"])
    return paragraphs.effects(records, v, of, seed)


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
        told = ", ".join(f"{_points(e)} for paragraph {k}" for k, e in contrasts.items())
        return f"{what}, {judged(contrasts.values())}: FVE lost with the last less FVE lost with another is {told}."

    return f"{claim}{by('by removal', found.last_removed)} {by('By replacement', found.last_replaced)}"


def hard_verdict(hard: Mapping[str, Estimate]) -> str:
    """On: whitespace and punctuation are hardest."""
    claim = "“Whitespace and punctuation are hardest”: "
    if not hard:
        return f"{claim}cannot be said: fewer than {difficulty.ENOUGH} positions of them, or of every other class."
    told = ", ".join(f"{_points(e)} for {name}" for name, e in hard.items())
    return (
        f"{claim}{judged(_turned(hard))}. FVE of both together less FVE of another class (below zero is harder) is "
        f"{told}; classes with fewer than {difficulty.ENOUGH} positions are left out."
    )


def answer(columns: Columns, found: paragraphs.Effects | None, hard: Mapping[str, Estimate], seed: int) -> str:
    """The page in a few sentences."""
    counts = form.measured(columns["text"].tolist())
    if not np.isfinite(counts["words"]).any():
        return f"All {len(columns['doc']):,} explanations are empty."
    whole = estimate(mean(columns["fve"]), columns["doc"], seed=seed)
    said = (
        f"{len(columns['doc']):,} explanations have {np.nanmean(counts['paragraphs']):.1f} paragraphs and "
        f"{np.nanmean(counts['words']):.0f} words on average and rebuild their vectors with FVE {_points(whole)}."
    )
    if found is not None:
        removed, replaced = (max(v, key=lambda k: v[k].value) for v in (found.removed, found.replaced))
        said += (
            f" Of {found.of} paragraphs, removing number {removed} costs most, {_points(found.removed[removed])}, and "
            f"putting another explanation's in place of number {replaced}, {_points(found.replaced[replaced])}."
            f" “The last paragraph matters most” {judged(found.last_removed.values())} by removal and "
            f"{judged(found.last_replaced.values())} by replacement."
        )
    return f"{said} “Whitespace and punctuation are hardest” {judged(_turned(hard))}."


def _turned(values: Mapping[str, Estimate]) -> list[Estimate]:
    return [Estimate(-e.value, -e.high, -e.low, e.n, e.clusters) for e in values.values()]


def _points(value: Estimate) -> str:
    return str(value).replace("-", "−")


def _format(columns: Columns, config: Survey, folder: Folder) -> list[Section]:
    seed = config.seed
    lengths = form.measured(columns["text"].tolist())["words"]
    return [
        Section(
            "Format",
            f"How long explanations are, what they consist of and how they end, by kind of text. {PARAGRAPH} Empty "
            "explanations are counted and have no other measure. The figure shows the lengths in words.",
            "Whether any of it is true, or needed: see the ablation. Sentences are found by their marks, and a mark "
            "inside a quotation ends one.",
            table=form.format_table(columns, seed),
            figure=folder.figure("lengths", survey_figures.lengths(lengths, columns["kind"])),
        ),
        Section(
            "Opening words",
            "The commonest first three words, and the share of each kind's explanations that begin so.",
            "Openings that differ in one word count as different; the templates below see past that.",
            table=form.openings(columns, seed=seed),
        ),
    ]


def _templates(columns: Columns, config: Survey) -> Section:
    splits = [paragraphs.split(text) for text in columns["text"]]
    pairs, total = _some([(i, k) for i, parts in enumerate(splits) for k in range(len(parts))], config.seed)
    shapes = clusters.skeletons([splits[i].parts[k] for i, k in pairs])
    found = clusters.cluster(shapes, config.clusters, config.seed, words=False)
    owners = np.array([i for i, _ in pairs], dtype=int)
    places = [f"{k + 1} of {len(splits[i])}" for i, k in pairs]
    return Section(
        "Templates",
        f"{len(pairs):,} of {total:,} paragraphs with quotations as …, numbers as # and rarer words as _, in "
        f"{len(found.clusters)} clusters; the skeleton nearest to each centre stands for its cluster, “exactly so” "
        f"counts the paragraphs with just that one, “mostly” says which paragraph they are. There are "
        f"{len(set(shapes)):,} different skeletons. {_stability(found)}",
        "How many templates there really are: their number was set beforehand, and every paragraph is put into some "
        "cluster, near its centre or not. Words that a fiftieth of all paragraphs hold count as template.",
        table=form.templates(found, shapes, owners, places, columns, config.seed),
    )


def _some(pairs: list[Any], seed: int) -> tuple[list[Any], int]:
    """At most CLUSTERED of them, in order, and how many there were."""
    if len(pairs) <= CLUSTERED:
        return pairs, len(pairs)
    keep = np.sort(np.random.default_rng(seed).permutation(len(pairs))[:CLUSTERED])
    return [pairs[int(i)] for i in keep], len(pairs)


def _stability(found: clusters.Clustering) -> str:
    if not np.isfinite(found.agreement):
        return "There was nothing to cluster."
    return (
        f"A second clustering from another start agrees with this one with an adjusted Rand index of "
        f"{found.agreement:.2f} (1 is the same, 0 is chance)."
    )


def _ablation(
    ablated: pa.Table | None, found: paragraphs.Effects | None, columns: Columns, config: Survey, folder: Folder
) -> list[Section]:
    counts = form.measured(columns["text"].tolist())
    single, empty = int(np.nansum(counts["of one paragraph, share"])), int(counts["empty, share"].sum())
    left = (
        f"{single:,} explanations of one paragraph and {empty:,} empty ones cannot be ablated and are left out."
        if single + empty
        else "All explanations have two paragraphs or more."
    )
    nothing = "What an explanation of one paragraph rests on."
    if ablated is None or found is None:
        return [Section("Paragraphs", f"No ablation: {left}", nothing, verdict=last_verdict(None))]
    total = sum(record["variant"] == "whole" for record in ablated.select(["variant"]).to_pylist())
    table = [
        {
            "paragraph": f"{k} of {found.of}" + (" (last)" if k == found.of else ""),
            "FVE lost without it": found.removed[k],
            "FVE lost with another's": found.replaced[k],
            "FVE of it alone": found.alone[k],
        }
        for k in found.removed
    ]
    return [
        Section(
            "Paragraphs",
            f"What the AR makes of an explanation with one paragraph removed, with one alone, and with one taken from "
            f"a random explanation of another document (the paragraph at the same place of one with as many). The last "
            f"line removes the last, so it is also all but the last. {found.explanations:,} of {total:,} ablated "
            f"explanations have {found.of} paragraphs, the commonest number, and are shown. Whole they reach FVE "
            f"{_points(found.whole)}, and a whole explanation of another document in "
            f"their place {_points(found.other)}. {PARAGRAPH} {left}",
            "What a paragraph says. A text with a part missing is unlike those the AR was trained on, so a loss mixes "
            "what the paragraph told with how odd the rest looks; replacing keeps the form and adds false words. "
            "Losses of single paragraphs need not add up: paragraphs may say the same twice.",
            table=table,
            figure=folder.figure("paragraphs", survey_figures.losses(found)),
            verdict=last_verdict(found),
        )
    ]


def _difficulty(known: Columns, hard: Mapping[str, Estimate], config: Survey, folder: Folder) -> list[Section]:
    if not len(known["fve"]):
        return [Section("Token classes", "Nothing was rebuilt.", "Which tokens are hard.", verdict=hard_verdict({}))]
    seed = config.seed
    classes, parts = difficulty.by_class(known, seed), difficulty.deciles(known)
    trend = {name: _listed(difficulty.trend(known, name, seed)) for name in ("frequency", "position")}
    frequency, position = difficulty.by_frequency(known, seed=seed), difficulty.by_position(known, seed)
    return [
        Section(
            "Token classes",
            "FVE by class of the token that is read, and each class against all others. A letter makes a token a word: "
            "whole if no letter goes on over either of its borders, else a piece. A byte piece is a part of a "
            "character. Special tokens are never chosen.",
            "Why a class is hard. Classes differ in frequency, in where they stand and in the texts they come from, "
            "and nothing is held equal here.",
            table=classes,
            figure=folder.figure("classes", survey_figures.classes(classes)),
            verdict=hard_verdict(hard),
        ),
        Section(
            "Classes by deciles of error",
            "All positions in ten equal parts by the error of their reconstruction, 1 the best rebuilt, and the share "
            "of each class in each part. A class that were as hard as any other would have the same share in all.",
            "How sure each share is: shares of rare classes are noisy; intervals by class are in the table above.",
            table=parts,
            figure=folder.figure("deciles", survey_figures.deciles(parts)),
        ),
        Section(
            "Frequency",
            "Positions in five parts of about equal size by how often their token occurs in the documents that were "
            f"read. Spearman's correlation of FVE with frequency: {trend['frequency']}.",
            "Frequency in what M was trained on, which is not known here; and frequency goes with class.",
            table=frequency,
            figure=folder.figure("frequency", survey_figures.steps(frequency, "times in the documents")),
        ),
        Section(
            "Position",
            "Positions by how far into their document they are. Spearman's correlation of FVE with position: "
            f"{trend['position']}.",
            "Later positions exist in longer documents only, which may be of another sort.",
            table=position,
            figure=folder.figure("position", survey_figures.steps(position, "position")),
        ),
    ]


def _listed(values: Mapping[str, Estimate]) -> str:
    return ", ".join(f"{_points(value)} in {name}" for name, value in values.items())


def _themes(columns: Columns, config: Survey) -> Section:
    every = [(i, sentence) for i, text in enumerate(columns["text"]) for sentence in clusters.sentences(text)]
    pairs, total = _some(every, config.seed)
    owners, sentences = np.array([i for i, _ in pairs], dtype=int), [s for _, s in pairs]
    found = clusters.cluster(sentences, config.clusters, config.seed) if sentences else clusters.Clustering((), np.nan)
    return Section(
        "Clusters of sentences",
        f"{len(sentences):,} of {total:,} sentences of explanations by the words they share, and of each cluster the "
        "content words most telling of it against the others (log odds with a prior). The last column compares "
        f"explanations that hold such a sentence with those that do not. {_stability(found)}",
        "That a sentence of this kind helps or hurts: it stands where the text calls for it, and such places may be "
        "hard or easy in themselves. Sentences that mean the same in other words are in other clusters.",
        table=form.themes(found, sentences, owners, columns, config.seed),
    )


def _browse(table: pa.Table, config: Survey) -> Section:
    chosen = browse.choose(table["kind"].to_pylist(), config.browse, config.seed)
    records: list[dict[str, Any]] = table.take(chosen).to_pylist()
    return Section(
        "Browse",
        f"{len(records):,} explanations drawn at random, as many texts as chats where there are enough, each below the "
        "end of the text it is of, its token marked. All of them are in the data set in the folder dataset.",
        "A fair picture once filtered or sorted: the worst and the best are chosen for being so.",
        markup=browse.markup(records),
    )
