"""Thought anchors: counterfactual importance of each sentence of an explanation, by resampling.

Counterfactual importance, after "thought anchors" (Bogdan et al., "Thought Anchors: Which LLM Reasoning Steps Matter?",
2025; of NLAs: Realmbird, "NLA Thought Anchors", 2026): continuations with a sentence kept are compared with
continuations in which it was drawn anew and came out otherwise. What a sentence is drawn anew from is what the sentence
before it is kept with, so that every prefix of an explanation is continued once for both.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.activations.tokens import Reader
from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation, split_parts
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.scores import fve
from thinkaloud.rollout.base import Sampling
from thinkaloud.studies import anchors_page
from thinkaloud.studies.config import Anchors
from thinkaloud.studies.embeddings import embedder
from thinkaloud.studies.folder import Folder, Watch, rows
from thinkaloud.studies.numbers import numbers, parse
from thinkaloud.studies.page import Page
from thinkaloud.studies.paragraphs import errors
from thinkaloud.studies.problems import load_problems, place_of, read_places, solve

PIECE = 4  # explanations whose continuations are sampled in one batch
OUTCOMES = {"gold": "holds the gold answer", "model": "holds M's answer", "fve": "reconstruction (FVE)"}


def run(config: Anchors, folder: Folder, nla: NLA, watch: Watch) -> Page:
    """Work the problems, explain, continue every prefix of every explanation, and compare."""
    for name in config.places:
        place_of(name)
    explained = folder.table("explanations", lambda: _explanations(config, nla))
    closed = [row for row in explained.to_pylist() if row["finish"] == "closed" and row["ends"]]
    if not closed:
        raise UserError(f"none of {explained.num_rows} explanations closes within {config.max_tokens} tokens")
    baseline = _baseline(nla, closed)

    def continued(some: slice) -> pa.Table:
        return rows(_continued(config, nla, baseline, closed[some], config.seed * 1_000_003 + some.start + 1))

    rollouts = folder.pieces("rollouts", len(closed), PIECE, continued, watch).to_pylist()
    deleted = folder.table("deletions", lambda: rows(_deletions(nla, baseline, closed))).to_pylist()
    similar = folder.table("similarity", lambda: rows(_similarities(config, nla, closed, rollouts))).to_pylist()
    found = folder.table(
        "importance", lambda: rows(importances(closed, rollouts, similar, deleted, config.threshold))
    ).to_pylist()
    swept = folder.table(
        "thresholds",
        lambda: rows(
            [
                {"threshold": threshold, **row}
                for threshold in config.thresholds
                for row in importances(closed, rollouts, similar, deleted, threshold)
            ]
        ),
    ).to_pylist()
    halves = [
        importances(closed, [r for r in rollouts if r["sample"] % 2 == half], similar, deleted, config.threshold)
        for half in (0, 1)
    ]
    facts = {
        "Pair": nla.name,
        "Site": str(nla.site),
        "Baseline": str(baseline),
        "Problems": f"{config.problems}, {len({row['problem'] for row in explained.to_pylist()})} worked, "
        f"{len({row['problem'] for row in explained.to_pylist() if row['right']})} rightly",
        "Explanations": f"{len(closed)} that close, of {explained.num_rows}, at temperature {config.temperature:g}",
        "Continuations": f"{len(rollouts):,}: {config.rollouts} of every prefix",
        "Similarity": f"cosine in {'the space of the AR' if config.embedding == 'ar' else config.embedding}, mean "
        f"removed; dropped at {config.threshold:g} and above",
        "Seed": str(config.seed),
    }
    return anchors_page.page(found, swept, halves, rollouts, closed, facts, folder)


def _explanations(config: Anchors, nla: NLA) -> pa.Table:
    """A row for each place of each problem: what was said there, and where its sentences end among its tokens."""
    tokenizer = nla.model_tokenizer
    reader = Reader(tokenizer)
    problems = load_problems(config.problems, config.n, config.seed, tokenizer)
    solutions = solve(nla.model, tokenizer, problems, config.solution_tokens)
    places, vectors = read_places(nla, solutions, config.places)
    sampling = Sampling(config.temperature, config.max_tokens, config.seed)
    said = [row[0] for row in nla.verbalizer.explain(vectors, 1, sampling)]
    records = []
    for place, vector, one in zip(places, vectors, said, strict=True):
        solution = solutions[place.solution]
        sentences, ends = sentence_ends(one, nla.tokenizer)
        records.append(
            {
                "problem": solution.problem.id,
                "place": place.name,
                "right": solution.right,
                "gold": str(solution.problem.gold),
                "model": None if solution.answer is None else str(solution.answer),
                "solution": solution.text,
                "prefix": reader.prefix(solution.ids[: place.token + 1]),
                "token": reader.token(solution.ids[place.token]),
                "text": one.text,
                "finish": one.finish,
                "token_ids": list(one.token_ids),
                "sentences": sentences,
                "ends": ends,
                "vector": vector.tolist(),
            }
        )
    return rows(records)


def sentence_ends(said: Explanation, tokenizer: Any) -> tuple[list[str], list[int]]:
    """The sentences of an explanation, and how many of its tokens it takes to have said each."""
    grown = [len(tokenizer.decode(said.token_ids[: i + 1])) for i in range(len(said.token_ids))]
    start = said.raw.find(said.text) if said.text else 0
    sentences, ends = [], []
    for part in said.parts:
        if part.kind != "sentence":
            continue
        tokens = next((i + 1 for i, length in enumerate(grown) if length >= start + part.end), None)
        if tokens is not None and (not ends or tokens > ends[-1]):
            sentences.append(said.text[part.start : part.end])
            ends.append(tokens)
    return sentences, ends


def _baseline(nla: NLA, explained: Sequence[Mapping[str, Any]]) -> Baseline:
    vectors = np.asarray([row["vector"] for row in explained], dtype=np.float32)
    return nla.baseline_for(vectors, [row["problem"] for row in explained])


def _continued(
    config: Anchors, nla: NLA, baseline: Baseline, explained: Sequence[Mapping[str, Any]], seed: int
) -> list[dict[str, Any]]:
    """Continuations of every prefix of these explanations, from none of their sentences to all."""
    jobs = [(row, kept) for row in explained for kept in range(len(row["ends"]) + 1)]
    vectors = torch.tensor([row["vector"] for row, _ in jobs])
    prefixes = [row["token_ids"][: row["ends"][kept - 1]] if kept else [] for row, kept in jobs]
    sampling = Sampling(config.temperature, config.max_tokens, seed)
    said = nla.verbalizer.explain(vectors, config.rollouts, sampling, [[p] * config.rollouts for p in prefixes])
    texts = [one.text for group in said for one in group]
    fves = _fves(nla, texts, vectors.repeat_interleave(config.rollouts, dim=0), baseline)
    out = []
    for j, ((row, kept), prefix, group) in enumerate(zip(jobs, prefixes, said, strict=True)):
        before = nla.tokenizer.decode(prefix)
        for i, one in enumerate(group):
            held = numbers(one.text)
            model = None if row["model"] is None else parse(row["model"])
            out.append(
                {
                    "problem": row["problem"],
                    "place": row["place"],
                    "kept": kept,
                    "sample": i,
                    "sentence": first_sentence(one.raw[len(before) :]),
                    "finish": one.finish,
                    "text": one.text,
                    "gold": float(parse(row["gold"]) in held),
                    "model": math.nan if model is None else float(model in held),
                    "fve": fves[j * config.rollouts + i],
                }
            )
    return out


def first_sentence(raw: str) -> str:
    """The first sentence of what follows a prefix; empty where the explanation ends there."""
    body = raw.replace("<explanation>", "").split("</explanation>", 1)[0]
    sentence = next((part for part in split_parts(body) if part.kind == "sentence"), None)
    return body[sentence.start : sentence.end] if sentence else ""


def _deletions(nla: NLA, baseline: Baseline, explained: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Outcomes of every explanation as it is (sentence −1), and without each of its sentences."""
    jobs = [(row, i) for row in explained for i in range(-1, len(row["sentences"]))]
    texts = [without(row["text"], row["sentences"], i) for row, i in jobs]
    vectors = torch.tensor([row["vector"] for row, _ in jobs])
    fves = _fves(nla, texts, vectors, baseline)
    return [
        {
            "problem": row["problem"],
            "place": row["place"],
            "sentence": i,
            "gold": float(parse(row["gold"]) in numbers(text)),
            "model": math.nan if row["model"] is None else float(parse(row["model"]) in numbers(text)),
            "fve": value,
        }
        for (row, i), text, value in zip(jobs, texts, fves, strict=True)
    ]


def _fves(nla: NLA, texts: Sequence[str], vectors: Float[Tensor, "n d"], baseline: Baseline) -> list[float]:
    """The FVE of each text; NaN for one that says nothing."""
    return [math.nan if mse is None else fve(mse, baseline) for mse in errors(nla.reconstruct, texts, vectors)]


def without(text: str, sentences: Sequence[str], i: int) -> str:
    """A text with its ith sentence and the white space behind it taken out; −1 leaves it whole."""
    if i < 0:
        return text
    at = 0
    for sentence in sentences[:i]:
        at = text.index(sentence, at) + len(sentence)
    start = text.index(sentences[i], at)
    return (text[:start] + text[start + len(sentences[i]) :].lstrip()).strip()


def _similarities(
    config: Anchors, nla: NLA, explained: Sequence[Mapping[str, Any]], rollouts: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """How like the original every sentence is that was drawn in its place."""
    original = {(row["problem"], row["place"]): row["sentences"] for row in explained}
    pairs = {
        (row["sentence"], original[row["problem"], row["place"]][row["kept"]])
        for row in rollouts
        if row["sentence"] and row["kept"] < len(original[row["problem"], row["place"]])
    }
    every = sorted({sentence for pair in pairs for sentence in pair})
    if not every:
        return [{"drawn": "", "original": "", "similarity": 0.0}]
    vectors = centred(embedder(config.embedding, nla)(every))
    at = {sentence: i for i, sentence in enumerate(every)}
    return [
        {"drawn": drawn, "original": one, "similarity": float(vectors[at[drawn]] @ vectors[at[one]])}
        for drawn, one in sorted(pairs)
    ]


def centred(vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Unit vectors after their directions' mean was removed: all share it, and it would make every cosine high."""
    unit = torch.nn.functional.normalize(vectors.double(), dim=-1)
    return torch.nn.functional.normalize(unit - unit.mean(dim=0), dim=-1)


def importances(
    explained: Sequence[Mapping[str, Any]],
    rollouts: Sequence[Mapping[str, Any]],
    similar: Sequence[Mapping[str, Any]],
    deleted: Sequence[Mapping[str, Any]],
    threshold: float,
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


def _compared(of: Callable[[str], float], method: str) -> dict[str, float]:
    return {f"{method}_{name}": float(of(name)) for name in OUTCOMES}


def _mean(some: Sequence[Mapping[str, Any]], name: str) -> float:
    values = [one[name] for one in some if one[name] is not None and math.isfinite(one[name])]
    return float(np.mean(values)) if values else math.nan
