"""The current clause: its kind, subject, verb and last words."""

from .genre import CODE, DATA, TABLE
from .passage import ABBREVIATIONS, IS_MARKER, ROLES, Passage, first_that_holds, role_of
from .wordlists import SETS

QUOTED_WORDS = 8
QUOTED_CHARS = 60
WORD_CHARS = 16

SUBORDINATORS, INVERTED = SETS["subordinators"], SETS["inverted"]
VERBAL = frozenset(["verb", "auxiliary"])
BREAKS = frozenset(",;:—(")
MODIFIERS = frozenset(["article", "possessive", "determiner", "adjective", "number word"])
LEADING_ROLES = MODIFIERS | {"preposition"}
WHERE = {CODE: "In a line of code", DATA: "In an entry", TABLE: "In a row of cells"}
UNQUOTED = str.maketrans("", "", '“”"<>|')


def clause_line(passage: Passage, genre: str) -> str:
    """The second feature: ``In speech, midway in a when-clause, subject boat, verb comes: "out of the old"``

    A subject that the quotation holds is not named again.
    """
    quotation = last_words(passage.text)
    if genre in WHERE:  # no clauses there
        parts = [WHERE[genre]]
    else:
        start = _clause_start(passage.lower, passage.sentence)
        parts = [_container(passage, genre), _place_and_kind(passage, start)]
        subject, verb = _subject_and_verb(passage, start)
        if subject and subject not in quotation.split():
            parts += [f"subject {subject[:WORD_CHARS]}", f"verb {verb[:WORD_CHARS]}" if verb else "verb to come"]
    line = ", ".join(filter(None, parts)) + (f': "{quotation}"' if quotation else ".")
    return line[0].upper() + line[1:]


def last_words(text: str) -> str:
    """The last few words of the paragraph as they stand, without double quotes or chat markers."""
    tail = text[-3 * QUOTED_CHARS :].rstrip()
    tail = tail[tail.rfind("\n\n") + 1 :]
    if "<" in tail:
        tail = IS_MARKER.split(tail)[-1]
    last = tail.translate(UNQUOTED).split()[-QUOTED_WORDS:]
    while len(last) > 1 and sum(map(len, last)) + len(last) > QUOTED_CHARS:
        del last[0]
    return " ".join(last)[-QUOTED_CHARS:]


def _clause_start(lower: list[str], sentence: int) -> int:
    """Where the current clause begins: at its subordinator, after its comma or dash, or with the sentence."""
    for at in range(len(lower) - 1, sentence - 1, -1):
        if lower[at] in SUBORDINATORS:
            return at
        if lower[at] in BREAKS and at + 1 < len(lower):
            return at + 1
    return sentence


def _container(passage: Passage, genre: str) -> str:
    """What the clause stands in; "" for running text."""
    before, _, line = passage.text.rpartition("\n")
    above = before.rpartition("\n")[2].split()[-1:]
    rhyme = "".join(above).strip(".,;:!?”'—")[:WORD_CHARS]
    return first_that_holds(
        ("between turns", not passage.speaker and passage.lower and passage.lower[-1].startswith("<|")),
        (
            f"in a line below {rhyme}" if rhyme else "in a line of verse",
            "verse" in genre and before and not before.endswith("\n"),
        ),
        ("in speech", passage.in_speech),
        (f"the {passage.speaker}", passage.speaker),
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


def _subject_and_verb(passage: Passage, start: int) -> tuple[str, str]:
    """The clause's subject and its latest verb so far, each "" where none is seen."""
    pieces, lower = passage.pieces, passage.lower
    subject, verb = "", ""
    for at in range(start, len(lower)):
        word = lower[at]
        if not word[0].isalpha():
            continue
        if subject:
            verb = word if role_of(word) in VERBAL else verb
        elif _may_be_subject(pieces, lower, at, start) and not _governed(lower, at, start):
            named = word == "i" or (word not in ROLES and pieces[at][0].isupper())
            subject = pieces[at] if named else word
    return subject, verb


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
