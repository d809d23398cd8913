"""Thought anchors: counterfactual importance of each sentence, by resampling.

Counterfactual importance, after "thought anchors" (Bogdan et al., "Thought Anchors: Which LLM Reasoning Steps Matter?",
2025; of NLAs: Realmbird, "NLA Thought Anchors", 2026): continuations with a sentence kept are compared with
continuations in which it was drawn anew and came out otherwise. What a sentence is drawn anew from is what the sentence
before it is kept with, so that every prefix of an explanation is continued once for both.
"""

import math
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
from thinkaloud.pair.scores import fve, text_mse
from thinkaloud.rollout.base import Sampling
from thinkaloud.studies.anchors import Anchors
from thinkaloud.studies.anchors.analysis import Rows, closed, importances
from thinkaloud.studies.folder import Folder, Watch, rows
from thinkaloud.studies.numbers import numbers, parse
from thinkaloud.studies.page import Example, at_quartiles
from thinkaloud.studies.problems import load_problems, read_places, solve

PIECE = 4  # explanations whose continuations are sampled in one batch
SENTENCES = 64  # that a sentence encoder reads in one batch


def run(config: Anchors, folder: Folder, nla: NLA, watch: Watch) -> None:
    """Work the problems, explain, continue every prefix of every explanation, and compare."""
    explained = folder.table("explanations", lambda: _explanations(config, nla)).to_pylist()
    some = closed(explained)
    if not some:
        raise UserError(f"none of {len(explained)} explanations closes within {config.max_tokens} tokens")
    vectors = np.asarray([row["vector"] for row in some], dtype=np.float32)
    baseline = nla.baseline_for(vectors, [row["problem"] for row in some])

    def continued(part: slice) -> pa.Table:
        return rows(_continued(config, nla, baseline, some[part], config.seed * 1_000_003 + part.start + 1))

    rollouts = folder.pieces("rollouts", len(some), PIECE, continued, watch).to_pylist()
    deleted = folder.table("deletions", lambda: rows(_deletions(nla, baseline, some))).to_pylist()
    similar = folder.table("similarity", lambda: rows(_similarities(config, nla, some, rollouts))).to_pylist()

    def importance(threshold: float) -> list[dict[str, Any]]:
        return importances(some, rollouts, similar, deleted, threshold)

    found = folder.table("importance", lambda: rows(importance(config.threshold))).to_pylist()
    folder.table(
        "thresholds",
        lambda: rows([{"threshold": t, **row} for t in config.thresholds for row in importance(t)]),
    )
    worked = {row["problem"]: row["right"] for row in explained}
    facts = {
        "Pair": nla.name,
        "Site": str(nla.site),
        "Baseline": str(baseline),
        "Problems": f"{config.problems}, {len(worked)} worked, {sum(worked.values())} rightly",
        "Explanations": f"{len(some)} that close, of {len(explained)}, at temperature {config.temperature:g}",
        "Continuations": f"{len(rollouts):,}: {config.rollouts} of every prefix",
        "Similarity": f"cosine in {'the space of the AR' if config.embedding == 'ar' else config.embedding}, mean "
        f"removed; dropped at {config.threshold:g} and above",
        "Seed": str(config.seed),
    }
    folder.keep(facts, _examples(found, some))


def _examples(found: Rows, explained: Rows) -> list[Example]:
    """Explanations at the quartiles of FVE, with the end of what M had read."""
    known = {(row["problem"], row["place"]): row["explanation_fve"] for row in found}
    fves = [known.get((row["problem"], row["place"]), math.nan) for row in explained]
    some = ((explained[i], fves[i]) for i in at_quartiles(fves))
    return [Example.of(row["prefix"], row["token"], row["text"], fve, row["place"]) for row, fve in some]


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


def _continued(config: Anchors, nla: NLA, baseline: Baseline, explained: Rows, seed: int) -> list[dict[str, Any]]:
    """Continuations of every prefix of these explanations, from none of their sentences to all."""
    jobs = [(row, kept) for row in explained for kept in range(len(row["ends"]) + 1)]
    vectors = torch.tensor([row["vector"] for row, _ in jobs])
    prefixes = [row["token_ids"][: row["ends"][kept - 1]] if kept else [] for row, kept in jobs]
    sampling = Sampling(config.temperature, config.max_tokens, seed)
    said = nla.verbalizer.explain(vectors, config.rollouts, sampling, [[p] * config.rollouts for p in prefixes])
    texts = [one.text for group in said for one in group]
    fves = iter(_fves(nla, texts, vectors.repeat_interleave(config.rollouts, dim=0), baseline))
    out = []
    for (row, kept), prefix, group in zip(jobs, prefixes, said, strict=True):
        before = len(nla.tokenizer.decode(prefix))
        for i, one in enumerate(group):
            out.append(
                {
                    "problem": row["problem"],
                    "place": row["place"],
                    "kept": kept,
                    "sample": i,
                    "sentence": first_sentence(one.raw[before:]),
                    "finish": one.finish,
                    "text": one.text,
                    **_outcomes(row, one.text, next(fves)),
                }
            )
    return out


def first_sentence(raw: str) -> str:
    """The first sentence of what follows a prefix; empty where the explanation ends there."""
    body = raw.replace("<explanation>", "").split("</explanation>", 1)[0]
    sentence = next((part for part in split_parts(body) if part.kind == "sentence"), None)
    return body[sentence.start : sentence.end] if sentence else ""


def _deletions(nla: NLA, baseline: Baseline, explained: Rows) -> list[dict[str, Any]]:
    """Outcomes of every explanation as it is (sentence −1), and without each of its sentences."""
    jobs = [(row, i) for row in explained for i in range(-1, len(row["sentences"]))]
    texts = [without(row["text"], row["sentences"], i) for row, i in jobs]
    vectors = torch.tensor([row["vector"] for row, _ in jobs])
    return [
        {"problem": row["problem"], "place": row["place"], "sentence": i, **_outcomes(row, text, value)}
        for (row, i), text, value in zip(jobs, texts, _fves(nla, texts, vectors, baseline), strict=True)
    ]


def _outcomes(row: Mapping[str, Any], text: str, value: float) -> dict[str, float]:
    """Whether a text holds the gold answer and M's own (NaN where it has none), and its FVE."""
    held = numbers(text)
    holds = {name: math.nan if row[name] is None else float(parse(row[name]) in held) for name in ("gold", "model")}
    return {**holds, "fve": value}


def _fves(nla: NLA, texts: Sequence[str], vectors: Float[Tensor, "n d"], baseline: Baseline) -> list[float]:
    """The FVE of each text; NaN for one that says nothing."""
    return [fve(mse, baseline) for mse in text_mse(nla.reconstruct, texts, vectors).tolist()]


def without(text: str, sentences: Sequence[str], i: int) -> str:
    """A text with its ith sentence and the white space behind it taken out; −1 leaves it whole."""
    if i < 0:
        return text
    at = 0
    for sentence in sentences[:i]:
        at = text.index(sentence, at) + len(sentence)
    start = text.index(sentences[i], at)
    return (text[:start] + text[start + len(sentences[i]) :].lstrip()).strip()


def _similarities(config: Anchors, nla: NLA, explained: Rows, rollouts: Rows) -> list[dict[str, Any]]:
    """How like the original every sentence is that was drawn in its place."""
    original = {(row["problem"], row["place"]): row["sentences"] for row in explained}
    pairs = sorted(
        {
            (row["sentence"], sentences[row["kept"]])
            for row in rollouts
            if row["sentence"] and row["kept"] < len(sentences := original[row["problem"], row["place"]])
        }
    )
    if not pairs:
        return [{"drawn": "", "original": "", "similarity": 0.0}]
    every = sorted({sentence for pair in pairs for sentence in pair})
    vectors = dict(zip(every, centred(embedder(config.embedding, nla)(every)), strict=True))
    return [{"drawn": a, "original": b, "similarity": float(vectors[a] @ vectors[b])} for a, b in pairs]


def centred(vectors: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
    """Unit vectors after their directions' mean was removed: all share it, and it would make every cosine high."""
    unit = torch.nn.functional.normalize(vectors.double(), dim=-1)
    return torch.nn.functional.normalize(unit - unit.mean(dim=0), dim=-1)


def embedder(name: str, nla: NLA) -> Callable[[Sequence[str]], Float[Tensor, "n d"]]:
    """`ar`: the vector that the AR makes of a sentence alone. Else an encoder on the hub or in a folder: the mean of
    its last hidden states over the sentence's tokens, as sentence encoders are read.
    """
    if name == "ar":
        return nla.reconstruct
    from transformers import AutoModel, AutoTokenizer

    device = nla.verbalizer.device
    try:
        tokenizer = AutoTokenizer.from_pretrained(name)
        model = AutoModel.from_pretrained(name).to(device).eval()
    except (OSError, ValueError) as error:
        said = str(error).splitlines()[0]
        raise UserError(f"no sentence encoder {name!r}: expected ar, a folder or a hub name ({said})") from None

    @torch.inference_mode()
    def embed(sentences: Sequence[str]) -> Float[Tensor, "n d"]:
        out = []
        for start in range(0, len(sentences), SENTENCES):
            some = list(sentences[start : start + SENTENCES])
            batch = tokenizer(some, padding=True, truncation=True, return_tensors="pt").to(device)
            hidden, mask = model(**batch).last_hidden_state.float(), batch["attention_mask"][..., None]
            out.append(((hidden * mask).sum(dim=1) / mask.sum(dim=1)).cpu())
        return torch.cat(out)

    return embed
