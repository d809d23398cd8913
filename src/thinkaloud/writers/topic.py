"""What is the text about? The most telling of its recent nouns and names, woven into one phrase."""

from .passage import ENDINGS, ROLES, Passage
from .wordlists import NOUNS, words

TOPIC_CHARS = 18
# What a word is worth shrinks by this for every piece, and by that for every paragraph, that comes after it.
PIECE_DECAY = 0.5 ** (1 / 60)
PARAGRAPH_DECAY = 0.8

DULL = words("""
    time way thing things part side course moment end kind sort case matter number point means bit fact place name
    example form term value result reason amount others order back line top front rest sense minute minutes hour
    o'clock chapter mr mrs miss sir dr monsieur madame it's
""")
# Rare words tell most: a noun weighs more the later it stands in the list, and most where no list holds it.
WEIGHTS: dict[str, float] = dict.fromkeys(ROLES, 0.0)
WEIGHTS.update((noun, 0.35 + 0.65 * min(1.0, rank / 900)) for rank, noun in enumerate(NOUNS))
WEIGHTS.update(dict.fromkeys(DULL, 0.0))
NAME_WEIGHT, UNKNOWN_WEIGHT, UNLIKELY_WEIGHT = 1.0, 0.55, 0.2
NOT_NOUNS = tuple(ending for _, endings in ENDINGS for ending in endings)

POSSESSIVES = frozenset(words("his her my your our their its"))
ARTICLES = frozenset(words("the a an this that these those each every some any no another"))
OPENERS = frozenset(".!?“”:\n-*<")


def topic_line(passage: Passage, genre: str, most: int) -> str:
    """The first feature: ``Third-person narrative, about the captain, his harbour and the storm.``"""
    topics = topics_of(passage, most)
    if not topics:
        return f"{genre}, its topic still open."
    if len(topics) == 1:
        return f"{genre}, about {topics[0]}."
    return f"{genre}, about {', '.join(topics[:-1])} and {topics[-1]}."


def topics_of(passage: Passage, most: int) -> list[str]:
    """The ``most`` telling nouns and names, best first, as they last stood: ``his harbour``, ``Laura``."""
    pieces, lower = passage.pieces, passage.lower
    scores: dict[str, float] = {}
    shown: dict[str, str] = {}
    surname: dict[str, str] = {}
    decay = 1.0
    # The final word is left to the last line: it may be a piece of a word.
    for at in range(len(pieces) - 2, -1, -1):
        decay *= PIECE_DECAY
        word = lower[at]
        weight = WEIGHTS.get(word)
        if weight == 0.0:
            continue
        if not word[0].isalpha():
            if word[0] == "\n":
                decay *= PARAGRAPH_DECAY
            continue
        piece, before, after = pieces[at], lower[at - 1] if at else ".", lower[at + 1]
        if word.endswith("'s"):
            word, piece = word[:-2], piece[:-2]
            weight = WEIGHTS.get(word)
            if weight == 0.0:
                continue
        named = piece[0].isupper() and (weight is None or before[0] not in OPENERS)
        if weight is None:
            if len(word) < 3 or "'" in word:
                continue
            if named and before[0] not in OPENERS:
                weight = NAME_WEIGHT
            else:
                weight = UNLIKELY_WEIGHT if word.endswith(NOT_NOUNS) else UNKNOWN_WEIGHT
        if named:
            if pieces[at + 1][0].isupper() and shown.get(after) == pieces[at + 1]:
                surname.setdefault(word, after)
        else:
            if before in ARTICLES or before in POSSESSIVES:
                weight *= 1.5
            if after[0].isalpha() and WEIGHTS.get(after) != 0.0:
                weight *= 0.5
        if word not in scores:
            scores[word] = 0.0
            shown[word] = piece if named else _with_determiner(word, before)
        scores[word] += weight * decay
    return _choose(scores, shown, surname, most)


def _with_determiner(word: str, before: str) -> str:
    if before in POSSESSIVES:
        return f"{before} {word}"
    return f"the {word}" if before in ARTICLES else word


def _choose(scores: dict[str, float], shown: dict[str, str], surname: dict[str, str], most: int) -> list[str]:
    """The best words, no two alike; a name takes its surname along."""
    chosen: dict[str, str] = {}
    taken: set[str] = set()
    for word in sorted(scores, key=scores.__getitem__, reverse=True):
        if len(chosen) == most:
            break
        if len(word) > TOPIC_CHARS or word[:5] in taken:
            continue
        taken.add(word[:5])
        partner = next((name for name in chosen if surname.get(name) == word or surname.get(word) == name), None)
        if partner is None:
            chosen[word] = shown[word]
        elif " " not in chosen[partner]:
            pair = (partner, word) if surname.get(partner) == word else (word, partner)
            chosen[partner] = f"{shown[pair[0]]} {shown[pair[1]]}"
    return list(chosen.values())
