"""The tables of the study of anchors: explanations and M's solutions, and rollouts of their prefixes.

explanations       a row for each token read: what was said, and where its sentences end among its tokens
rollouts           continuations of every prefix of an explanation, with their outcomes
similarity         how alike a sentence that was drawn is to the one in whose place it stands
traces, trace_*    the same of M's own solutions; trace_said is what the AV says where each sentence ends
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import torch

from thinkaloud.activations.tokens import Reader
from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.pair.nla import NLA
from thinkaloud.rollout.base import Sampling
from thinkaloud.studies.anchors import Anchors, trace
from thinkaloud.studies.anchors.importance import Frame, Rows, closed, sentences
from thinkaloud.studies.anchors.similarity import embedder, similarities
from thinkaloud.studies.anchors.texts import first_sentence, fves, holds, sentence_ends
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import examples
from thinkaloud.studies.problems import Solution, load_problems, read_places, solve

EMBEDDED = 2048  # sentences that are compared between two saves
PIECE = 4  # explanations or solutions whose continuations are sampled in one batch


def run(config: Anchors, folder: Folder, nla: NLA) -> None:
    """Work the problems, explain, continue every prefix of explanations and solutions, and compare."""

    @cache
    def solutions() -> list[Solution]:
        asked = (nla.model_tokenizer, config.system, config.instruction)
        problems = load_problems(config.problems, config.n, config.seed, *asked)
        every = solve(nla.model, nla.model_tokenizer, problems, config.solution_tokens)
        found = [one for one in every if one.answer is not None]
        if not found:
            raise UserError(f"M came to no answer within {config.solution_tokens} tokens in any of {config.n} problems")
        return found

    explained = folder.table("explanations", lambda: _explanations(config, nla, solutions())).to_pylist()
    traced = folder.table("traces", lambda: trace.traces(nla, solutions())).to_pylist()
    some = closed(explained)
    if not some:
        raise UserError(f"none of {len(explained)} explanations closes within {config.max_tokens} tokens")
    baseline = nla.baseline_for(
        torch.tensor([row["vector"] for row in explained]), [row["problem"] for row in explained]
    )
    sampler, seed = trace.engine(nla), config.seed * 1_000_003 + 1

    def worked_on(part: Rows, start: int) -> Rows:
        each = enumerate(part, seed + start)
        return [row for i, one in each for row in trace.rollouts(config, sampler, one, i)]

    rollouts = folder.pieces(
        "rollouts", some, PIECE, lambda part, start: _continued(config, nla, baseline, part, seed + start)
    ).to_pandas()
    traces = folder.pieces("trace_rollouts", traced, PIECE, worked_on).to_pandas()
    folder.table("trace_said", lambda: trace.said_at_ends(config, nla, traced))
    _similar(config, nla, folder, "similarity", some, rollouts)
    _similar(config, nla, folder, "trace_similarity", traced, traces, sums=True)
    right = sum(row["right"] for row in traced)
    facts = {
        **config.facts(nla, baseline),
        "Problems": f"{len(traced)} in which M came to an answer, {right} rightly",
        "Explanations": f"{len(some)} that close, of {len(explained)}",
        "Continuations": f"{len(rollouts):,} of explanations, {len(traces):,} of solutions",
        "Similarity": f"cosine, mean removed, in {'the AR space' if config.embedding == 'ar' else config.embedding}",
    }
    folder.keep(facts, examples([{**row, "note": row["place"]} for row in some]))


def _explanations(config: Anchors, nla: NLA, solutions: list[Solution]) -> list[dict[str, Any]]:
    """A row for each token read: what was said there, and where its sentences end among its tokens.

    `own` is the sentence that is the whole of the last line: its effect is what it says itself.
    """
    reader = Reader(nla.model_tokenizer)
    places, vectors = read_places(nla, solutions, config.places)
    sampling = Sampling(config.temperature, config.max_tokens, config.seed)
    said = [row[0] for row in nla.verbalizer.explain(vectors, 1, sampling)]
    baseline = nla.baseline_for(vectors, [solutions[place.solution].problem.id for place in places])
    scores = fves(nla, [one.text for one in said], vectors, baseline)
    records = []
    for place, vector, one, value in zip(places, vectors, said, scores, strict=True):
        solution = solutions[place.solution]
        found = sentence_ends(one.text, one.token_ids, nla.tokenizer)
        lone = len(found) == 1 or (len(found) > 1 and "\n" in one.text[found[-2][1] : found[-1][0]])
        record = {"problem": solution.problem.id, "place": place.name, "also": list(place.also)}
        record |= {"gold": str(solution.problem.gold), "model": str(solution.answer), "right": solution.right}
        record |= {"prefix": reader.prefix(solution.ids[: place.token + 1])}
        record |= {"token": reader.token(solution.ids[place.token]), "text": one.text, "finish": one.finish}
        record |= {"fve": value, "token_ids": list(one.token_ids), "vector": vector.tolist()}
        record |= {"sentences": [one.text[start:end] for start, end, _ in found], "ends": [n for *_, n in found]}
        records.append(record | {"own": [lone and k == len(found) - 1 for k in range(len(found))]})
    return records


def _continued(config: Anchors, nla: NLA, baseline: Baseline, explained: Rows, seed: int) -> list[dict[str, Any]]:
    """Continuations of every prefix of these explanations, from none of their sentences to all."""
    jobs = [(row, kept) for row in explained for kept in range(len(row["ends"]) + 1)]
    vectors = torch.tensor([row["vector"] for row, _ in jobs])
    prefixes = [row["token_ids"][: row["ends"][kept - 1]] if kept else [] for row, kept in jobs]
    sampling = Sampling(config.temperature, config.max_tokens, seed)
    said = nla.verbalizer.explain(vectors, config.rollouts, sampling, [[p] * config.rollouts for p in prefixes])
    texts = [one.text for group in said for one in group]
    scores = iter(fves(nla, texts, vectors.repeat_interleave(config.rollouts, dim=0), baseline))
    out = []
    for (row, kept), prefix, group in zip(jobs, prefixes, said, strict=True):
        before = len(nla.tokenizer.decode(prefix))
        for i, one in enumerate(group):
            held = holds(row, one.text)
            record = {"problem": row["problem"], "place": row["place"], "kept": kept, "sample": i}
            record |= {"drawn": first_sentence(one.raw[before:]), "finish": one.finish, "text": one.text}
            says = " and ".join(name for name, here in held.items() if here) or "neither"
            out.append(record | {**held, "fve": next(scores), "says": says})
    return out


def _similar(
    config: Anchors, nla: NLA, folder: Folder, name: str, texts: Rows, drawn: Frame, sums: bool = False
) -> None:
    """How like the original every sentence is that was drawn in its place; made in pieces, as they are many."""
    vectors = f"{name}-vectors"

    def embed(every: Sequence[str]) -> torch.Tensor:
        of = embedder(config.embedding, nla)
        found = folder.pieces(vectors, every, EMBEDDED, lambda some, _: [{"vector": v} for v in of(some).tolist()])
        return torch.tensor(np.stack(found["vector"].to_numpy()))

    both = drawn.assign(sentence=drawn["kept"]).merge(sentences(texts), on=["problem", "place", "sentence"])
    folder.table(name, lambda: similarities(embed, zip(both["drawn"], both["words"], strict=True), sums))
    (folder.out / "tables" / f"{vectors}.parquet").unlink(missing_ok=True)  # larger than all else together
