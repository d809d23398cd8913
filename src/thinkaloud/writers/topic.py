"""The topic of a text: the most telling of its recent nouns, and of its recent names."""

import re

from .passage import ENDINGS, ROLES, Passage
from .wordlists import NOUNS, SETS

TOPIC_CHARS = 18
# What a word is worth shrinks by this for every piece, and by that for every paragraph, that comes after it.
PIECE_DECAY = 0.5 ** (1 / 60)
PARAGRAPH_DECAY = 0.8

# Rare words tell most: a noun weighs more the later it stands in the list, and most where no list holds it.
WEIGHTS: dict[str, float] = dict.fromkeys(ROLES, 0.0)
WEIGHTS.update((noun, 0.35 + 0.65 * min(1.0, rank / 900)) for rank, noun in enumerate(NOUNS))
WEIGHTS.update(dict.fromkeys(SETS["dull"], 0.0))
NAME_WEIGHT, UNKNOWN_WEIGHT, UNLIKELY_WEIGHT = 1.0, 0.55, 0.2
NOT_NOUNS = tuple(ending for _, endings in ENDINGS for ending in endings)

POSSESSIVES, ARTICLES = SETS["possessives"], SETS["articles"]
OPENERS = frozenset(".!?“”:\n-*<")


def topics_of(passage: Passage, quotation: str = "") -> tuple[str, str]:
    """The most telling noun and the most telling name, as they last stood, "" where there is none.

    ``("his harbour", "Laura Osnes")``. One noun and one name, each in a place of its own: where a list has room for a
    second of a kind, a verbalizer that is sure of one alone says it twice. What the quotation holds comes after all
    else. A word that stands both ways, as ``captain`` and ``Captain``, is a noun.
    """
    pieces, lower = passage.pieces, passage.lower
    scores: dict[str, float] = {}
    nouns: set[str] = set()
    sure: set[str] = set()  # capitalised within a sentence, or twice
    shown: dict[str, str] = {}
    surname: dict[str, str] = {}
    decay = 1.0
    # The final word is left to the last line: it may be a piece of a word.
    for at in range(len(pieces) - 2, -1, -1):
        decay *= PIECE_DECAY
        word = lower[at]
        weight = WEIGHTS.get(word, WEIGHTS.get(word.removesuffix("'s")))
        if weight == 0.0:
            continue
        if not word[0].isalpha():
            if word[0] == "\n":
                decay *= PARAGRAPH_DECAY
            continue
        piece, before, after = pieces[at], lower[at - 1] if at else ".", lower[at + 1]
        if word.endswith("'s"):
            word, piece = word[:-2], piece[:-2]
        opens = before[0] in OPENERS
        named = piece[0].isupper() and (weight is None or not opens) and not (len(piece) > 4 and piece.isupper())
        if weight is None:
            if len(word) < 3 or "'" in word:
                continue
            unknown = UNLIKELY_WEIGHT if word.endswith(NOT_NOUNS) else UNKNOWN_WEIGHT
            weight = NAME_WEIGHT if named and not opens else unknown
        if named:
            if pieces[at + 1][0].isupper() and shown.get(after) == pieces[at + 1]:
                surname.setdefault(word, after)
            if not opens or word in shown:
                sure.add(word)
        else:
            if before in ARTICLES or before in POSSESSIVES:
                weight *= 1.5
            if after[0].isalpha() and WEIGHTS.get(after) != 0.0:
                weight *= 0.5
            if word not in nouns:
                nouns.add(word)
                determiner = before if before in POSSESSIVES else "the" if before in ARTICLES else ""
                shown[word] = f"{determiner} {word}".lstrip()
        shown.setdefault(word, piece)
        scores[word] = scores.get(word, 0.0) + weight * decay
    quoted = frozenset(re.findall(r"[^\W\d_]+", quotation.lower()))
    ranked = [word for word in sorted(scores, key=scores.__getitem__, reverse=True) if len(word) <= TOPIC_CHARS]
    ranked.sort(key=quoted.__contains__)  # what is quoted says itself
    thing = next((word for word in ranked if word in nouns), "")
    # No name that begins as the noun does: "the sailor" and "Sailors" are one topic.
    named = [word for word in ranked if word in sure - nouns and (not thing or word[:5] != thing[:5])]
    return shown.get(thing, ""), _whole_name(named, shown, surname)


def _whole_name(ranked: list[str], shown: dict[str, str], surname: dict[str, str]) -> str:
    """The first name, with the one that stood before or behind it."""
    if not ranked:
        return ""
    best = ranked[0]
    for word in ranked[1:]:
        if surname.get(best) == word:
            return f"{shown[best]} {shown[word]}"
        if surname.get(word) == best:
            return f"{shown[word]} {shown[best]}"
    return shown[best]
