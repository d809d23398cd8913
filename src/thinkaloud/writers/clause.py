"""What is the current clause doing: where it stands, of what kind it is, its subject and verb, its last words?"""

from .passage import ABBREVIATIONS, IS_MARKER, Passage, role_of

QUOTED_WORDS = 4
QUOTED_CHARS = 36
WORD_CHARS = 16

SUBORDINATORS = frozenset(
    "that which who whom whose when where while because if although though unless until till since as before after"
    " than whether whereas lest what how why".split()
)
ASKING = frozenset(
    "what why how who where when which is are was were do does did can could will would shall should have has am"
    " don't didn't can't won't isn't aren't".split()
)
BREAKS = frozenset(",;:—(")
SUBJECT_PRONOUNS = frozenset(
    "i you he she it we they this that these those there who which what everyone nobody".split()
)
AUXILIARIES = frozenset(
    "is was are were be been am has have had do does did will would can could shall should may might must isn't wasn't"
    " didn't don't couldn't wouldn't can't won't".split()
)


def clause_line(passage: Passage) -> str:
    """The second feature: ``In narration, early in a when-clause, subject he, verb came: "came out of the".``"""
    lower = passage.lower
    start = _clause_start(lower, passage.sentence)
    words = [at for at in range(passage.sentence, len(lower)) if lower[at][0].isalnum()]
    parts = [f"{_container(passage)}, {_place(passage, len(words))} {_kind(passage, start)}"]
    subject, verb = _subject_and_verb(passage, start)
    if subject:
        parts.append(f"subject {subject[:WORD_CHARS]}")
        parts.append(f"verb {verb[:WORD_CHARS]}" if verb else "verb to come")
    quotation = last_words(passage.text)
    return ", ".join(parts) + (f': "{quotation}".' if quotation else ".")


def last_words(text: str) -> str:
    """The last few words as they stand, at most QUOTED_WORDS and QUOTED_CHARS, without chat markers or double quotes."""
    tail = text[-4 * QUOTED_CHARS :]
    for marker in IS_MARKER.finditer(tail):
        text = tail[marker.end() :]
    words = text[-2 * QUOTED_CHARS :].translate(_UNQUOTED).split()[-QUOTED_WORDS:]
    while len(words) > 1 and sum(map(len, words)) + len(words) > QUOTED_CHARS:
        del words[0]
    return " ".join(words)[-QUOTED_CHARS:]


_UNQUOTED = str.maketrans("", "", '“”"<>|')


def _clause_start(lower: list[str], sentence: int) -> int:
    """Where the current clause begins: at its subordinator, after its comma or dash, or with the sentence."""
    for at in range(len(lower) - 1, sentence - 1, -1):
        if lower[at] in SUBORDINATORS:
            return at
        if lower[at] in BREAKS and at + 1 < len(lower):
            return at + 1
    return sentence


def _container(passage: Passage) -> str:
    line = passage.text[passage.text.rfind("\n") + 1 :]
    if passage.in_speech:
        return "In quoted speech"
    if passage.speaker:
        return f"In the {passage.speaker}'s turn"
    if line[:2] in ("- ", "* ") or (line[:1].isdigit() and line[1:3] == ". "):
        return "In a list item"
    if line.rfind("(") > line.rfind(")"):
        return "In brackets"
    return "Between speeches" if passage.spoken > 0.3 else "In running text"


def _place(passage: Passage, words: int) -> str:
    if words == 0:
        return "before"
    if words <= 2:
        return "opening"
    if words <= 8:
        return "early in"
    return "midway in" if words <= 20 else "late in"


def _kind(passage: Passage, start: int) -> str:
    lower = passage.lower
    if passage.sentence >= len(lower):
        return "a new sentence"
    word = lower[start] if start < len(lower) else ""
    first = lower[passage.sentence]
    if sum(piece == "," for piece in lower[-9:]) >= 2:
        return "a list"
    if first in ASKING and start == passage.sentence:
        return "a question"
    if word in SUBORDINATORS and start > passage.sentence:
        return f"a {word}-clause" if word[0] not in "aiu" else f"an {word}-clause"
    if word in ("and", "but", "or"):
        return f"a clause joined by {word}"
    if start > passage.sentence:
        return "a further clause"
    return "a main clause"


def _subject_and_verb(passage: Passage, start: int) -> tuple[str, str]:
    """The clause's subject and its latest verb so far, each "" where none is seen; the final word is left out."""
    pieces, lower = passage.pieces, passage.lower
    subject, verb = "", ""
    for at in range(start, len(lower)):
        word = lower[at]
        if not word[0].isalpha():
            continue
        if not subject:
            if word in SUBJECT_PRONOUNS and (at > start or word not in SUBORDINATORS):
                subject = "I" if word == "i" else word
            elif (pieces[at][0].isupper() and at > start) and word not in ABBREVIATIONS:
                subject = pieces[at]
            elif role_of(word) == "noun" and not (at + 1 < len(lower) and role_of(lower[at + 1]) == "noun"):
                subject = word
        elif word in AUXILIARIES or role_of(word) == "verb":
            verb = word
    return subject, verb
