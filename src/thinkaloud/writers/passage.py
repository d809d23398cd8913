"""The end of a text, split once: words, marks, speakers, parts of speech."""

import re
from collections import Counter

from .wordlists import ADJECTIVES, FUNCTION_WORDS, NOUNS, SETS, SPEAKERS, VERBS

WINDOW = 700

MARKER = (
    r"<\|start_header_id\|>\w*(?:<\|end_header_id\|>)?|<\|im_start\|>(?:\w+(?=\n|\Z))?"
    r"|<start_of_turn>(?:user|model)?|<end_of_turn>|<\|[^|<>\s]{1,30}\|>|</?s>|<[be]os>"
)
IS_MARKER = re.compile(MARKER)
# A first marker that was taken for the BOS and left out.
CUT_MARKER = re.compile(r"(?:system|user|assistant)(?=\n|\Z)")
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
    counts: how often each of ``lower`` stands there.
    sentence: where in ``pieces`` the current sentence begins.
    in_speech: whether the text ends inside a quotation; spoken: the share of words that are inside one.
    narration: the lower-case words outside quotations.
    turns: speakers and texts of a chat's turns, without the system's where others follow, the last as far as it goes.
    speaker: whose turn it is in a chat, or "".
    """

    def __init__(self, prefix: str, is_chat: bool = False) -> None:
        self.turns: list[tuple[str, str]] = []
        if is_chat or "<|" in prefix or "<start_of_turn>" in prefix:
            prefix, self.turns = _split_turns(prefix, is_chat)
        text = prefix[-WINDOW:]
        if len(prefix) > WINDOW:
            text = text[text.find(" ", 0, 40) + 1 :]
        if not text.isascii():
            text = text.encode("utf-8", "replace").decode().replace("’", "'")
        self.prefix = prefix
        self.text = OPENING_QUOTE.sub("“", text).replace('"', "”")
        self.pieces: list[str] = PIECES.findall(self.text)
        self.lower = [piece.lower() for piece in self.pieces]
        self.counts = Counter(self.lower)
        self.sentence = _sentence_start(self.lower)
        self.speaker = self.turns[-1][0] if self.turns else ""
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
        """The last paragraph that has any text, or of the last turn of a chat."""
        block = (self.turns[-1][1] if self.speaker else self.text).rstrip()
        return block[block.rfind("\n\n") + 1 :].strip()


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


def _split_turns(prefix: str, is_chat: bool) -> tuple[str, list[tuple[str, str]]]:
    """A chat without the system's turn before others, and its turns: speaker, "" between turns, and text.

    What stands before the first marker is nobody's.
    """
    if is_chat and CUT_MARKER.match(prefix):
        prefix = f"<|im_start|>{prefix}"
    markers = [(speaker_of(found.group()), *found.span()) for found in IS_MARKER.finditer(prefix)]
    text = prefix
    if markers and markers[0][0] == "system":
        first = next((i for i, marker in enumerate(markers) if marker[0] in ("user", "assistant")), 0)
        markers, prefix = markers[first:], prefix[markers[first][1] :]
    ends = [start for _, start, _ in markers[1:]] + [len(text)]
    return prefix, [(speaker, text[begin:end]) for (speaker, _, begin), end in zip(markers, ends, strict=False)]
