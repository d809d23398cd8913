"""Whether explanations name the answer of a problem, against chance: the tables.

M works problems whose answers are known; activations are read at named places of its solutions, explained, scored, and
scored again with the answer taken out of the explanation or another number put for it. Tables, in this order:

solutions     a problem a row: what M wrote, its answer, the gold answer, and where the answer stands
places        a row for each place of each solution, with its vector
explanations  one greedy explanation (sample 0) of each place, and the sampled ones
edited        explanations that hold M's answer, changed, with their scores before and after
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.activations.tokens import Reader
from thinkaloud.baseline import Baseline
from thinkaloud.evals.degenerate import classify, load_labelled
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.scores import fve, text_mse
from thinkaloud.studies.answers import Answers
from thinkaloud.studies.folder import Folder, Watch, rows
from thinkaloud.studies.numbers import numbers, replaced, spans
from thinkaloud.studies.page import Example, at_quartiles
from thinkaloud.studies.problems import Problem, Solution, load_problems, read_places, solve

Record = dict[str, Any]

SOLVED, EXPLAINED, EDITED = 64, 32, 64  # rows of a piece, the most that a stop loses
EDITS = ("answer removed", "answer replaced", "other number removed")


def run(config: Answers, folder: Folder, nla: NLA, watch: Watch) -> None:
    """Make the study's tables and results, or go on with them."""
    load_labelled(config.labelled, split=None)
    tokenizer = nla.model_tokenizer
    problems = load_problems(config.problems, config.n, config.seed, tokenizer)
    solved = folder.pieces(
        "solutions",
        len(problems),
        SOLVED,
        lambda some: solutions_table(solve(nla.model, tokenizer, problems[some], config.solution_tokens)),
        watch,
    ).to_pylist()
    found = folder.table("places", lambda: places_table(solved, list(dict.fromkeys(config.places)), nla, tokenizer))
    places = found.drop_columns(["vector"]).to_pylist()
    vectors = torch.from_numpy(np.stack(found["vector"].to_numpy()))
    baseline = nla.baseline_for(vectors, [p["problem"] for p in places], "these places")
    explained = folder.pieces(
        "explanations",
        len(places),
        EXPLAINED,
        lambda some: rows(explanations(places[some], vectors[some], nla, baseline, config, some.start)),
        watch,
    ).to_pylist()
    at = {(place["problem"], place["place"]): i for i, place in enumerate(places)}
    jobs = edits(explained, config.seed)

    def edited(some: slice) -> pa.Table:
        targets = vectors[[at[job["problem"], job["place"]] for job in jobs[some]]]
        after = text_mse(nla.reconstruct, [job["text"] for job in jobs[some]], targets).tolist()
        return rows(
            [{**job, "fve": fve(mse, baseline), "mse": mse} for job, mse in zip(jobs[some], after, strict=True)]
        )

    if jobs:  # else no explanation holds M's answer, and there is no such table
        folder.pieces("edited", len(jobs), EDITED, edited, watch)
    facts = {
        "Pair": nla.name,
        "Site": str(nla.site),
        "Problems": f"{config.problems}, {len(solved)} worked, solutions of at most {config.solution_tokens} tokens, "
        "greedy",
        "Places": ", ".join(dict.fromkeys(config.places)),
        "Explanations": f"{len(explained):,}: one greedy and {config.samples} at temperature {config.temperature:g} at "
        f"each place, at most {config.max_tokens} tokens",
        "Baseline of FVE": str(baseline),
        "Seed": str(config.seed),
    }
    folder.keep(facts, examples(explained, solved, places, tokenizer))


def examples(
    explained: Sequence[Record], solved: Sequence[Record], places: Sequence[Record], tokenizer: Any
) -> list[Example]:
    """Greedy explanations at the quartiles of FVE, each with what M had read and written up to its place."""
    greedy = [row for row in explained if row["sample"] == 0]
    ids = {row["problem"]: row["ids"] for row in solved}
    index = {(place["problem"], place["place"]): place["index"] for place in places}
    reader = Reader(tokenizer)

    def example(row: Record) -> Example:
        read = ids[row["problem"]][: index[row["problem"], row["place"]] + 1]
        return Example.of(reader.prefix(read), reader.token(read[-1]), row["text"], row["fve"], row["place"])

    return [example(greedy[i]) for i in at_quartiles(row["fve"] for row in greedy)]


def solutions_table(solved: Sequence[Solution]) -> pa.Table:
    """Solutions as a table. Numbers are kept as they are written: a Parquet decimal would have one scale for all."""
    return rows(
        [
            {
                "problem": s.problem.id,
                "prompt": s.problem.prompt,
                "gold": written(s.problem.gold),
                "ids": list(s.ids),
                "prompt_tokens": s.prompt_tokens,
                "text": s.text,
                "answer": None if s.answer is None else written(s.answer),
                "first": s.span[0] if s.span else None,
                "last": s.span[1] if s.span else None,
                "border": s.border,
                "right": s.right,
            }
            for s in solved
        ]
    )


def places_table(solved: Sequence[Record], names: Sequence[str], nla: NLA, tokenizer: Any) -> pa.Table:
    """The places that the solutions have, each with its activation; UserError if none has any."""
    places, vectors = read_places(nla, [_solution(row) for row in solved], names)
    found = [(solved[place.solution], place) for place in places]
    records = [
        {
            "problem": row["problem"],
            "place": place.name,
            "index": place.token,
            "token": tokenizer.decode([row["ids"][place.token]]),
            "before_answer": None if row["first"] is None else row["first"] - place.token,
            "model_answer": row["answer"],
            "gold": row["gold"],
            "right": row["right"],
        }
        for row, place in found
    ]
    flat = pa.array(vectors.numpy().reshape(-1), pa.float32())
    return rows(records).append_column("vector", pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1]))


def explanations(
    places: Sequence[Record], vectors: Float[Tensor, "n d"], nla: NLA, baseline: Baseline, config: Answers, start: int
) -> list[Record]:
    """A greedy explanation of each place and the sampled ones, scored, with the numbers they name and their class.

    The seed is the piece's own: the same whether or not the study was stopped on the way.
    """
    greedy = nla.explain(vectors, 1, 0.0, max_tokens=config.max_tokens)
    sampled = nla.explain(
        vectors, config.samples, config.temperature, piece_seed(config.seed, start), config.max_tokens
    )
    made = [
        (place, sample, explanation)
        for place, one, more in zip(places, greedy, sampled, strict=True)
        for sample, explanation in enumerate([*one, *more])
    ]
    each = vectors.repeat_interleave(config.samples + 1, dim=0)
    errors = text_mse(nla.reconstruct, [explanation.text for *_, explanation in made], each).tolist()
    out = []
    for (place, sample, explanation), mse in zip(made, errors, strict=True):
        named = sorted(map(written, numbers(explanation.text)))
        out.append(
            {
                **{key: place[key] for key in ("problem", "place", "before_answer", "model_answer", "gold", "right")},
                "sample": sample,
                "text": explanation.text,
                "finish": explanation.finish,
                "tokens": len(explanation.token_ids),
                "sentences": sum(part.kind == "sentence" for part in explanation.parts),
                "fve": fve(mse, baseline),
                "mse": mse,
                "numbers": named,
                "holds_model_answer": place["model_answer"] in named,
                "holds_gold": place["gold"] in named,
                "class": classify(explanation.text),
            }
        )
    return out


def edits(explained: Sequence[Record], seed: int) -> list[Record]:
    """The explanations that hold M's answer, with every instance of it taken out, or another problem's answer put.

    The control is another number of the same explanation taken out, where there is one that is no answer.
    """
    answers = sorted({row["model_answer"] for row in explained if row["model_answer"] is not None})
    generator = np.random.default_rng(seed)
    out: list[Record] = []
    for row in explained:
        if not row["holds_model_answer"]:
            continue
        answer, text = row["model_answer"], row["text"]
        others = [a for a in answers if a not in row["numbers"]] or [written(max(map(Decimal, row["numbers"])) + 1)]
        put = others[int(generator.integers(len(others)))]
        rest = [n for n in row["numbers"] if n not in (answer, row["gold"])]
        taken = rest[int(generator.integers(len(rest)))] if rest else None
        changes = [(EDITS[0], answer, ""), (EDITS[1], answer, put), *([(EDITS[2], taken, "")] if taken else [])]
        kept = {key: row[key] for key in ("problem", "place", "sample", "right")}
        for edit, number, by in changes:
            value = Decimal(number)
            out.append(
                {
                    **kept,
                    "edit": edit,
                    "number": number,
                    "by": by,
                    "instances": sum(found == value for *_, found in spans(text)),
                    "text": replaced(text, value, by).strip(),
                    "fve_before": row["fve"],
                    "mse_before": row["mse"],
                }
            )
    return out


def piece_seed(seed: int, start: int) -> int:
    """A seed for the piece that begins at this row."""
    return int(np.random.SeedSequence([abs(seed), seed < 0, start]).generate_state(1)[0])


def written(value: Decimal) -> str:
    """A number in digits, without an exponent."""
    return format(value, "f")


def _solution(row: Mapping[str, Any]) -> Solution:
    problem = Problem(row["problem"], row["prompt"], Decimal(row["gold"]))
    span = None if row["first"] is None else (row["first"], row["last"])
    answer = None if row["answer"] is None else Decimal(row["answer"])
    return Solution(problem, tuple(row["ids"]), row["prompt_tokens"], row["text"], answer, span, row["border"])
