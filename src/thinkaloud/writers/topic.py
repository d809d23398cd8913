"""What kind of text is this, and about what? A genre from a fixed list, and a phrase of its most telling words."""

import re
from collections import Counter

from .passage import ROLES, Passage
from .wordlists import NOUNS

TOPIC_CHARS = 18
# A word counts half as much as one that stands this many pieces later.
HALF_LIFE = 60.0

_DULL = frozenset(
    "time way thing things part side course moment end kind sort case matter number point means bit fact place name"
    " example form term value result reason amount others order back line top front rest sense minute minutes hour"
    " o'clock chapter mr mrs miss sir dr".split()
)
WEIGHTS: dict[str, float] = dict.fromkeys(ROLES, 0.0)
WEIGHTS.update((noun, 0.35 + 0.65 * min(1.0, rank / 900)) for rank, noun in enumerate(NOUNS))
WEIGHTS.update(dict.fromkeys(_DULL, 0.0))

DECAY = tuple(0.5 ** (age / HALF_LIFE) for age in range(2000))
POSSESSIVES = frozenset("his her my your our their its".split())
ARTICLES = frozenset("the a an this that these those each every some any no another".split())
OPENERS = frozenset(".!?“”:\n-*")

CUES: dict[str, frozenset[str]] = {
    "recipe": frozenset(
        "cup cups tsp tbsp teaspoon teaspoons tablespoon tablespoons oven butter flour sugar salt pepper garlic onion oil bake"
        " stir simmer boil sauce pan pot dough ingredients directions servings cook minced chopped ml grams preheat".split()
    ),
    "technical": frozenset(
        "code function functions python module modules object objects type types method methods variable variables string"
        " strings compiler syntax command commands cmdlet file files parameter parameters server script api class"
        " powershell rust interface value values implementation error errors library package software data user".split()
    ),
    "public": frozenset(
        "agency agencies federal digital website websites users content government team services social media design"
        " project research customer usability gov web mobile gsa open source community blog program public".split()
    ),
    "speech": frozenset(
        "nation nations congress america american americans freedom peace citizens government liberty constitution"
        " union security tonight country president democracy prosperity must our we people world".split()
    ),
    "encyclopaedic": frozenset(
        "century known war population empire species century centuries bc ad city region called term theory including"
        " such was were founded established large several most found used between early period history world system"
        " language form first also are during as by began became".split()
    ),
    "booking": frozenset(
        "appointment reservation book booking restaurant hotel flight ticket tickets table order available confirm"
        " reserve address phone price movie song playing weather balance account transfer bus train coffee latte".split()
    ),
}
SUBJECTS: dict[str, frozenset[str]] = {
    "history": frozenset(
        "king kings queen emperor dynasty empire war wars army battle troops military reign ruled conquest century"
        " treaty colonial soldiers kingdom revolution invasion".split()
    ),
    "places": frozenset(
        "city town island river rivers mountains coast capital population region sea lake climate north south east west"
        " border area tourism airport railway located province".split()
    ),
    "nature": frozenset(
        "species animals animal plants plant birds fish cells cell genus insects trees food water habitat evolution"
        " eggs predators bacteria protein leaves soil".split()
    ),
    "science": frozenset(
        "energy particles theory atoms physics chemical mathematics quantum mass equation temperature electrons light"
        " numbers function space stars planet measurement elements metal acid scientific".split()
    ),
    "religion": frozenset(
        "god church religious christian jesus bible saint pope islam muslim jewish buddhist hindu temple faith prayer"
        " gods holy christianity catholic".split()
    ),
    "the arts": frozenset(
        "music song songs album band film films novel poetry poem art artist painting theatre literature opera writer"
        " published character characters fiction".split()
    ),
    "society": frozenset(
        "law court government political party election rights president parliament policy state social women economy"
        " economic trade education school university market tax constitution".split()
    ),
    "sport": frozenset(
        "team teams league players player game games season football match club olympic cup ball won".split()
    ),
    "health": frozenset(
        "disease patients medical treatment drug drugs symptoms blood doctors hospital brain cancer".split()
    ),
    "machines": frozenset(
        "computer computers software machine machines engine engines device devices aircraft ship vehicle vehicles network"
        " internet electric systems technology".split()
    ),
}
OPTIONS = re.compile(r"\n[A-D][.)] ")
ASKED = re.compile(r"\bhow (?:many|much|long|old|far)\b", re.IGNORECASE)
NUMBER_RUN = re.compile(r"(?:\d+(?:\.\d+)?[,;]?\s+){3,}\d*[,;]?\s*$")
WORD_RUN = re.compile(r"(?:[^\W\d_]+, ){4,}[^\W\d_]*,?\s*$")
VERSE = re.compile(r"(?:^|\n)([A-Z][^\n]{12,60}[^.\n])\n(?!\n)([A-Z][^\n]{0,60})$")
LIST_LINE = re.compile(r"(?:^|\n)(?:[-*]|\d+[.)]) [^\n]*$")


def genre_of(passage: Passage, prefix: str, is_chat: bool) -> str:
    """One phrase of a fixed list for the kind of text, chosen by cues near the end of ``prefix``."""
    counts = Counter(passage.lower)
    if is_chat or passage.speaker:
        return _chat_genre(passage, prefix, counts)
    if _is_word_problem(passage):
        return "A word problem, worked" if "=" in counts else "A word problem"
    if VERSE.search(passage.text):
        return "Rhymed verse"
    if NUMBER_RUN.search(passage.text):
        return "A number sequence"
    if WORD_RUN.search(passage.text):
        return "A word sequence"
    cues = {genre: _count(counts, words) for genre, words in CUES.items()}
    pronouns = Counter(passage.narration)
    first = pronouns["i"] + pronouns["my"] + pronouns["me"]
    third = pronouns["he"] + pronouns["she"] + pronouns["his"] + pronouns["her"] + pronouns["him"] + pronouns["said"]
    words = max(20, len(passage.lower))
    if cues["recipe"] >= 0.05 * words:
        return "A recipe"
    if passage.spoken >= 0.45:
        return "Dialogue in fiction"
    if passage.spoken < 0.1 and first + third <= 0.03 * words:
        factual = max(
            ("technical", "public", "speech", "encyclopaedic"), key=lambda genre: cues[genre] * FACTUAL[genre]
        )
        if cues[factual] * FACTUAL[factual] >= 0.05 * words:
            return _factual_genre(factual, counts, pronouns)
    if first + third < 0.015 * words and passage.spoken == 0:
        return (
            _factual_genre("encyclopaedic", counts, pronouns)
            if pronouns["you"] + pronouns["we"] == 0
            else "Plain prose"
        )
    told = "First-person" if first > third else "Third-person"
    return f"{told} fiction with dialogue" if passage.spoken > 0 else f"{told} narrative"


FACTUAL = {"technical": 1.3, "public": 1.0, "speech": 0.9, "encyclopaedic": 0.8}


def _factual_genre(kind: str, counts: Counter[str], pronouns: Counter[str]) -> str:
    if kind == "technical":
        return "Technical how-to prose" if pronouns["you"] else "Technical prose"
    if kind == "public":
        return "A post on public services"
    if kind == "speech":
        return "A political speech"
    subject = max(SUBJECTS, key=lambda name: _count(counts, SUBJECTS[name]))
    if _count(counts, SUBJECTS[subject]) < 2:
        return "Encyclopaedic prose"
    return f"Encyclopaedic prose on {subject}"


def _chat_genre(passage: Passage, prefix: str, counts: Counter[str]) -> str:
    if _is_word_problem(passage):
        return "A chat working a word problem" if passage.speaker == "assistant" else "A chat asking a word problem"
    if OPTIONS.search(passage.text):
        return "A multiple-choice question"
    if "story" in prefix[:60]:
        return "A chat about a story"
    if _count(counts, CUES["booking"]) >= 2:
        return "A chat booking something"
    return "A short question and answer" if len(prefix) < 260 else "A friendly chat"


def _is_word_problem(passage: Passage) -> bool:
    return "####" in passage.text or (
        ASKED.search(passage.text) is not None and sum(piece[0].isdigit() for piece in passage.pieces) >= 2
    )


def _count(counts: Counter[str], words: frozenset[str]) -> int:
    return sum(counts[word] for word in words & counts.keys())


def topics_of(passage: Passage, most: int) -> list[str]:
    """The ``most`` telling nouns and names, best first, each with its article or possessive: ``his harbour``."""
    pieces, lower = passage.pieces, passage.lower
    scores: dict[str, float] = {}
    shown: dict[str, str] = {}
    last = len(pieces) - 1
    for at in range(last):
        word = lower[at]
        weight = WEIGHTS.get(word)
        if weight == 0.0 or not word[0].isalpha():
            continue
        piece, before = pieces[at], lower[at - 1] if at else "."
        named = piece[0].isupper() and piece[-1] != "I"
        if named and before[0] in OPENERS and weight is not None:
            named = False
        if word.endswith("'s"):
            word, piece = word[:-2], piece[:-2]
            if WEIGHTS.get(word) == 0.0:
                continue
        if weight is None:
            if len(word) < 3 or "'" in word:
                continue
            weight = 1.0 if named else 0.25 if word.endswith(("ly", "ing", "ed")) else 0.7
        if not named:
            if before in ARTICLES or before in POSSESSIVES:
                weight *= 1.5
            after = WEIGHTS.get(lower[at + 1])
            if after != 0.0 and lower[at + 1][0].isalpha():
                weight *= 0.5
        scores[word] = scores.get(word, 0.0) + weight * DECAY[last - at]
        if before in POSSESSIVES:
            shown[word] = f"{before} {word}"
        elif named:
            shown[word] = piece
        elif before in ARTICLES:
            shown[word] = f"the {word}"
        else:
            shown.setdefault(word, word)
    chosen: list[str] = []
    for word in sorted(scores, key=lambda word: -scores[word]):
        if len(chosen) == most:
            break
        if len(word) <= TOPIC_CHARS and all(word[:5] != other[:5] for other in chosen):
            chosen.append(word)
    return [shown[word] for word in chosen]


def topic_line(passage: Passage, prefix: str, is_chat: bool, most: int) -> str:
    """The first feature: ``Third-person narrative, about the captain, his harbour and the storm.``"""
    genre = genre_of(passage, prefix, is_chat)
    topics = topics_of(passage, most)
    if not topics:
        return f"{genre}, its topic still open."
    if len(topics) == 1:
        return f"{genre}, about {topics[0]}."
    return f"{genre}, about {', '.join(topics[:-1])} and {topics[-1]}."
