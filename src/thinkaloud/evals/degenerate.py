"""Degenerate explanations by rule: loops, word debris, other scripts, page furniture.

A class is of the whole text, and an explanation that merely has a slip or a repeated topic in it is fine:
    repetition      a stretch loops, or most pairs of neighbouring words have stood before
    garbled         word debris, words without a sentence, or nothing at all
    other script    much of it in other letters than Latin ones, or in emoji or block characters
    page furniture  menus, consent banners, link lists, footers in place of prose
The rules are for explanations in English. How far to trust them is measured in `precision`, on texts labelled by hand.
"""

import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from itertools import groupby
from operator import eq
from pathlib import Path
from typing import Any

import numpy as np

from thinkaloud.errors import UserError
from thinkaloud.evals.explained import Explained, evaluation
from thinkaloud.evals.prose import matched, non_latin, repetition
from thinkaloud.stats import Estimate

CLASSES = ("fine", "repetition", "garbled", "other script", "page furniture")

OTHER_SCRIPT = 0.25  # share of letters and pictures: a quotation of some words stays below it
FURNITURE = 0.35  # share of words inside stock phrases of pages: prose about a page stays below it
LINKS = 0.5  # share of characters inside addresses and tags
WINDOW, SAID_BEFORE = 20, 0.5  # share of so many pairs of words that stood before: refrains, lists of a topic are below
DEBRIS = 0.12  # share of words that no writer of English makes, and
PIECES = 3  # how many of them: a name in a program and a slip are ordinary
BARE = 0.3  # share of function words below which there are no sentences; English prose has 0.4 to 0.5
STRETCH = 7  # words in a row, no mark between them, that hold no function word

_WORD = re.compile(r"\w+(?:['’]\w+)*")
_STRETCH = re.compile(rf"{_WORD.pattern}(?:\s+{_WORD.pattern})*")
# A number of dots or zeros is a loop only where nobody would write as many: a ruled line, a rounded number.
_CHARACTER_LOOP = re.compile(r"(\S{1,12}?)\1{9,}")

_LINK = re.compile(r"(?:https?://|www\.|ftp\.|mailto:)\S+|</?[a-z][^<>]*>", re.IGNORECASE)
# Sums and assignments without spaces.
_SUM = re.compile(r"[(]*[\w.$%]+(?:[-+*/=×÷<>][(]*[\w.$%]+[)]*)+[.,;:!?)]*")
# Signs of a wrong decoding, chat markers; marks that close what is before them, and no space behind; no vowels.
_BROKEN = re.compile(r"[\ufffd\x00-\x08\x0b-\x1fĠ]|<\|?/?\w+\|?>|Ã|â€")
_UNSPACED = re.compile(r"\w[;!?\])}\"=|\\]+\w|[a-z][,:][a-z]")
_UNSPEAKABLE = re.compile(r"[bcdfghjklmnpqrstvwxz]{6,}|^[^aeiouyà-ÿ]{4,}$")
_DATA = json.loads(files("thinkaloud.evals").joinpath("degenerate.json").read_text(encoding="utf-8"))
_STOCK = re.compile(rf"\b(?:{'|'.join(_DATA['stock phrases'])})\b", re.IGNORECASE)
# Besides the usual ones those that sentences about a text are made with, such as "next" and "piece".
_FUNCTION = frozenset(" ".join(_DATA["function words"]).split())


def classify(text: str) -> str:
    """The class of an explanation, one of CLASSES."""
    if not text.strip():
        return "garbled"
    if other_script(text) >= OTHER_SCRIPT:
        return "other script"
    if matched(_LINK, text) >= LINKS or furniture(text) >= FURNITURE:
        return "page furniture"
    if loops(text):
        return "repetition"
    if debris(text) or without_sentences(text):
        return "garbled"
    return "fine"


@evaluation
def degenerate(found: Explained) -> dict[str, Estimate]:
    """The share of each class among explanations, with intervals over documents."""
    return {name: found.share(lambda text, name=name: classify(text) == name) for name in CLASSES}


def other_script(text: str) -> float:
    """Share of other letters than Latin ones, and of pictures, among letters and pictures."""
    letters = sum(char.isalpha() for char in text)
    # The replacement character is debris, and the signs of rights and degrees are ordinary.
    pictures = sum(unicodedata.category(char) == "So" and char not in "\ufffd©®™°" for char in text)
    total = letters + pictures
    return (non_latin(text) * letters + pictures) / total if total else 0.0


def furniture(text: str) -> float:
    """Share of words that stand in stock phrases of web pages; 0 where there are fewer than three such phrases."""
    phrases = _STOCK.findall(text)
    words = len(_WORD.findall(text))
    return sum(len(_WORD.findall(phrase)) for phrase in phrases) / words if words and len(phrases) > 2 else 0.0


def loops(text: str) -> bool:
    """Whether a stretch of the text says the same over and over."""
    found = _CHARACTER_LOOP.search(text)
    if found and len(found.group()) >= 16:
        return True
    words = [word.lower() for word in _WORD.findall(text)]
    windows = (" ".join(words[i : i + WINDOW + 1]) for i in range(len(words) - WINDOW))
    if any(repetition(window) >= SAID_BEFORE for window in windows):
        return True
    # A topic named five times, or "never" said five times, is still somebody's wording.
    needed = {1: 7, 2: 5}
    return any(
        _longest_run(map(eq, words, words[period:])) // period + 1 >= needed.get(period, 4)
        for period in range(1, len(words) // 4 + 1)
    )


def debris(text: str) -> bool:
    """Whether many of the words, as spaces part them, hold what no writer of English puts there."""
    chunks = [chunk for chunk in text.split() if not _LINK.fullmatch(chunk) and not _SUM.fullmatch(chunk)]
    odd = sum(map(_is_debris, chunks)) + _unpaired(text)
    return odd >= PIECES or (bool(odd) and odd >= DEBRIS * len(chunks))


def without_sentences(text: str) -> bool:
    """Whether words stand there without what makes sentences of them."""
    words = [word.lower() for word in _WORD.findall(text) if not word[0].isdigit()]
    if len(words) >= 10 and sum(map(_is_function, words)) < BARE * len(words):
        return True
    stretches = (stretch.lower().split() for stretch in _STRETCH.findall(text))
    return any(_longest_run(not _is_function(word) for word in stretch) >= STRETCH for stretch in stretches)


def precision(labelled: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Precision and recall of each class on labelled texts, with Wilson's intervals."""
    guesses = np.array([classify(row["text"]) for row in labelled])
    labels = np.array([row["label"] for row in labelled])
    return [
        {
            "class": name,
            "labelled": int((labels == name).sum()),
            "found": int((guesses == name).sum()),
            "precision": _share_true(labels[guesses == name] == name),
            "recall": _share_true(guesses[labels == name] == name),
        }
        for name in CLASSES
    ]


def load_labelled(path: str | None = None, split: str | None = "test") -> list[dict[str, str]]:
    """Labelled texts of a JSONL file, default the bundled one; of one split, if the rows say theirs."""
    where = Path(path) if path else files("thinkaloud.evals").joinpath("labelled.jsonl")
    try:
        lines = where.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{where} cannot be read: {error}") from None
    rows = [_labelled(line, f"{where}, line {number}") for number, line in enumerate(lines, 1) if line]
    if not rows:
        raise UserError(f"{where} holds no labelled texts")
    return [row for row in rows if row.get("split", split) == split] if split else rows


def _labelled(line: str, where: str) -> dict[str, str]:
    try:
        row = json.loads(line)
        row = {**row, "text": str(row["text"]), "label": row["label"]}
    except (ValueError, KeyError, TypeError):
        raise UserError(f"{where}: expected a JSON object with text and label") from None
    if row["label"] not in CLASSES:
        raise UserError(f"{where}: no class {row['label']!r}: expected one of {', '.join(CLASSES)}")
    return row


def _longest_run(flags: Iterable[bool]) -> int:
    return max((len(list(run)) for flag, run in groupby(flags) if flag), default=0)


def _is_debris(chunk: str) -> bool:
    if _BROKEN.search(chunk):
        return True
    core = chunk.strip("\"'“”‘’.,;:!?()[]{}*_—–-…")
    if not core:
        return len(chunk) > 3
    return bool(_UNSPACED.search(core)) or any(map(_odd_word, re.findall(r"[^\W_]+", core)))


def _odd_word(word: str) -> bool:
    if re.fullmatch(r"\d+(st|nd|rd|th|s|[a-zA-Z])?|[A-Z]+\d+[A-Z]*", word):
        return False
    if re.search(r"\d", word):
        return bool(re.search(r"[a-z]{2,}\d|\d[a-zA-Z]+\d|\d[a-z]{3,}", word))
    if re.search(r"[a-z]{2}[A-Z]", word) and not re.match(r"(Mc|Mac|De|La|Le|Van|Fitz)[A-Z]", word):
        return True
    return not word.isupper() and bool(_UNSPEAKABLE.search(word.lower()))


def _unpaired(text: str) -> int:
    """How many quotation marks and brackets lack the other one, a text's cut end aside."""
    brackets = sum(abs(text.count(a) - text.count(b)) for a, b in ("()", "[]", "{}"))
    return max(0, brackets + sum(line.count('"') % 2 for line in text.splitlines()) - 1)


def _is_function(word: str) -> bool:
    return re.split(r"['’]", word)[0] in _FUNCTION


def _share_true(values: np.ndarray) -> Estimate:
    """A share of texts with its Wilson interval, which does not vanish where all of few are right.

    Wilson, Probable inference, the law of succession, and statistical inference, JASA 22, 1927.
    """
    n, z = len(values), 1.96
    if not n:
        return Estimate(math.nan, math.nan, math.nan, 0, 0)
    share = float(values.mean())
    middle, half = share + z * z / (2 * n), z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return Estimate(share, (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n), n, n)
