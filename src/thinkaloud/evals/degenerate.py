"""Degenerate explanations by rule: loops, broken words and grammar, other scripts, page furniture.

A class is of the whole text, and an explanation that merely has a slip or a repeated topic in it is fine:
    repetition      a stretch loops, or most pairs of neighbouring words have stood before
    garbled         half words and glued ones, words in an order that no grammar gives, broken signs, or nothing at all
    other script    much of it in other letters than Latin ones, or in emoji or block characters
    page furniture  menus, consent banners, link lists, footers in place of prose
The rules rest on what is broken, not on what is rare: lists of noun phrases, names, quotations and code are fine. They
are for explanations in English. How far to trust them is measured in `precision`, on texts labelled by hand.
"""

import json
import lzma
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.resources import files
from itertools import groupby, pairwise
from operator import eq
from pathlib import Path
from typing import Any

import numpy as np

from thinkaloud.errors import UserError
from thinkaloud.evals.explained import Explained, evaluation
from thinkaloud.evals.prose import matched, non_latin, repetition
from thinkaloud.stats import Estimate, estimate, mean
from thinkaloud.writers.wordlists import ADJECTIVES, FUNCTION_WORDS, NOUNS, VERBS

CLASSES = ("fine", "repetition", "garbled", "other script", "page furniture")

OTHER_SCRIPT = 0.25  # share of letters and pictures: a quotation of some words stays below it
FURNITURE = 0.35  # share of words inside stock phrases of pages: prose about a page stays below it
LINKS = 0.5  # share of characters inside addresses and tags
WINDOW, SAID_BEFORE = 20, 0.5  # share of so many pairs of words that stood before: refrains, lists of a topic are below
# Words by which shares of a text are short of one: a slip in a short text is ordinary, more so a rare word in a list.
SLIPS, RARE_WORDS = 8, 40
EXPECTED, WEIGHT = (
    0.2,
    8,
)  # how well neighbours go together where nothing is known, and its weight in pairs
PHRASE = 8  # words of the longest noun phrases

_WORD = re.compile(r"\w+(?:['’]\w+)*")
# A number of dots or zeros is a loop only where nobody would write as many: a ruled line, a rounded number.
_CHARACTER_LOOP = re.compile(r"(\S{1,12}?)\1{9,}")

_LINK = re.compile(r"(?:https?://|www\.|ftp\.|mailto:)\S+|</?[a-z][^<>]*>", re.IGNORECASE)
# What is written in signs and not in sentences: addresses, file names, code in backticks, markers of a chat.
_SIGNS = re.compile(rf"{_LINK.pattern}|`[^`\n]+`|<\|\w+\|>|\b[\w-]+(?:[./\\_:]+[\w-]+)+\(?\)?|\b\w+\(\)", re.IGNORECASE)
# Sums and assignments without spaces.
_SUM = re.compile(r"[(]*[\w.$%]+(?:[-+*/=×÷<>][(]*[\w.$%]+[)]*)+[.,;:!?)]*")
# Signs of a wrong decoding; marks that close what is before them, and no space behind; a capital behind small letters.
_BROKEN = re.compile(r"[\ufffd\x00-\x08\x0b-\x1fĠ]|Ã|â€|<(?:unk|pad|/?s)>|\w<\||\|><")
_GLUED = re.compile(r"\w[;!?\])}\"=|\\]+\w|[a-z][,:][a-z]|[a-z]{2}[.][A-Z]?[a-z]|[A-Za-z]\d+[a-z]")
_HUMPS = re.compile(r"[A-Z]?[a-z]+")
_AROUND = "\"'“”‘’.,;:!?()[]{}*_—–-…"
_PIECE = re.compile(r"\n|[^\W\d_]+(?:['’][a-z]+)?|\d[\d.,]*|[^\w\s]")
_SMALL = re.compile(r"(?<![\w'’])[a-z]{3,}(?![\w'’])")

# Stock phrases; weights fitted on the labelled half for tuning; the order of kinds as counted on public-domain prose:
# for each kind the pointwise mutual information with every next one, in quarters of a nat as letters around m.
_DATA = json.loads(files("thinkaloud.evals").joinpath("degenerate.json").read_text(encoding="utf-8"))
_STOCK = re.compile(rf"\b(?:{'|'.join(_DATA['stock phrases'])})\b", re.IGNORECASE)
_FUNCTION = {word: role for role, words in FUNCTION_WORDS.items() for word in words}
_OPEN = {word: of for of, words in (("verb", VERBS), ("noun", NOUNS), ("adjective", ADJECTIVES)) for word in words}
_COMMON = frozenset(_DATA["common"].split())
_KINDS = {name: i for i, name in enumerate(_DATA["order"])}
_ROWS: dict[str, str] = _DATA["order"]
_ENDINGS = "s es d ed ing ly er ers ness less like able al ic ity ism ist ize"  # of words made of others


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
    return "garbled" if broken(text) > 0 else "fine"


def broken(text: str) -> float:
    """How broken a text's words and grammar are: the log odds that it is garbled, fitted on labelled texts."""
    return _DATA["weights"]["constant"] + sum(_DATA["weights"][name] * of(text) for name, of in MEASURES.items())


def half_words(text: str) -> float:
    """Share of a text's different words in small letters that are no English words, nor made of one."""
    words = set(_SMALL.findall(_SIGNS.sub(" ", text)))
    return sum(not _is_english(word) for word in words) / (len(words) + RARE_WORDS)


def glued(text: str) -> float:
    """Share of what spaces part that holds words joined by a mark or a capital, or a sign of a wrong decoding."""
    chunks = [c.strip(_AROUND) for c in _SIGNS.sub(" ", text).split() if not _SUM.fullmatch(c)]
    odd = sum(map(_is_glued, set(chunks))) + len(_BROKEN.findall(text))
    return odd / (len(chunks) + SLIPS)


def disorder(text: str) -> float:
    """How badly neighbouring words go together: minus the mean pointwise mutual information of their kinds.

    In a word salad kinds follow each other by chance, about 0; English prose has −0.3 to −0.6. Marks and ends of lines
    part neighbours.
    """
    kinds = [kind(piece) for piece in _PIECE.findall(_SIGNS.sub(" , ", text))]
    found = [_order(a, b) for a, b in pairwise(kinds) if a and b]
    return -(sum(found) + EXPECTED * WEIGHT) / (len(found) + WEIGHT)


def stretch(text: str) -> float:
    """How far the longest stretch of words without a mark or a function word goes beyond any noun phrase, in tens."""
    pieces = _PIECE.findall(_SIGNS.sub(" , ", text))
    longest = _longest_run(piece[0].isalpha() and piece.lower() not in _FUNCTION for piece in pieces)
    return min(1.0, max(0, longest - PHRASE) / 10)


MEASURES = {"half words": half_words, "glued": glued, "disorder": disorder, "stretch": stretch}


@evaluation
def degenerate(found: Explained) -> dict[str, Estimate]:
    """The share of each class among explanations, with intervals over documents."""
    said, docs = list(map(classify, found.column("explanation"))), found.column("doc_id")
    return {name: estimate(mean([float(one == name) for one in said]), docs) for name in CLASSES}


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


def precision(labelled: Sequence[Mapping[str, str]]) -> list[dict[str, Any]]:
    """Precision and recall of each class on labelled texts, with intervals over texts (Wilson's or exact)."""
    guesses = np.array([classify(row["text"]) for row in labelled])
    labels = np.array([row["label"] for row in labelled])
    return [
        {
            "class": name,
            "labelled": int((labels == name).sum()),
            "found": int((guesses == name).sum()),
            "precision": share(labels[guesses == name] == name),
            "recall": share(guesses[labels == name] == name),
        }
        for name in CLASSES
    ]


def share(right: np.ndarray) -> Estimate:
    """The share of texts that are right, each text counted alone."""
    return estimate(mean(right), np.arange(len(right)))


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


def kind(piece: str) -> str | None:
    """What a word is for the order of kinds: itself if it is a common function word, else its part of speech.

    None for marks, figures and capitals, which need no grammar.
    """
    small = piece.lower()
    if not piece[0].isalpha() or (small not in ("a", "i") and (len(piece) == 1 or piece.isupper())):
        return None
    if small in _FUNCTION:
        return small if small in _COMMON else _FUNCTION[small]
    if piece[0].isupper():
        return "name"
    ending = next((e for e in ("ly", "ing", "ed", "s") if small.endswith(e) and len(small) > len(e) + 2), "other")
    return _OPEN.get(small, ending)


def _order(before: str, after: str) -> float:
    """The pointwise mutual information of two kinds of neighbours, in nats."""
    return (ord(_ROWS[before][_KINDS[after]]) - ord("m")) / 4


def _is_glued(chunk: str) -> bool:
    if not chunk.isascii() and any(0 < non_latin(word) < 1 for word in _WORD.findall(chunk)):
        return True  # letters of two scripts in one word
    if re.search(r"[a-z][A-Z][a-z]", chunk) and not chunk.startswith(("Mc", "Mac")):
        return not all(_is_english(hump.lower()) for hump in _HUMPS.findall(chunk) if len(hump) > 2)
    return bool(_GLUED.search(chunk))


@cache
def _english() -> frozenset[str]:
    """62,000 words: common ones, all that two documents of public-domain or free prose hold, some of computing."""
    raw = files("thinkaloud.evals").joinpath("words.txt.xz").read_bytes()
    return frozenset(lzma.decompress(raw).decode("ascii").split("\n"))


def _is_english(word: str) -> bool:
    known = _english()
    if word in known:
        return True
    for ending in _ENDINGS.split():
        stem = word.removesuffix(ending)
        if stem != word and (
            stem in known or f"{stem}e" in known or (len(stem) > 3 and stem[-1] == stem[-2] and stem[:-1] in known)
        ):
            return True
    return False
