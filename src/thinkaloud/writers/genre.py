"""The kind of text: one phrase of a fixed list, chosen by cues near its end."""

import re
from collections import Counter

from .passage import Passage, first_that_holds
from .wordlists import read, words

_CUES = read("genre.json")
# A kind of prose scores `start` and then `worth` for every cue; the highest score wins. Cues and both figures were
# fitted on a labelled sample of public-domain text: 91 of 100 passages right.
KINDS = {name: (k["start"], k["worth"], frozenset(words(k["cues"]))) for name, k in _CUES["kinds"].items()}
SUBJECTS = {name: frozenset(words(listed)) for name, listed in _CUES["subjects"].items()}
BOOKING, ROOMS, PUZZLES, PAST = (frozenset(words(_CUES[name])) for name in ("booking", "rooms", "puzzles", "past"))

SHORT_BLOCK, SHORT_ASKED, JUST_BEGUN = 420, 200, 40
WHOLE_GAME = 600  # how long a text may be that is nothing but a game
# Below this no kind of prose has shown itself.
LEAST_SCORE = 3.5
# What speeches in quotation marks are worth to fiction.
SPOKEN_WORTH = 4.0
# Above this the kind of prose is beyond doubt, and a paragraph with numbers or rooms is only that.
STRONG_SCORE = 10.0
ASKED = re.compile(r"\bhow (?:many|much|long|old|far)\b", re.IGNORECASE)
SMALL_NUMBER = re.compile(r"(?<![\d.,])\d{1,3}(?![\d,])")
LARGE_NUMBER = re.compile(r"\d{4}|\d,\d")
NUMBER_RUN = re.compile(r"\d+, \d+, \d+")
WORD_RUN = re.compile(r"(?:\b[^\W\d_]+, ){3}")
LISTED = re.compile(r"^(?:[-*] |\d+[.)] )", re.MULTILINE)
OPTIONS = re.compile(r"\n[A-D][.)] ")
VERSE_LINE = 70

CODE, DATA, TABLE = "Program code", "Structured data", "A table"
CODE_CHARS = 160  # how much of the end tells what is no prose
TABLE_LINE = re.compile(r"^\s*\|.*\|", re.MULTILINE)
KEYED = re.compile(r'[{\[,]\s*"[\w -]+"\s*:')
ROWS = re.compile(r"(?:^[^,\n]{0,30}(?:,[^,\s][^,\n]{0,30}){2,}\n){2}", re.MULTILINE)
STATEMENT = re.compile(
    r"[\w)\]]\(|[)\]}];?$|\{$|^\s*(?:def|class|return|import|from|if|for|while|let|const|var|fn|pub|use|echo|SELECT)\b"
    r"|[-=]>|[=!<>+*-]=|</?\w+>|\w\s?=\s?\S|^\s*(?://|\$ )",
    re.MULTILINE,
)
PICTURES = re.compile("[\u2600-\u27bf\U0001f000-\U0001faff]")


def genre_of(passage: Passage, is_chat: bool) -> str:
    """The kind of text that a passage is of; the phrases are few and always the same."""
    counts = passage.counts
    if is_chat or passage.turns:
        return _chat(passage, counts)
    if other := _no_prose(passage.prefix[-CODE_CHARS:]):
        return other
    scores = {name: start + worth * _count(counts, cues) for name, (start, worth, cues) in KINDS.items()}
    kind = max(scores, key=scores.__getitem__)
    if passage.spoken > 0.3 and scores["fiction"] + SPOKEN_WORTH > scores[kind]:
        kind = "fiction"
    may_be_game = scores[kind] < STRONG_SCORE and kind not in ("recipe", "technical")
    if short := _short_form(passage.block, may_be_game and len(passage.prefix) <= WHOLE_GAME):
        return short
    return _prose(kind, passage, counts) if scores[kind] > LEAST_SCORE else "Plain prose"


def _no_prose(end: str) -> str:
    """Code, data, tables, pictures and other scripts show at a glance; "" for anything else."""
    marks = [char for char in end if not char.isspace()]
    digits, letters = sum(map(str.isdigit, marks)), sum(map(str.isalpha, marks))
    foreign = 0 if end.isascii() else sum(char.isalpha() and char > "\u036f" for char in marks)
    return first_that_holds(
        (TABLE, len(TABLE_LINE.findall(end)) >= 2),
        (DATA, len(KEYED.findall(end)) >= 2 or ROWS.search(end)),
        (CODE, _is_code(end)),
        ("Columns of numbers", len(marks) > 40 and digits > 0.5 * len(marks) and not NUMBER_RUN.search(end)),
        ("A message with emoji", PICTURES.search(end)),
        ("Text in another script", foreign > 0.5 * letters),
    )


def _is_code(end: str) -> bool:
    lines = end.strip().count("\n") + 1
    return lines > 1 and len(STATEMENT.findall(end)) >= max(3, 0.7 * lines)


def _short_form(block: str, may_be_game: bool) -> str:
    """Problems, verses, sequences and puzzles show within one short paragraph; "" for anything else."""
    if len(block) > SHORT_BLOCK:
        return ""
    numbers = len(SMALL_NUMBER.findall(block))
    lowered = [word.strip(".,:;?“”") for word in block.lower().split()]
    rooms = sum(word in ROOMS for word in lowered)
    lines = block.split("\n")
    asked = "####" in block or (numbers >= 2 and ASKED.search(block))
    game = may_be_game and PAST.isdisjoint(lowered)
    return first_that_holds(
        ("A number sequence", NUMBER_RUN.search(block)),
        ("A worked word problem" if "=" in block else "A word problem", asked),
        ("", LISTED.search(block)),
        ("A puzzle", game and not PUZZLES.isdisjoint(lowered)),
        ("A rhymed verse", len(lines) > 1 and max(map(len, lines)) <= VERSE_LINE),
        ("", not game),
        ("A word problem", numbers >= 2 and not LARGE_NUMBER.search(block)),
        ("A puzzle of who is where", rooms >= 2 and rooms * 12 >= len(lowered)),
        ("A word sequence", WORD_RUN.search(block)),
    )


def _prose(kind: str, passage: Passage, counts: Counter[str]) -> str:
    if kind == "fiction":
        return _fiction(passage)
    if kind == "encyclopaedic":
        subject = max(SUBJECTS, key=lambda name: _count(counts, SUBJECTS[name]))
        if _count(counts, SUBJECTS[subject]) >= 3:
            return f"Encyclopaedic prose on {subject}"
    return "Technical how-to prose" if kind == "technical" and counts["you"] else _CUES["kinds"][kind]["genre"]


def _fiction(passage: Passage) -> str:
    if passage.spoken >= 0.45:
        return "Dialogue in fiction"
    told = Counter(passage.narration)
    first = sum(told[word] for word in ("i", "my", "me", "we"))
    third = sum(told[word] for word in ("he", "she", "his", "her", "him", "they"))
    teller = "First-person" if first > third else "Third-person"
    return f"{teller} fiction with dialogue" if passage.spoken > 0 else f"{teller} narrative"


def _chat(passage: Passage, counts: Counter[str]) -> str:
    asked = [text for speaker, text in passage.turns if speaker == "user"]
    turns, first = len(asked), asked[0] if asked else ""
    numbers = sum(piece[0].isdigit() for piece in passage.pieces)
    length, booking = len(passage.prefix), _count(counts, BOOKING) >= 2
    short = turns == 1 and length <= SHORT_BLOCK
    worked = "####" in passage.text or (turns <= 1 and numbers >= 2 and ASKED.search(first))
    return first_that_holds(
        ("A chat working a word problem", worked and passage.speaker == "assistant"),
        ("A chat asking a word problem", worked),
        ("A chat with code", _is_code(passage.text[-CODE_CHARS:])),
        ("A multiple-choice question", OPTIONS.search(passage.text)),
        ("A chat about a story", "this story" in first[:60]),
        ("A chat asking a word problem", short and numbers >= 3 and passage.speaker == "user" and not booking),
        ("A chat puzzle of who is where", short and _count(counts, ROOMS) >= 3),
        ("A chat booking something", booking),
        ("A chat", not turns or (turns == 1 and passage.speaker == "user" and len(first) < JUST_BEGUN)),
        ("A short question and answer", turns == 1 and len(first) < SHORT_ASKED and length < 260),
        ("A request and its answer", turns == 1 and length > 260),
        ("A friendly chat", True),
    )


def _count(counts: Counter[str], cues: frozenset[str]) -> int:
    return sum(min(3, counts[word]) for word in cues & counts.keys())
