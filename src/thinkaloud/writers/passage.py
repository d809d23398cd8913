"""What stands at the end of a text: its words and marks, who speaks, where the sentence begins, each word's role?"""

import re
from dataclasses import dataclass

from .wordlists import ADJECTIVES, FUNCTION_WORDS, NOUNS, VERBS

WINDOW = 700

MARKER = (
    r"<\|start_header_id\|>\w*(?:<\|end_header_id\|>)?|<\|im_start\|>(?:user|assistant|system)?"
    r"|<start_of_turn>(?:user|model)?|<end_of_turn>|<\|[^|<>\s]{1,30}\|>|</?s>|<[be]os>"
)
IS_MARKER = re.compile(MARKER)
WORD = r"[^\W\d_]+(?:'[^\W\d_]+)*"
PIECES = re.compile(rf"{MARKER}|{WORD}|\d+(?:[.,]\d+)*|\n+|[^\s]")
OPENING_QUOTE = re.compile(r'(?<![^\s(\[—>-])"')
ABBREVIATIONS = frozenset("mr mrs ms dr st prof rev gen col capt lt vs no jr sr".split())

ROLES: dict[str, str] = {word: "adjective" for word in ADJECTIVES}
ROLES.update((word, "verb") for word in VERBS)
ROLES.update((word, "noun") for word in NOUNS)
# Where a word stands in two closed classes, the one listed first is its role.
for _role, _words in reversed(FUNCTION_WORDS.items()):
    ROLES.update((word, _role) for word in _words.split())

ENDINGS = re.compile(
    r"(?P<adverb>ly)$|(?P<verb>ed|ing|ize|ise|ify|n't)$|(?P<adjective>ful|less|ous|able|ible|ive|ical|ish|est)$",
    re.IGNORECASE,
)
AFTER_MODAL = frozenset(
    "to will would can could shall should may might must not don't didn't can't i you we they who".split()
)


def role_of(word: str) -> str:
    """The part of speech ``word`` has most often, in one of a few fixed names."""
    known = ROLES.get(word.lower())
    if known is not None:
        return known
    ending = ENDINGS.search(word) if len(word) > 4 else None
    return ending.lastgroup or "noun" if ending else "noun"


def speaker_of(marker: str) -> str:
    """Whose turn a chat marker opens: user, assistant, system, or nobody ("")."""
    if "user" in marker or "human" in marker:
        return "user"
    if "assistant" in marker or "model" in marker:
        return "assistant"
    return "system" if "system" in marker else ""


@dataclass(frozen=True, slots=True)
class Passage:
    """The last stretch of a prefix, split once for everything that asks about it.

    text: the last WINDOW characters or so, straight double quotes turned into “ and ”.
    pieces, lower: words, numbers, marks, line breaks and chat markers, in order, and the same in lower case.
    sentence: where in ``pieces`` the current sentence begins.
    in_speech: whether the text ends inside a quotation; spoken: the share of words that are inside one.
    narration: the lower-case words outside quotations.
    speaker: whose turn it is in a chat, or "".
    """

    text: str
    pieces: list[str]
    lower: list[str]
    sentence: int
    in_speech: bool
    spoken: float
    narration: list[str]
    speaker: str


def read_passage(prefix: str) -> Passage:
    """Split the end of ``prefix``; any text will do."""
    text = prefix[-WINDOW:]
    if len(prefix) > WINDOW:
        cut = text.find(" ", 0, 40)
        text = text[cut + 1 :]
    if not text.isascii():
        text = text.encode("utf-8", "replace").decode().replace("’", "'")
    text = OPENING_QUOTE.sub("“", text).replace('"', "”")
    pieces = PIECES.findall(text)
    lower = [piece.lower() for piece in pieces]
    in_speech, narration, words = False, [], 0
    for piece in lower:
        if piece == "“":
            in_speech = True
        elif piece == "”" or piece[0] in "\n<":
            in_speech = False
        elif piece[0].isalpha():
            words += 1
            if not in_speech:
                narration.append(piece)
    spoken = 1 - len(narration) / words if words else 0.0
    return Passage(
        text, pieces, lower, _sentence_start(pieces, lower), in_speech, spoken, narration, _speaker(prefix, pieces)
    )


def ends_sentence(lower: list[str], at: int) -> bool:
    """Whether the mark at ``at`` closes a sentence rather than an abbreviation or an initial."""
    mark = lower[at]
    if mark in "!?" or mark[0] in "\n<":
        return True
    if mark != ".":
        return False
    before = lower[at - 1] if at else ""
    return not (before in ABBREVIATIONS or (len(before) == 1 and before.isalpha() and before != "i"))


def _sentence_start(pieces: list[str], lower: list[str]) -> int:
    for at in range(len(pieces) - 1, -1, -1):
        if lower[at] == "“":
            return at + 1
        if ends_sentence(lower, at):
            return at + 2 if pieces[at + 1 : at + 2] == ["”"] else at + 1
    return 0


def _speaker(prefix: str, pieces: list[str]) -> str:
    for piece in reversed(pieces):
        if piece[0] == "<" and len(piece) > 2:
            return speaker_of(piece)
    earlier = None
    if "<" in prefix:
        for earlier in IS_MARKER.finditer(prefix):
            pass
    return speaker_of(earlier.group()) if earlier else ""
