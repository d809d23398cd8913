"""Sentences of a text: spans that keep quotations, brackets, abbreviations and numbers whole."""

import re
from collections.abc import Iterator

# A line break always ends a sentence. Within a line one ends at . ! ? or … with its closing quotes and brackets before
# white space, unless a rule below says that it goes on.
_STOP = re.compile(r"(?P<marks>[.!?…]+)(?P<closers>[\"')\]’”»*_`]*)(?=\s+(?P<next>\S))")
_PAIRS = {"“": "”", "«": "»", "(": ")", "[": "]"}
_CLOSES = {close: opens for opens, close in _PAIRS.items()}
_MARKS = re.compile(r"[\"'‘’“”«»()\[\]]")

# Abbreviations that never end a sentence, those that do not before a digit, and those that stand within one or end it.
_TITLES = re.compile(
    "mrs?|ms|messrs|mme|mlle|dr|prof|rev|hon|gen|col|capt|cmdr|maj|lt|sgt|sr|gov|sen|rep|pres|ste?|mt|ft|vs|viz|cf|ca|"
    r"e\.?g|i\.?e|approx|dept|univ"
)
_NUMBERED = re.compile("nos?|pp?|vols?|figs?|ch|sec|eq|art|ed|op|ex|jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec")
_EITHER = re.compile(r"jr|inc|ltd|co|corp|bros|etc|al|esq|ph\.d|m\.d|b\.a|m\.a|a\.m|p\.m|a\.d|b\.c")
_OPENERS = re.compile(
    "the|an?|th(?:is|at|ese|ose|ey|ere|en)|it|s?he|we|you|i|here|his|her|its|their|our|my|your|in|on|at|by|for|from|to|"
    "with|when|while|if|as|after|before|but|and|so|or|yet|now|what|who|how|why|where|not?|one|all|some"
)
_INITIALS = re.compile(r"[A-Z]|[^\W\d_](?:\.[^\W\d_])+")
_LABEL = re.compile(r"\s*(?:[-*]\s*)?\(?(?:\d{1,3}|[A-Za-z]|[ivxIVX]{1,5})")
_LAST_WORD = re.compile(r"[\w.'’-]*\Z")
_FIRST_WORD = re.compile(r"\W*([\w'’]+)")


def spans(text: str) -> Iterator[tuple[int, int]]:
    """(start, end) of every sentence in order, without white space at its ends.

    >>> [text[a:b] for text in ['"Is it 2.5? Go on," said Dr. Lee. He left.'] for a, b in spans(text)]
    ['"Is it 2.5? Go on," said Dr. Lee.', 'He left.']
    """
    for line in re.finditer(r"[^\n]+", text):
        said, start = line.group(), 0
        within = _within(said)
        for stop in [*(m for m in _STOP.finditer(said)), None]:
            end = stop.end() if stop else len(said)
            if stop and (any(a < end <= b for a, b in within) or _goes_on(said[start : stop.start()], stop, said)):
                continue
            piece = said[start:end]
            if piece.strip():
                at = line.start() + start
                yield at + len(piece) - len(piece.lstrip()), at + len(piece.rstrip())
            start = end


def _goes_on(before: str, stop: re.Match[str], line: str) -> bool:
    """Whether the sentence `before` a mark goes on behind it."""
    lower, digit = stop["next"].islower(), stop["next"].isdigit()
    if stop["marks"] != "." or stop["closers"]:  # "No!" he said; Alas! poor man; well… perhaps
        return lower
    word = _LAST_WORD.search(before)
    own = word.group().strip("'’-") if word else ""
    last, first = own.lower(), _FIRST_WORD.match(line, stop.end())
    opens = first is not None and first[1][0].isupper() and _OPENERS.fullmatch(first[1].lower())
    return (
        _LABEL.fullmatch(before) is not None
        or _TITLES.fullmatch(last) is not None
        or (digit and _NUMBERED.fullmatch(last) is not None)
        or ((lower or digit) and _EITHER.fullmatch(last) is not None)
        or (_INITIALS.fullmatch(own) is not None and own != "I" and not opens)
    )


def _within(line: str) -> list[tuple[int, int]]:
    """Where a line is inside quotation marks or brackets: from behind each opening one to before its closing one.

    What opens and is never closed, or the other way round, is none. A straight quote opens behind white space, brackets
    or a dash, and closes elsewhere. A single one closes behind a mark alone, so that an apostrophe is none.
    """
    found, opened = [], list[tuple[str, int]]()
    for match in _MARKS.finditer(line):
        mark, at = match.group(), match.start()
        before, after = line[at - 1 : at], line[at + 1 : at + 2]
        opening = mark in _PAIRS or mark == "‘"
        if mark in "\"'":
            opening = bool(after.strip()) and (not before.strip() or before in "([{“‘—–-\"'")
        if opening:
            opened.append((mark, at))
            continue
        if mark in "'’" and not (before in tuple(".,!?…—-") and not after.isalnum()):
            continue
        wanted = {"'": "'", "’": "‘", '"': '"'}.get(mark) or _CLOSES[mark]
        start = next((i for i in range(len(opened) - 1, -1, -1) if opened[i][0] == wanted), None)
        if start is not None:
            found.append((opened[start][1], at))
            del opened[start:]
    return found
