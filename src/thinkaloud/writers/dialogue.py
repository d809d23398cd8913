"""A chat's last turns: who speaks in which turn, what was asked, and what the answer is doing so far."""

import re
from collections.abc import Iterator

from .claims import Claim
from .passage import PIECES, Passage, first_that_holds, role_of
from .topic import WEIGHTS
from .wordlists import FUNCTION, SETS

TURNS = ("first", "second", "third", "fourth")
ASKED_WORDS = 4
ASKED_CHARS = 600  # how far back in the other's turn a question is looked for
SENTENCE = re.compile(r"[^.!?\n]*[^.!?\s][^.!?\n]*[.!?]*")
ITEM = re.compile(r"^\s*(?:[-*]|\d+[.)]) ", re.MULTILINE)
HOW = (["many"], ["much"], ["long"], ["old"], ["far"])
NUMBERS = ("one", "two", "three", "four", "five")
BECAUSE = frozenset(["because", "since", "means", "therefore", "so", "thus"])


def dialogue(passage: Passage) -> Iterator[Claim]:
    """Speaker and turn, what the other asked, and for the assistant how the answer goes."""
    if not passage.turns:
        return
    turns = [turn for turn in passage.turns if turn[0]]
    speaker = passage.speaker
    if not speaker:
        if turns:
            yield from _asked(turns[-1:])
        return
    number = sum(who == speaker for who, _ in turns)
    yield Claim("speaker", speaker)
    yield Claim("turn", TURNS[number - 1] if number <= len(TURNS) else "later")
    yield from _asked([turn for turn in turns[-2:-1] if turn[0] != speaker])
    if speaker == "assistant":
        yield Claim("answer", answer_of(turns[-1][1]))


def _asked(turns: list[tuple[str, str]]) -> Iterator[Claim]:
    for who, text in turns:
        asked = [sentence for sentence in SENTENCE.findall(text[-ASKED_CHARS:]) if sentence.endswith("?")][-1:]
        if who == "user" and not asked:
            first = SENTENCE.findall(text[:ASKED_CHARS])[:1]
            asked = [sentence for sentence in first if _asks(sentence.split()[0].lower())]
        if asked and (words := _telling(asked[0])):
            yield Claim("question", words)


def _asks(word: str) -> bool:
    """Whether a sentence that begins with this word asks for something."""
    return word in SETS["requests"] or role_of(word) in ("verb", "question word")


def _telling(sentence: str) -> str:
    """A question or request in a few words: how it asks or what it wants done, and its most telling words."""
    pieces = [piece for piece in PIECES.findall(sentence.replace("’", "'")) if piece[0].isalnum()]
    lower = [piece.lower() for piece in pieces]
    first = next((at for at, word in enumerate(lower) if word in SETS["question words"]), None)
    keep = [] if sentence.endswith("?") else [0]
    if first is not None and not keep:
        keep = [first, first + 1] if lower[first] == "how" and lower[first + 1 : first + 2] in HOW else [first]
    worth = {at: _worth(word) for at, word in enumerate(lower) if at not in keep and lower.index(word) == at}
    best = sorted(worth, key=worth.__getitem__, reverse=True)[:ASKED_WORDS]
    telling = [at for at in best if worth[at]]
    return " ".join(lower[at] if at == 0 else pieces[at] for at in sorted([*keep, *telling]))[:60] if telling else ""


def _worth(word: str) -> float:
    """How much a word tells of a question: names and rare nouns most, function words nothing."""
    if word[0].isdigit():
        return 1.0
    if word in FUNCTION or len(word) == 1:
        return 0.0
    return 0.1 if word.endswith("ly") else (WEIGHTS[word] or 0.3) if word in WEIGHTS else 1.1


def answer_of(text: str) -> str:
    """What an answer is doing so far, one phrase of a fixed list."""
    words = [piece.lower() for piece in PIECES.findall(text.replace("’", "'")) if piece[0].isalnum()]
    if not words:
        return "not begun"
    items = len(ITEM.findall(text))
    sentences = len(SENTENCE.findall(text))
    opening = words[:4]
    return first_that_holds(
        ("giving code", "```" in text),
        ("calculating", "=" in text and any(word[0].isdigit() for word in words)),
        (f"listing item {NUMBERS[items - 1]}" if 0 < items <= len(NUMBERS) else "listing a later item", items),
        ("refusing", not SETS["refusals"].isdisjoint(opening)),
        ("saying yes", words[0] in SETS["yes"]),
        ("saying no", words[0] in SETS["no"]),
        ("asking back", text.rstrip().endswith("?")),
        ("just begun", len(words) <= 3),
        ("giving reasons", not BECAUSE.isdisjoint(words)),
        ("in one sentence", sentences == 1),
        ("in two sentences", sentences == 2),
        ("in several sentences", True),
    )
