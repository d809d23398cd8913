"""M's own reasoning: rollouts of its solutions sentence by sentence, and what the AV says where each sentence ends.

So were thought anchors first defined (Bogdan et al., 2025): of a model's reasoning, by its final answers.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from thinkaloud import families, injection
from thinkaloud.activations.forward import vectors_at
from thinkaloud.models import lm
from thinkaloud.numbers import numbers, spans
from thinkaloud.pair.nla import NLA
from thinkaloud.rollout.base import Prompt, Sampling
from thinkaloud.rollout.lockstep import Lockstep
from thinkaloud.studies.anchors import Anchors
from thinkaloud.studies.anchors.texts import first_sentence, fves, holds, sentence_ends
from thinkaloud.studies.problems import Solution, answer_in, line_end

PLACE = "M's solution"
"""Stands where an explanation has the place of its activation."""


def traces(nla: NLA, solutions: Sequence[Solution]) -> list[dict[str, Any]]:
    """Each solution: its sentences, and where they end among its own tokens.

    `own` are the sentences from the one on that states the answer: their effect is what they say themselves.
    """
    out = []
    for solution in solutions:
        ids, found = list(solution.ids[solution.prompt_tokens :]), answer_in(solution.text)
        sentences = sentence_ends(solution.text, ids, nla.model_tokenizer)
        if found is None or not sentences:
            continue
        record = {"problem": solution.problem.id, "place": PLACE, "right": solution.right, "text": solution.text}
        record |= {"gold": str(solution.problem.gold), "model": str(solution.answer), "token_ids": ids}
        record |= {"prompt_ids": list(solution.ids[: solution.prompt_tokens]), "ends": [n for *_, n in sentences]}
        record |= {"sentences": [solution.text[start:end] for start, end, _ in sentences]}
        out.append(record | {"own": [end > found[1] for _, end, _ in sentences]})
    return out


def engine(nla: NLA) -> Lockstep:
    """A sampler of M's own text."""
    made = Lockstep(nla.model, nla.model_tokenizer)
    made.ending.tokens = frozenset(lm.turn_ends(nla.model, nla.model_tokenizer))
    return made


def rollouts(config: Anchors, sampler: Lockstep, trace: Mapping[str, Any], seed: int) -> list[dict[str, Any]]:
    """M's continuations of every prefix of a solution, from none of its sentences to all, and what they come to."""
    model, tokenizer, n = sampler.model, sampler.ending.tokenizer, config.rollouts
    prompt = tuple(trace["prompt_ids"])
    cap = min(config.solution_tokens, families.context_length(model) - len(prompt))
    prefixes = [trace["token_ids"][:end] for end in (0, *trace["ends"]) if end < cap]
    # The engine puts vectors into prompts: here the embedding that stands there anyway.
    last = families.embed(model, torch.tensor(prompt[-1:], device=sampler.device))
    vectors = last.detach().float()[None].expand(len(prefixes), -1, -1)
    asked = Prompt(prompt, (len(prompt) - 1,), vectors, injection.kind("replace"))
    said = sampler.generate(asked, n, Sampling(config.temperature, cap, seed), [[prefix] * n for prefix in prefixes])
    out = []
    for kept, (prefix, group) in enumerate(zip(prefixes, said, strict=True)):
        before = len(tokenizer.decode(prefix))
        for i, one in enumerate(group):
            found = answer_in(one.raw, one.finish == "cut")
            answer, text = None if found is None else str(found[0]), one.raw[: line_end(one.raw, found)]
            record = {"problem": trace["problem"], "place": PLACE, "kept": kept, "sample": i, "text": text}
            record |= {"drawn": first_sentence(text[before:]), "says": answer or "no answer"}
            out.append(record | {name: float(answer == trace[name]) for name in ("gold", "model")})
    return out


def said_at_ends(config: Anchors, nla: NLA, some: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What the AV says, greedily, of the last token of every sentence of M's solutions, and which numbers it names."""
    ids = [[*trace["prompt_ids"], *trace["token_ids"]] for trace in some]
    wanted = [[len(trace["prompt_ids"]) + end - 1 for end in trace["ends"]] for trace in some]
    vectors = vectors_at(nla.model, nla.site, ids, wanted)
    texts = [row[0].text for row in nla.explain(vectors, max_tokens=config.max_tokens)]
    where = [(trace, i) for trace in some for i in range(len(trace["ends"]))]
    baseline = nla.baseline_for(vectors, [trace["problem"] for trace, _ in where])
    out = []
    for (trace, i), text, value in zip(where, texts, fves(nla, texts, vectors, baseline), strict=True):
        results = [number for *_, number in spans(trace["sentences"][i])]
        record = {"problem": trace["problem"], "place": PLACE, "sentence": i, "explanation": text, "fve": value}
        record |= {"result": float(results[-1] in numbers(text)) if results else math.nan}
        out.append(record | holds(trace, text))
    return out
