"""First mentions: when explanations name a fact or a word, against the text.

Chance is what the same question gives for something that this text does not tell: a fact's value in another episode of
the family, looked for in this episode's explanations; a word of this text, looked for in another text's explanations.
"""

import re
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from thinkaloud.numbers import numbers, spans
from thinkaloud.pocket.mention import WORD, Mention, words
from thinkaloud.writers.wordlists import FUNCTION

# Tokens from the first token of a word in the text to the explanation that first has it, and the most of each but the
# last.
WHEN = ("2 or more tokens before", "the token before", "at once (0 to 2)", "soon (3 to 10)", "later (11 or more)")
_MOST = (-2, -1, 2, 10)
NEVER = "never"
FROM = 10  # smaller numbers are named wherever a longer one begins with their digit
KINDS_OF_WORDS = ("name", "number", "rarer word")
_SHORTEST = 4  # letters of a rarer word: shorter ones are mostly pieces and interjections
_CAPITAL = re.compile(r"[A-Z][a-z]+")
_OPENS = re.compile(r"(?:^|[.!?:\n\"“>])\s*$")

Records = Sequence[Mapping[str, Any]]
"""Of texts: id, family, text, ids, tokens, `ends` (characters at which these end), `places` (tokens that are read), and
`facts`: name, value, and the tokens that settle it and that first state it (None if none is read)."""


def facts_named(texts: Records, said: Records) -> list[dict[str, Any]]:
    """For each fact when it is first named.

    `settled`, `stated` and `named` are tokens, `named` from the settling on. `before`: named by the last position
    before the statement (or the last one, for what is never stated); `stands`: the text says the value when it settles
    it, so that copying is enough. `chance` is the mean of the same over the values that the fact has in other episodes
    of the family, where they differ.
    """
    facts: list[dict[str, Any]] = []
    values: defaultdict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for text in texts:
        for fact in text["facts"]:
            values[text["family"], _kind(fact)][fact["value"]] += 1
    spoken: defaultdict[str, dict[int, str]] = defaultdict(dict)
    for one in said:
        spoken[one["id"]][one["position"]] = one["text"]
    for text in texts:
        mentions = {position: Mention(words) for position, words in spoken[text["id"]].items() if text["facts"]}
        for fact in text["facts"]:
            value, settled, stated = fact["value"], fact["settled"], fact["stated"]
            head = {"id": text["id"], "family": text["family"], "fact": _kind(fact), "value": value}
            every = values[text["family"], _kind(fact)]
            others = Counter({other: n for other, n in every.items() if other != value})
            at = np.array([position for position in mentions if position >= settled], dtype=int)
            named = np.array([[mentions[i].names(v) for v in (value, *others)] for i in at], dtype=bool)
            own, theirs = named.reshape(len(at), -1)[:, 0], named.reshape(len(at), -1)[:, 1:]
            window = at < (np.inf if stated is None else stated)
            facts.append(
                head
                | {"settled": settled, "stated": stated, "places": int(window.sum())}
                | {"stands": Mention(text["text"][: text["ends"][settled]]).names(value)}
                | {"named": int(at[own][0]) if own.any() else None}
                | {"before": bool(own[window].any()) if window.any() else None}
                | {"chance": _share(theirs[window].any(axis=0), others) if window.any() else None}
            )
    return facts


def words_named(texts: Records, said: Records) -> list[dict[str, Any]]:
    """For each name, number from 10 on and rarer content word of the texts: when the words first have it.

    `said` is the first token of the word's first place in the text, `named` the first position whose explanation has
    it. `chance` has for each of WHEN and never the share of other texts, without the word and read at least so far,
    whose explanations first have it then. Words that no position is read before are left out.
    """
    found = {text["id"]: list(_words_of(text)) for text in texts}
    in_texts = Counter(word for some in found.values() for word in {word for _, word, _ in some})
    firsts: defaultdict[str, dict[str, int]] = defaultdict(dict)
    for one in sorted(said, key=lambda one: one["position"]):
        for word in _all_words(one["text"]):
            firsts[one["id"]].setdefault(word, one["position"])
    own_words = {text["id"]: _all_words(text["text"]) for text in texts}
    out = []
    for text in texts:
        for kind, word, at in found[text["id"]]:
            rare = in_texts[word] <= max(1, len(texts) // 10)
            if at <= text["places"][0] or (kind == "rarer word" and not rare):
                continue
            unknowing = [t["id"] for t in texts if word not in own_words[t["id"]] and t["places"][-1] >= at]
            chance = Counter(when(firsts[id_].get(word), at) for id_ in unknowing)
            shares = {name: chance[name] / len(unknowing) if unknowing else None for name in (*WHEN, NEVER)}
            named = firsts[text["id"]].get(word)
            head = {"id": text["id"], "family": text["family"], "kind": kind, "word": word, "said": at}
            out.append(head | {"named": named, "when": when(named, at), "chance": shares})
    return out


def when(named: int | None, said: int) -> str:
    """Which of WHEN it is."""
    return NEVER if named is None else WHEN[bisect_left(_MOST, named - said)]


def _kind(fact: Mapping[str, Any]) -> str:
    """The name without what counts it: place:Vera:2 is place, after_step_1 stays."""
    return fact["name"].partition(":")[0]


def _share(hits: Any, others: Counter[str]) -> float | None:
    """The share of other episodes whose value is named."""
    return float(np.average(hits, weights=list(others.values()))) if others else None


def _words_of(text: Mapping[str, Any]) -> Iterator[tuple[str, str, int]]:
    """(kind, word, its first token) of every name, number and content word at its first place, in order of kinds."""
    first: dict[tuple[str, str], int] = {}
    plain: set[str] = set()
    for match in WORD.finditer(text["text"]):
        (word,) = words(match.group()) or ("",)
        inside = _CAPITAL.fullmatch(match.group()) and not _OPENS.search(text["text"][: match.start()][-8:])
        if not match.group()[0].isupper():
            plain.add(word)
        elif inside:
            first.setdefault(("name", word), match.start())
        if len(word) >= _SHORTEST and word not in FUNCTION:
            first.setdefault(("rarer word", word), match.start())
    for start, _, value in spans(text["text"]):
        if abs(value) >= FROM:
            first.setdefault(("number", str(value)), start)
    names = {word for kind, word in first if kind == "name"} - plain
    for (kind, word), start in sorted(first.items()):
        if (kind == "name") == (word in names):
            start = min(start, first.get(("rarer word", word), start))
            at = int(np.searchsorted(text["ends"], start, side="right"))
            if at in text["places"]:  # the tags of a chat are no words of it
                yield kind, word, at


def _all_words(text: str) -> frozenset[str]:
    return frozenset([*words(text), *map(str, numbers(text))])
