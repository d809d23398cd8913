"""Whether explanations name the answer of a problem, against chance: the tables.

M works problems whose answers are known; activations are read at named places of its solutions, explained, scored, and
scored again with the answer taken out of the explanation. Tables, in this order:

solutions     a problem a row: what M wrote, its answer, the gold answer, and how it ended
places        a row for each token of each solution that is a named place, its vector, and the numbers that make chance
explanations  one greedy explanation (sample 0) of each place, and the sampled ones
edited        explanations that hold M's answer, without it or without another number, with their MSE before and after
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.activations.tokens import Reader
from thinkaloud.baseline import Baseline
from thinkaloud.evals.degenerate import classify
from thinkaloud.numbers import numbers, without
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.scores import fve, text_mse
from thinkaloud.studies.answers import Answers
from thinkaloud.studies.answers.analysis import HELD, joined
from thinkaloud.studies.answers.chance import others, standing, written
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import examples
from thinkaloud.studies.problems import Problem, Solution, load_problems, parsed, read_places, solve

Record = dict[str, Any]

SOLVED, EXPLAINED, EDITED = 64, 32, 64  # rows of a piece, the most that a stop loses
PREFIX = 300  # characters of the text before a place that are kept for examples
EDITS = ("answer removed", "other number removed")


def run(config: Answers, folder: Folder, nla: NLA) -> None:
    """Make the study's tables and results, or go on with them."""
    tokenizer = nla.model_tokenizer
    problems = load_problems(config.problems, config.n, config.seed, tokenizer, config.system, config.instruction)
    solved = folder.pieces(
        "solutions",
        problems,
        SOLVED,
        lambda some, _: solutions_table(solve(nla.model, tokenizer, some, config.solution_tokens)),
    ).to_pylist()
    found = folder.table("places", lambda: places_table(solved, config.places, nla))
    places, vectors = found.drop_columns(["vector"]).to_pylist(), torch.from_numpy(np.stack(found["vector"].to_numpy()))
    baseline = nla.baseline_for(vectors, [p["problem"] for p in places], "these places")

    def explained(some: Sequence[Record], start: int) -> list[Record]:
        # A piece's own seed: the same whether or not the study was stopped.
        seed, here = config.seed * 1_000_003 + start, vectors[start : start + len(some)]
        return explanations(some, here, nla, baseline, config, seed)

    said = folder.pieces("explanations", places, EXPLAINED, explained).to_pylist()
    at = {(place["problem"], place["token"]): i for i, place in enumerate(places)}
    jobs = edits(joined(folder).to_dict("records"), config.seed)

    def edited(some: Sequence[Record], _: int) -> list[Record]:
        targets = vectors[[at[job["problem"], job["token"]] for job in some]]
        after = text_mse(nla.reconstruct, [job["text"] for job in some], targets).tolist()
        return [{**job, "mse": mse} for job, mse in zip(some, after, strict=True)]

    if jobs:  # else no explanation holds M's answer, and there is no such table
        folder.pieces("edited", jobs, EDITED, edited)
    there = {name for place in places for name in place["names"]}
    there |= {f"sentence {name.split()[-1]}s" for name in there if name.startswith("sentence")}
    absent = [name for name in config.places if name not in there]
    facts = {**config.facts(nla, baseline), "Problems": f"{len(solved)} worked, greedily"}
    facts |= {"Places that no solution has": ", ".join(absent)} if absent else {}
    facts |= {
        "Explanations": f"{len(said):,}, one greedy and {config.samples} sampled at each of {len(places):,} tokens"
    }
    greedy = zip(places, said[:: config.samples + 1], strict=True)
    folder.keep(facts, examples([{**row, **place, "token": place["read"]} for place, row in greedy]))


def solutions_table(solved: Sequence[Solution]) -> list[Record]:
    """Solutions as records. Numbers are kept as they are written: a Parquet decimal would have one scale for all."""

    def row(s: Solution) -> Record:
        of = s.problem
        asked = {"problem": of.id, "prompt": of.prompt, "question": of.question, "working": of.working}
        asked |= {"steps": of.steps, "gold": written(of.gold), "ids": list(s.ids), "prompt_tokens": s.prompt_tokens}
        tokens = None if s.answer is None else s.marks["answer end"] - s.marks["answer"] + 1
        found = {"answer": None if s.answer is None else written(s.answer), "answer_tokens": tokens}
        return asked | found | {"text": s.text, "cut": s.cut, "border": "border" in s.marks, "outcome": s.outcome}

    return list(map(row, solved))


def places_table(solved: Sequence[Record], names: Sequence[str], nla: NLA) -> list[Record]:
    """The places that the solutions have, each with its activation; UserError if none has any."""
    solutions = [_solution(row, nla.model_tokenizer) for row in solved]
    places, vectors = read_places(nla, solutions, names)
    records, reader = [], Reader(nla.model_tokenizer)
    for place, vector in zip(places, vectors, strict=True):
        solution = solutions[place.solution]
        # How far it is to the answer's first token, where M first writes it.
        first = None if solution.answer is None else solution.mentions[solution.answer][0]
        record = {"problem": solution.problem.id, "token": place.token, "names": [place.name, *place.also]}
        record |= {"standing": standing(solution, place.token), **others(solution, place.token)}
        record |= {"before_answer": None if first is None else first - place.token}
        prefix = reader.prefix(solution.ids[: place.token + 1])
        record |= {"prefix": prefix[-PREFIX:], "read": reader.token(solution.ids[place.token])}
        records.append({**record, "note": ", ".join(record["names"]), "vector": vector.numpy()})
    return records


def explanations(
    places: Sequence[Record], vectors: Float[Tensor, "n d"], nla: NLA, baseline: Baseline, config: Answers, seed: int
) -> list[Record]:
    """A greedy explanation of each place and the sampled ones, scored, with the numbers they name and their class."""
    greedy = nla.explain(vectors, 1, 0.0, max_tokens=config.max_tokens)
    sampled = nla.explain(vectors, config.samples, config.temperature, seed, config.max_tokens)
    made = [
        ({"problem": place["problem"], "token": place["token"], "sample": sample}, explanation)
        for place, one, more in zip(places, greedy, sampled, strict=True)
        for sample, explanation in enumerate([*one, *more])
    ]
    each = vectors.repeat_interleave(config.samples + 1, dim=0)
    errors = text_mse(nla.reconstruct, [explanation.text for _, explanation in made], each).tolist()
    return [
        {**where, "text": said.text, "finish": said.finish, "tokens": len(said.token_ids), "class": classify(said.text)}
        | {"fve": fve(mse, baseline), "mse": mse, "numbers": sorted(map(written, numbers(said.text)))}
        for (where, said), mse in zip(made, errors, strict=True)
    ]


def edits(explained: Sequence[Mapping[str, Any]], seed: int) -> list[Record]:
    """The explanations that hold M's answer, with every instance of it taken out.

    The control is another number of the same explanation taken out, where there is one that is no answer.
    """
    generator = np.random.default_rng(seed)
    out: list[Record] = []
    for row in explained:
        if row[HELD] == 1:
            rest = [n for n in row["numbers"] if n not in (row["answer"], row["gold"])]
            for edit, number in zip(EDITS, [row["answer"], *generator.permutation(rest)[:1]], strict=False):
                head = {key: row[key] for key in ("problem", "token", "sample")}
                text = without(row["text"], Decimal(number)).strip()
                out.append({**head, "edit": edit, "number": str(number), "text": text, "mse_before": row["mse"]})
    return out


def _solution(row: Mapping[str, Any], tokenizer: Any) -> Solution:
    gold = Decimal(row["gold"])
    problem = Problem(row["problem"], row["prompt"], gold, row["question"], row["working"], row["steps"])
    asked, said = row["ids"][: row["prompt_tokens"]], row["ids"][row["prompt_tokens"] :]
    return parsed(problem, asked, said, row["cut"], tokenizer)
