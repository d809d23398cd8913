"""The tables of the study of anchors: explanations and M's solutions, and rollouts of their prefixes.

explanations       a row for each token read: what was said, and where its sentences end among its tokens
rollouts           continuations of every prefix of an explanation, with their outcomes
deletions          outcomes of explanations as they are (sentence −1) and without each of their sentences
similarity         how alike a sentence that was drawn is to the one in whose place it stands
traces, trace_*    the same of M's own solutions; trace_said is what the AV says where each sentence ends
"""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import torch

from thinkaloud.activations.tokens import Reader
from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.pair.nla import NLA
from thinkaloud.rollout.base import Sampling
from thinkaloud.studies.anchors import Anchors, trace
from thinkaloud.studies.anchors.importance import Frame, Rows, closed, sentences
from thinkaloud.studies.anchors.outcomes import fves, holds, says
from thinkaloud.studies.anchors.prefixes import first_sentence, sentence_ends, without
from thinkaloud.studies.anchors.similarity import similarities
from thinkaloud.studies.folder import Folder, Watch, rows
from thinkaloud.studies.page import Example, at_quartiles
from thinkaloud.studies.problems import Solution, load_problems, read_places, solve

PIECE = 4  # explanations or solutions whose continuations are sampled in one batch


def run(config: Anchors, folder: Folder, nla: NLA, watch: Watch) -> None:
    """Work the problems, explain, continue every prefix of explanations and solutions, and compare."""
    worked: list[Solution] = []

    def solutions() -> list[Solution]:
        if not worked:
            asked = (nla.model_tokenizer, config.system, config.instruction)
            problems = load_problems(config.problems, config.n, config.seed, *asked)
            every = solve(nla.model, nla.model_tokenizer, problems, config.solution_tokens)
            worked.extend(one for one in every if one.answer is not None)
        if not worked:
            raise UserError(f"M came to no answer within {config.solution_tokens} tokens in any of {config.n} problems")
        return worked

    explained = folder.table("explanations", lambda: rows(_explanations(config, nla, solutions()))).to_pylist()
    traced = folder.table("traces", lambda: rows(trace.traces(nla, solutions()))).to_pylist()
    some = closed(explained)
    if not some:
        raise UserError(f"none of {len(explained)} explanations closes within {config.max_tokens} tokens")
    vectors = [row["vector"] for row in some]
    baseline = nla.baseline_for(torch.tensor(vectors), [row["problem"] for row in some])
    sampler, seed = trace.engine(nla), config.seed * 1_000_003 + 1

    def continued(part: slice) -> pa.Table:
        return rows(_continued(config, nla, baseline, some[part], seed + part.start))

    def worked_on(part: slice) -> pa.Table:
        each = enumerate(traced[part], part.start)
        return rows([row for i, one in each for row in trace.rollouts(config, sampler, one, seed + i)])

    rollouts = folder.pieces("rollouts", len(some), PIECE, continued, watch).to_pandas()
    deleted = folder.table("deletions", lambda: rows(_deletions(nla, baseline, some))).to_pandas()
    traces = folder.pieces("trace_rollouts", len(traced), PIECE, worked_on, watch).to_pandas()
    folder.table("trace_said", lambda: rows(trace.said_at_ends(config, nla, traced)))
    folder.table("similarity", lambda: _similar(config, nla, some, rollouts))
    folder.table("trace_similarity", lambda: _similar(config, nla, traced, traces, sums=True))
    facts = {
        "Pair": nla.name,
        "Site": str(nla.site),
        "Baseline": str(baseline),
        "Problems": f"{config.problems}, {config.n} at most; {len(traced)} in which M came to an answer, "
        f"{sum(row['right'] for row in traced)} rightly",
        "Explanations": f"{len(some)} that close, of {len(explained)}, at temperature {config.temperature:g}",
        "Continuations": f"{len(rollouts):,} of explanations, {len(traces):,} of solutions: {config.rollouts} of every "
        "prefix",
        "Similarity": f"cosine, mean removed, in {'the AR space' if config.embedding == 'ar' else config.embedding}",
        "Seed": str(config.seed),
    }
    whole = deleted[deleted["sentence"] < 0]["fve"].tolist()
    shown = [(some[i], whole[i]) for i in at_quartiles(whole)]
    folder.keep(facts, [Example.of(r["prefix"], r["token"], r["text"], fve, r["place"]) for r, fve in shown])


def _explanations(config: Anchors, nla: NLA, solutions: Sequence[Solution]) -> list[dict[str, Any]]:
    """A row for each token read: what was said there, and where its sentences end among its tokens.

    `own` is the sentence that is the whole of the last line: its effect is what it says itself.
    """
    reader, tokenizer = Reader(nla.model_tokenizer), nla.tokenizer
    places, vectors = read_places(nla, solutions, config.places)
    sampling = Sampling(config.temperature, config.max_tokens, config.seed)
    said = [row[0] for row in nla.verbalizer.explain(vectors, 1, sampling)]
    records = []
    for place, vector, one in zip(places, vectors, said, strict=True):
        solution = solutions[place.solution]
        found = sentence_ends(one.text, one.token_ids, tokenizer)
        lone = len(found) == 1 or (len(found) > 1 and "\n" in one.text[found[-2].end : found[-1].start])
        record = {"problem": solution.problem.id, "place": place.name, "also": list(place.also)}
        record |= {"right": solution.right}
        record |= {"gold": str(solution.problem.gold), "model": str(solution.answer), "solution": solution.text}
        record |= {"prefix": reader.prefix(solution.ids[: place.token + 1])}
        record |= {"token": reader.token(solution.ids[place.token])}
        record |= {"text": one.text, "finish": one.finish, "token_ids": list(one.token_ids)}
        record |= {"sentences": [one.text[s.start : s.end] for s in found], "ends": [s.tokens for s in found]}
        own = [lone and k == len(found) - 1 for k in range(len(found))]
        records.append(record | {"own": own, "vector": vector.tolist()})
    return records


def _continued(config: Anchors, nla: NLA, baseline: Baseline, explained: Rows, seed: int) -> list[dict[str, Any]]:
    """Continuations of every prefix of these explanations, from none of their sentences to all.

    X_new: whether X is held by what was sampled; X_after: by what stands behind its first sentence.
    """
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
            drawn, behind = first_sentence(one.raw[before:])
            whole = holds(row, one.text)
            record = {"problem": row["problem"], "place": row["place"], "kept": kept, "sample": i, "drawn": drawn}
            record |= {"finish": one.finish, "text": one.text, **whole, "fve": next(scores), "says": says(whole)}
            record |= {f"{name}_new": held for name, held in holds(row, drawn + behind).items()}
            out.append(record | {f"{name}_after": held for name, held in holds(row, behind).items()})
    return out


def _deletions(nla: NLA, baseline: Baseline, explained: Rows) -> list[dict[str, Any]]:
    """Outcomes of every explanation as it is (sentence −1), and without each of its sentences."""
    jobs = [(row, i) for row in explained for i in range(-1, len(row["sentences"]))]
    texts = [without(row["text"], row["sentences"], i) for row, i in jobs]
    scores = fves(nla, texts, torch.tensor([row["vector"] for row, _ in jobs]), baseline)
    return [
        {"problem": row["problem"], "place": row["place"], "sentence": i, **holds(row, text), "fve": value}
        for (row, i), text, value in zip(jobs, texts, scores, strict=True)
    ]


def _similar(config: Anchors, nla: NLA, texts: Rows, drawn: Frame, sums: bool = False) -> pa.Table:
    """How like the original every sentence is that was drawn in its place."""
    both = drawn.merge(
        sentences(texts), left_on=["problem", "place", "kept"], right_on=["problem", "place", "sentence"]
    )
    return rows(similarities(config.embedding, nla, zip(both["drawn"], both["words"], strict=True), sums))
