"""How a text is put: its language, register, tense and person, and the numbers in it."""

import re
from collections.abc import Iterator, Mapping

from .claims import Claim
from .genre import CODE, DATA, TABLE
from .passage import Passage, first_that_holds
from .wordlists import SETS, read, words

NO_PROSE = (CODE, DATA, TABLE)
_CUES = read("style.json")
PROGRAMMING = {name: re.compile(pattern, re.MULTILINE) for name, pattern in _CUES["programming"].items()}
SPOKEN = {name: frozenset(words(listed)) for name, listed in _CUES["spoken"].items()}
LEAST_FOREIGN = "\u0370"
SCRIPTS = [(name, int(start, 16), int(end, 16)) for name, start, end in _CUES["scripts"]]

RECENT = 100  # pieces that register and tense are judged by
SAMPLE = 15  # words below which neither is
TENSES = ("past", "present", "future")
TENSE_OF = {word: tense for tense in reversed(TENSES) for word in SETS[tense]}
ARCHAIC, STATED = SETS["archaic"], SETS["articles"] | SETS["possessives"] | SETS["be"]
PERSONS = {name: words(listed) for name, listed in _CUES["persons"].items()}
COUNTS = {2: "two numbers", 3: "three numbers"}
CLOCK = re.compile(r"(?:[ap]m?|o'clock)\Z", re.IGNORECASE)


def style(passage: Passage, genre: str) -> Iterator[Claim]:
    """Language, how near the beginning, register, tense and person, each where the text leaves no doubt."""
    if language := language_of(passage, genre):
        yield Claim("language", language)
    if near := beginning_of(passage):
        yield Claim("beginning", near)
    if language or genre in NO_PROSE:
        return
    recent = [piece for piece in passage.lower[-RECENT:] if piece[0].isalpha()]
    if len(recent) >= SAMPLE:
        yield from (Claim("register", one) for one in (_register(recent),) if one)
        yield from (Claim("tense", one) for one in (_tense(recent),) if one and genre != "A recipe")
    if person := _person(passage.counts):
        yield Claim("person", person)


def beginning_of(passage: Passage) -> str:
    """How near the text's beginning its end is; "" where it is not near."""
    pieces = len(passage.pieces)
    return "" if len(passage.prefix) > 120 or pieces > 16 else "the very" if pieces <= 3 else "near the"


def language_of(passage: Passage, genre: str) -> str:
    """The language of code, or the language or script of prose other than English; "" where it is not clear."""
    if genre == CODE:
        hits = {name: len(pattern.findall(passage.text)) for name, pattern in PROGRAMMING.items()}
        first, second = sorted(hits, key=hits.__getitem__, reverse=True)[:2]
        return first if hits[first] >= 2 and hits[first] > hits[second] else ""
    end = "" if passage.text.isascii() else [char for char in passage.text[-60:] if char.isalpha()]
    if end and max(end) >= LEAST_FOREIGN:
        for name, low, high in SCRIPTS:
            if sum(low <= ord(char) <= high for char in end) * 2 > len(end):
                return name
    recent = set(passage.lower[-30:])
    shared = {name: len(cues & recent) for name, cues in SPOKEN.items()}
    best = max(shared, key=shared.__getitem__)
    return best if shared[best] >= 4 else ""


def quantities(passage: Passage, quotation: str) -> Iterator[Claim]:
    """How many numbers there are, and the last one before those that are quoted, with what it counts.

    The numbers of a list's items are no numbers.
    """
    pieces = passage.pieces
    numbers = [
        at
        for at, piece in enumerate(pieces)
        if piece[0].isdigit() and not (at and pieces[at - 1][0] == "\n" and pieces[at + 1 : at + 2] == ["."])
    ]
    if len(numbers) < 2:
        return
    yield Claim("quantity", COUNTS.get(len(numbers), "several numbers" if len(numbers) < 8 else "many numbers"))
    for at in reversed(numbers):
        number = pieces[at].replace(",", "")
        if len(number) < 10 and pieces[at] not in quotation:
            unit = _unit(pieces, at)
            yield Claim("number", f"{number} as {unit}" if unit else number)
            return


def _unit(pieces: list[str], at: int) -> str:
    number, before = pieces[at], pieces[at - 1] if at else " "
    after, behind = [*pieces[at + 1 : at + 3], " ", " "][:2]
    return first_that_holds(
        ("a price", before in "$£€" or after in ("dollars", "euros", "cents") or after == "$"),
        ("a percentage", after in ("%", "percent")),
        ("a time", (after == ":" and behind.isdigit()) or CLOCK.match(after)),
        ("a year", len(number) == 4 and number.isdigit() and "1000" < number < "2100"),
    )


def _register(recent: list[str]) -> str:
    contracted = sum("'" in word and word[-2:] != "'s" for word in recent)
    length = sum(map(len, recent)) / len(recent)
    return first_that_holds(
        ("archaic", sum(word in ARCHAIC for word in recent) >= 2),
        ("conversational", contracted >= 0.05 * len(recent)),
        ("formal", length > 5.4 and not contracted),
        ("plain", length < 3.9 and not contracted),
    )


def _tense(recent: list[str]) -> str:
    counts: dict[str, int] = dict.fromkeys(TENSES, 0)
    parts, before = 0, ""  # forms in -ed, which may be adjectives
    for word in recent:
        if tense := TENSE_OF.get(word):
            counts[tense] += 1
        elif word[-2:] == "ed" and len(word) > 4 and before not in STATED:
            parts += 1
        before = word
    counts["past"] += min(parts, 2 * counts["past"])
    best = max(counts, key=counts.__getitem__)
    return best if counts[best] >= 3 and counts[best] > 0.7 * sum(counts.values()) else ""


def _person(counts: Mapping[str, int]) -> str:
    """The person whose pronouns stand there most, where they stand there often."""
    persons = {name: sum(counts[word] for word in forms if word in counts) for name, forms in PERSONS.items()}
    first, second = sorted(persons.values(), reverse=True)[:2]
    return max(persons, key=persons.__getitem__) if first >= 3 and first >= 1.5 * second else ""
