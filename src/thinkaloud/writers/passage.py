"""The end of a text, split once: words, marks, speakers, parts of speech."""

import re

from .wordlists import ADJECTIVES, FUNCTION_WORDS, NOUNS, SETS, SPEAKERS, VERBS

WINDOW = 700

MARKER = (
    r"<\|start_header_id\|>\w*(?:<\|end_header_id\|>)?|<\|im_start\|>(?:user|assistant|system)?"
    r"|<start_of_turn>(?:user|model)?|<end_of_turn>|<\|[^|<>\s]{1,30}\|>|</?s>|<[be]os>"
)
IS_MARKER = re.compile(MARKER)
PIECES = re.compile(rf"{MARKER}|[^\W\d_]+(?:'[^\W\d_]+)*|\d+(?:[.,]\d+)*|\n+|[^\s]")
OPENING_QUOTE = re.compile(r'(?<![^\s(\[—>-])"')
ABBREVIATIONS = SETS["abbreviations"]

# Where a word stands in two classes, the one listed last is its role.
_CLASSES = {"adjective": ADJECTIVES, "verb": VERBS, "noun": NOUNS, **dict(reversed(FUNCTION_WORDS.items()))}
ROLES = {word: role for role, members in _CLASSES.items() for word in members}

ENDINGS = (
    ("adverb", ("ly",)),
    ("verb", ("ed", "ing", "ize", "ise", "ify", "n't")),
    ("adjective", ("ful", "less", "ous", "able", "ible", "ive", "ical", "ish", "est")),
)


def first_that_holds(*rules: tuple[str, object]) -> str:
    """The first of these phrases whose condition holds, "" if none does."""
    return next((phrase for phrase, holds in rules if holds), "")


def role_of(word: str) -> str:
    """The part of speech ``word`` has most often, in one of a few fixed names; noun where nothing tells."""
    word = word.lower()
    known = ROLES.get(word)
    if known is not None:
        return known
    if len(word) > 4:
        for role, endings in ENDINGS:
            if word.endswith(endings):
                return role
    if word[-1:] == "s" and (ROLES.get(word[:-1]) == "verb" or ROLES.get(word[:-2]) == "verb"):
        return "verb"
    return "noun"


def speaker_of(marker: str) -> str:
    """Whose turn a chat marker opens: user, assistant, system, or nobody ("")."""
    return next((speaker for part, speaker in SPEAKERS.items() if part in marker), "")


class Passage:
    """The last stretch of a prefix, any text, split once for everything that asks about it.

    text: the last WINDOW characters or so, straight double quotes turned into “ and ”.
    pieces, lower: words, numbers, marks, line breaks and chat markers, in order, and the same in lower case.
    sentence: where in ``pieces`` the current sentence begins.
    in_speech: whether the text ends inside a quotation; spoken: the share of words that are inside one.
    narration: the lower-case words outside quotations.
    speaker: whose turn it is in a chat, or "".
    """

    def __init__(self, prefix: str) -> None:
        text = prefix[-WINDOW:]
        if len(prefix) > WINDOW:
            text = text[text.find(" ", 0, 40) + 1 :]
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode().replace("’", "'")
        self.prefix = prefix
        self.text = OPENING_QUOTE.sub("“", text).replace('"', "”")
        self.pieces: list[str] = PIECES.findall(self.text)
        self.lower = [piece.lower() for piece in self.pieces]
        self.sentence = _sentence_start(self.lower)
        self.speaker = _speaker(prefix, self.lower)
        self.in_speech = False
        self.narration: list[str] = []
        spoken = 0
        for piece in self.lower:
            if piece == "“":
                self.in_speech = True
            elif piece == "”" or piece[0] in "\n<":
                self.in_speech = False
            elif piece[0].isalpha() and self.in_speech:
                spoken += 1
            elif piece[0].isalpha():
                self.narration.append(piece)
        self.spoken = spoken / max(1, spoken + len(self.narration))

    @property
    def block(self) -> str:
        """The last paragraph that has any text, or the last turn of a chat."""
        block = self.text.rstrip()
        block = block[block.rfind("\n\n") + 1 :]
        return block[block.rfind("|>") + 2 :].strip() if self.speaker and "|>" in block else block.strip()


def ends_sentence(lower: list[str], at: int) -> bool:
    """Whether the mark at ``at`` closes a sentence rather than an abbreviation or an initial."""
    mark = lower[at]
    if mark[0] in "!?\n<":
        return True
    if mark != ".":
        return False
    before = lower[at - 1] if at else ""
    return not (before in ABBREVIATIONS or (len(before) == 1 and before.isalpha() and before != "i"))


def _sentence_start(lower: list[str]) -> int:
    for at in range(len(lower) - 1, -1, -1):
        if lower[at] == "“":
            return at + 1
        if ends_sentence(lower, at):
            return at + 2 if lower[at + 1 : at + 2] == ["”"] else at + 1
    return 0


def _speaker(prefix: str, lower: list[str]) -> str:
    for piece in reversed(lower):
        if piece[0] == "<" and len(piece) > 2:
            return speaker_of(piece)
    earlier = IS_MARKER.findall(prefix) if "<" in prefix else []
    return speaker_of(earlier[-1]) if earlier else ""
