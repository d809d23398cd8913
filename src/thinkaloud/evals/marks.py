"""Marks of claims: the share of each that is right, stands in the text at least, or is false."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from thinkaloud.errors import UserError
from thinkaloud.evals.claims import QUOTED_FROM, how_right, words
from thinkaloud.writers.base import Context
from thinkaloud.writers.claims import Claim, by_kind, certainty
from thinkaloud.writers.ending import name_next
from thinkaloud.writers.genre import CODE
from thinkaloud.writers.heuristic import claims_of, true_of
from thinkaloud.writers.wordlists import FUNCTION

if TYPE_CHECKING:
    import pandas as pd

TOP = 5  # a named next token that is among so many of M's own is not false
FREE = frozenset(["topic", "name", "quotation", "question", "opening", "subject", "verb", "object", "number"])
"""Kinds whose words may stand in the text where the rules would have chosen others."""
UNCLEAR = frozenset(["tense", "person", "register"])
"""Kinds that the rules leave out where a text is not clear: then nothing is known of them."""
CHAT = re.compile(r"\b(?:chat|question|request)\b")
_SHOWN = re.compile(r'"-?(.*)"')
_LAST_PIECE = re.compile(r"[^\W_]+$")

Says = Mapping[int, Sequence[Claim]]
"""The claims that somebody makes of rows of the data."""


@dataclass(frozen=True)
class Known:
    """What is known of a context.

    `rules` are the claims that the rules are sure of, `told` the kinds that the writer has room for; `end` the last
    words of the text, `words` all of them; `next` M's likeliest next tokens by name with their probabilities, and
    `unsaid` whether the word that the first of them begins or goes on with is not in the text, nor one that begins so.
    """

    rules: Mapping[str, str]
    told: frozenset[str]
    end: Sequence[str]
    words: frozenset[str]
    next: Mapping[str, float]
    unsaid: bool
    content: bool
    chat: bool

    @classmethod
    def of(cls, context: Context) -> "Known":
        rules = by_kind(true_of(context))
        told = frozenset(claim.kind for claim in claims_of(context))
        following: dict[str, float] = {}
        for token, probability in context.next_tokens:
            following.setdefault(name_next(context.prefix, token), probability)
        every = words(context.prefix)
        begun, fresh = _begun(context, next(iter(following), ""))
        return cls(
            rules | ({"chat": _chat(rules["genre"])} if "genre" in rules else {}),
            told | ({"chat"} if "genre" in told else frozenset()),
            words(" ".join(context.prefix.split()[-QUOTED_FROM:])),
            frozenset(every),
            following,
            bool(begun) and not any(word.startswith(begun) for word in (every if fresh else every[:-1])),
            fresh and begun not in FUNCTION,
            context.is_chat,
        )


def known(contexts: Sequence[Context]) -> list[Known]:
    """What is known of each context; UserError where no next tokens of M were kept."""
    if not any(context.next_tokens for context in contexts):
        raise UserError("what comes next is held against M's own next tokens, found none: extract with --next-tokens 6")
    return [Known.of(context) for context in contexts]


def marks(claims: Sequence[Claim], of: Known) -> Iterable[dict[str, Any]]:
    """For each claim its kind, value, whether it is the `first` of its kind, the share of it that is `right`, and that
    which is `held` by the text, or by M's first five next tokens, at least; NaN where nothing is known.

    `chat`, whether this is a chat or a text, is what the kind of text implies.
    """
    seen: dict[str, str] = {}
    for claim in claims:
        first = claim.kind not in seen
        seen.setdefault(claim.kind, claim.value)
        if claim.kind == "certainty":
            continue  # it is of the next token, which comes behind it
        yield {"kind": claim.kind, "value": claim.value, "first": first, **_mark(claim, first, of)}
        if claim.kind == "genre" and first:
            says = _chat(claim.value)
            yield {"kind": "chat", "value": says, "first": True, "right": float(says == of.rules["chat"]), "held": 0.0}
    if "certainty" in seen and "next" in seen:
        right = certainty(of.next.get(seen["next"], 0.0)) == seen["certainty"]
        yield {"kind": "certainty", "value": seen["certainty"], "first": True, "right": float(right), "held": 0.0}


def marked(says: Mapping[str, Says], of: Sequence[Known], docs: Sequence[Any]) -> "pd.DataFrame":
    """The marks of everybody's claims, a row each: `by`, `row`, `doc` and what `marks` tells, and `false`."""
    import pandas as pd

    rows = [
        {"by": by, "row": row, **mark}
        for by, claims in says.items()
        for row, some in claims.items()
        for mark in marks(some, of[row])
    ]
    names = ("by", "row", "kind", "value", "first", "right", "held")
    out = pd.DataFrame(rows, columns=list(names))
    out["false"] = 1 - out["right"] - out["held"]
    out["doc"] = np.asarray(docs, dtype=object)[out["row"].to_numpy(dtype=int)]
    return out


def _mark(claim: Claim, first: bool, of: Known) -> dict[str, float]:
    kind, value = claim.kind, claim.value
    if kind == "next":
        top = [name.casefold() for name in list(of.next)[:TOP]]
        best = top[:1] if first else top
        right, held = float(value.casefold() in best), float(value.casefold() in top)
        return {"right": right, "held": held - right} if of.next else {"right": np.nan, "held": np.nan}
    unclear = kind in UNCLEAR or (kind == "language" and of.rules.get("genre") == CODE)
    if unclear and kind not in of.rules:
        return {"right": np.nan, "held": np.nan}
    right = how_right(kind, value, of.rules, of.end)
    said = words(value)[-1:] if kind == "topic" else words(value)
    held = sum(word in of.words for word in said) / len(said) if kind in FREE and said else 0.0
    return {"right": right, "held": max(0.0, held - right)}


def _chat(genre: str) -> str:
    return "chat" if CHAT.search(genre) else "text"


def _begun(context: Context, name: str) -> tuple[str, bool]:
    """The beginning of a word that a named next token is or goes on with, in lower case, and whether it opens one."""
    shown = _SHOWN.fullmatch(name)
    piece = shown[1].casefold() if shown else ""
    fresh = not name.startswith('"-')
    if fresh or not piece.isalpha():
        return (piece if piece.isalpha() else ""), fresh
    part = _LAST_PIECE.search(context.prefix)
    return (part.group().casefold() if part else "") + piece, False
