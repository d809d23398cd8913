"""The current clause and its last words, and who acted on whom before them."""

import re
from collections.abc import Iterator

from .claims import Claim
from .genre import CODE, DATA, TABLE
from .passage import ABBREVIATIONS, IS_MARKER, ROLES, Passage, first_that_holds, role_of
from .wordlists import SETS

QUOTED_WORDS = 10
QUOTED_CHARS = 72
WORD_CHARS = 20
CLAUSES = 6  # how many clauses back one is looked for that says who acts
ACTION_PIECES = 90
OPENING_WORDS, OPENING_CHARS = 3, 32

SUBORDINATORS, INVERTED = SETS["subordinators"], SETS["inverted"]
VERBAL = frozenset(["verb", "auxiliary"])
BETWEEN_VERBS = frozenset(["adverb", "negation"])
HELPING = BETWEEN_VERBS | {"auxiliary"}
BREAKS = frozenset(",;:—(")
SENTENCE_ENDS = frozenset([".", "!", "?", "“", "”", "\n", "\n\n"])
MODIFIERS = frozenset(["article", "possessive", "determiner", "adjective", "number word"])
LEADING_ROLES = MODIFIERS | {"preposition"}
WHERE = {CODE: "in a line of code", DATA: "in an entry", TABLE: "in a row of cells"}
UNQUOTED = str.maketrans({**dict.fromkeys("<>|", None), **dict.fromkeys('"“”', "'")})
BREAK = re.compile(r"\s*\n\s*")
NOBODY = SETS["subjects"] | SETS["pointers"]
NAMING = ("subject", "verb", "object")


def clause(passage: Passage, genre: str) -> Iterator[Claim]:
    """What the end stands in, and where: ``in speech``, ``midway in a when-clause``; code and data have only lines."""
    if genre in WHERE:
        yield Claim("container", WHERE[genre])
        return
    if container := _container(passage, genre):
        yield Claim("container", container)
    start = max(_clause_starts(passage.lower, passage.sentence), default=passage.sentence)
    yield Claim("clause", _place_and_kind(passage, start))


def last_words(text: str) -> str:
    """The last few words of a text or of its last turn as they stand, breaks as slashes, without double quotes."""
    tail = text[-3 * QUOTED_CHARS :].rstrip()
    if "<" in tail:
        tail = next((part for part in reversed(IS_MARKER.split(tail)) if part.strip()), "").strip()
    last = BREAK.sub(" / ", tail.translate(UNQUOTED)).split()[-QUOTED_WORDS:]
    while len(last) > 1 and sum(map(len, last)) + len(last) > QUOTED_CHARS:
        del last[0]
    return " ".join(last).removeprefix("/ ")[-QUOTED_CHARS:]


def action(passage: Passage, quotation: str) -> Iterator[Claim]:
    """Who acts on whom in the last clause before the quotation that says so, and how the current sentence begins.

    A clause whose subject the quotation holds is not told again.
    """
    pieces, lower = passage.pieces, passage.lower
    quoted = set(quotation.lower().replace(",", " ").split())
    end = len(lower)
    for number, start in enumerate(_clause_starts(lower, max(0, end - ACTION_PIECES))):
        if number == CLAUSES:
            return
        found = _who_acts(pieces, lower, start, end)
        end = start
        if found and found[0].lower() not in quoted and found[0] not in NOBODY:
            yield from (Claim(kind, word) for kind, word in zip(NAMING, found, strict=True) if word)
            return


def opening(passage: Passage, quotation: str) -> Iterator[Claim]:
    """How the current sentence begins, where that is before the quotation."""
    words = [piece for piece in passage.pieces[passage.sentence :] if piece[0].isalnum()]
    if len(words) > len(quotation.split()) + OPENING_WORDS:
        yield Claim("opening", " ".join(words[:OPENING_WORDS])[:OPENING_CHARS].rstrip())


def _clause_starts(lower: list[str], first: int) -> Iterator[int]:
    """Where clauses begin, from the last back to `first`: at a subordinator, behind a comma, a dash or a sentence."""
    for at in range(len(lower) - 1, first - 1, -1):
        if lower[at] in SUBORDINATORS or at == first:
            yield at
        elif (lower[at] in BREAKS or lower[at] in SENTENCE_ENDS) and at + 1 < len(lower):
            yield at + 1


def _container(passage: Passage, genre: str) -> str:
    """What the clause stands in; "" for running text."""
    before, _, line = passage.text.rpartition("\n")
    above = before[before.rfind("\n") + 1 :].strip(".,;:!?”'—").rpartition(" ")[2]
    return first_that_holds(
        ("between turns", passage.turns and not passage.speaker),
        (f"in a line below {above}", "verse" in genre and above.isalpha()),
        ("in speech", passage.in_speech),
        ("in a list item", line[:2] in ("- ", "* ") or (line[:1].isdigit() and line[1:3] == ". ")),
        ("in brackets", line.rfind("(") > line.rfind(")")),
        ("between speeches", passage.spoken > 0.3),
    )


def _place_and_kind(passage: Passage, start: int) -> str:
    so_far = sum(piece[0].isalnum() for piece in passage.lower[passage.sentence :])
    if so_far <= 2:
        after_break = passage.sentence > 0 and passage.lower[passage.sentence - 1][0] == "\n"
        return f"{'opening' if so_far else 'before'} a new {'paragraph' if after_break else 'sentence'}"
    place = "early in" if so_far <= 8 else "midway in" if so_far <= 20 else "late in"
    return f"{place} {_kind(passage.lower, start, start == passage.sentence)}"


def _kind(lower: list[str], start: int, whole: bool) -> str:
    word, following = lower[start], "".join(lower[start + 1 : start + 2])
    asks = word in INVERTED or (word in SETS["question words"] and following in INVERTED)
    return first_that_holds(
        ("a list", lower[-9:].count(",") >= 2),
        ("a question", whole and asks),
        ("a main clause", whole and (word == "that" or word not in SUBORDINATORS)),
        (f"{'an' if word[0] in 'aiu' else 'a'} {word}-clause", word in SUBORDINATORS),
        (f"a clause joined by {word}", word in ("and", "but", "or")),
        ("a further clause", True),
    )


def _who_acts(pieces: list[str], lower: list[str], start: int, end: int) -> tuple[str, str, str] | None:
    """A clause's subject, first group of verbs and object, "" where it has none; None if that tells nothing."""
    subject, at = "", start
    while at < end and not subject:
        word = lower[at]
        if word[0].isalpha() and _may_be_subject(pieces, lower, at, start) and not _governed(lower, at, start):
            subject = pieces[at] if word not in ROLES and pieces[at][0].isupper() else word
        at += 1
    group: list[str] = []
    while at < end and _goes_on(group, lower[at]):
        group.append(lower[at])
        at += 1
    while group and role_of(group[-1]) in BETWEEN_VERBS:
        group.pop()
    if not subject or not group or group[0].endswith("ing"):
        return None
    verb, thing = " ".join(group[-3:]), _object(pieces, lower, at, end)
    told = thing or role_of(group[-1]) != "auxiliary"
    return (subject, verb, thing) if told and max(len(subject), len(verb), len(thing)) <= WORD_CHARS else None


def _goes_on(group: list[str], word: str) -> bool:
    """Whether a word belongs to a group of verbs: behind an auxiliary any word that no list knows does."""
    role = role_of(word)
    if not group:
        return role in VERBAL
    helped = role == "noun" and word not in ROLES and word[0].isalpha() and role_of(group[-1]) in HELPING
    return role in VERBAL or role in BETWEEN_VERBS or helped


def _object(pieces: list[str], lower: list[str], start: int, end: int) -> str:
    """The noun or name that a verb before `start` has for its object."""
    for at in range(start, end):
        role = role_of(lower[at])
        if not lower[at][0].isalpha() or role not in MODIFIERS | {"noun", "pronoun"}:
            return ""
        if role == "pronoun":
            return "" if lower[at] in NOBODY else lower[at]
        ends = at + 1 == len(lower) or not lower[at + 1][0].isalpha() or role_of(lower[at + 1]) != "noun"
        if role == "noun" and ends:
            return pieces[at] if lower[at] not in ROLES and pieces[at][0].isupper() else lower[at]
    return ""


def _may_be_subject(pieces: list[str], lower: list[str], at: int, start: int) -> bool:
    """A pronoun, a name, or a noun that is known or introduced, at the end of its phrase."""
    word, following = lower[at], lower[at + 1] if at + 1 < len(lower) else "."
    if word in SETS["subjects"]:
        return True
    if word in SETS["pointers"]:
        return (at > start or word not in SUBORDINATORS) and role_of(following) in VERBAL
    known, role = ROLES.get(word), role_of(word)
    if known is None and pieces[at][0].isupper() and role == "noun" and word not in ABBREVIATIONS:
        return not (following[0].isalpha() and pieces[at + 1][0].isupper())
    if known == "noun" or (role == "noun" and at and role_of(lower[at - 1]) in LEADING_ROLES):
        return not following[0].isalpha() or role_of(following) != "noun"
    return False


def _governed(lower: list[str], at: int, start: int) -> bool:
    """Whether a preposition stands before the noun phrase that ends at ``at``."""
    roles = map(role_of, reversed(lower[max(start, at - 5) : at]))
    return next((role for role in roles if role not in MODIFIERS), "") == "preposition"
