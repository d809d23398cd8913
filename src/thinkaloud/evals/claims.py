"""Claims of explanations by kind: how often each is said, is right, and would be right by chance."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from thinkaloud.evals.controls import foreign_rows
from thinkaloud.evals.explained import Explained, evaluation
from thinkaloud.stats import Estimate, estimate, mean
from thinkaloud.writers.base import Context
from thinkaloud.writers.claims import KINDS, by_kind, parse
from thinkaloud.writers.heuristic import claims_of
from thinkaloud.writers.write import contexts_of

QUOTED_FROM = 24  # words before the end that a quotation may be of
SHARED = frozenset(["name", "question", "opening"])  # right by the share of the words
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True)
class Agreement:
    """How the claims of one kind fare.

    said: the share of explanations that make one; right: how right these are, from 0 to 1; chance: how right the same
    ones are of contexts of other documents; lift: right less chance. Of a single document these two are not known.
    """

    said: Estimate
    right: Estimate
    chance: Estimate
    lift: Estimate


def agreement(
    said: Sequence[str], contexts: Sequence[Context], docs: Sequence[object], seed: int = 0
) -> dict[str, Agreement]:
    """For each kind that is said at all, the claims of texts against those of the rules for the same contexts.

    A claim is right where the rules make the same one; names, questions and openings by the share of their words,
    topics by their noun. A quotation is right by the share of its words among the context's last QUOTED_FROM, the first
    next token where it is the one that M itself finds likeliest.
    """
    made = [by_kind(parse(text)) for text in said]
    truths = [by_kind(claims_of(context)) for context in contexts]
    ends = [words(" ".join(context.prefix.split()[-QUOTED_FROM:])) for context in contexts]
    several = len(set(docs)) > 1
    others = foreign_rows(docs, seed) if several else range(len(made))
    interval = partial(estimate, clusters=docs, seed=seed)
    out = {}
    for kind in KINDS:
        says = np.array([kind in one for one in made])
        if not says.any():
            continue
        right, chance = (
            np.array(
                [
                    how_right(kind, one[kind], truths[i], ends[i]) if kind in one else np.nan
                    for one, i in zip(made, rows, strict=True)
                ]
            )
            for rows in (range(len(made)), others)
        )
        chance = np.where(several, chance, np.nan)
        values = (says, right, chance, right - chance)
        out[kind] = Agreement(*(interval(mean(one)) for one in values))
    return out


def how_right(kind: str, value: str, truth: Mapping[str, str], end: Sequence[str]) -> float:
    """How right a claim is, from 0 to 1, of a context with these claims by the rules and these last words."""
    said, theirs = words(value), words(truth.get(kind, ""))
    if kind == "quotation":
        return sum(word in end for word in said) / len(said) if said else float(not end)
    if kind in SHARED:
        return sum(word in theirs for word in said) / max(len(said), len(theirs)) if said else 0.0
    if kind == "topic":
        return float(said[-1:] == theirs[-1:])
    return float(truth.get(kind, "").casefold() == value.casefold())


@evaluation
def claims(found: Explained) -> dict[str, Estimate]:
    """For each kind of claim how often it is said, how right it is, the same by chance, and the difference."""
    said, docs = found.column("explanation"), found.column("doc_id")
    table = agreement(said, contexts_of(found.table), docs, found.seed)
    return {f"{kind} {name}": value for kind, one in table.items() for name, value in vars(one).items()}


vars(claims)["check"] = contexts_of
vars(claims)["suite"] = ""  # `thinkaloud eval` has it as "truth", with more beside it


def words(text: str) -> list[str]:
    """The words of a text, case folded."""
    return [word.casefold() for word in _WORD.findall(text)]
