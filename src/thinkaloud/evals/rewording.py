"""Rewording by rule: sentences or words in another order, no punctuation, synonyms, phrases by others.

What stands for what is in rewording.json: `words`, `phrases` of the writers, and under `facts` the phrase of a kind of
claim and another one. Quotations keep their words.
"""

import json
import random
import re
import unicodedata
from collections.abc import Callable, Mapping
from importlib.resources import files

from thinkaloud import sentences
from thinkaloud.evals.prose import QUOTED

_DATA = json.loads(files("thinkaloud.evals").joinpath("rewording.json").read_text(encoding="utf-8"))
WORDS: Mapping[str, str] = _DATA["words"]
PHRASES: Mapping[str, str] = _DATA["phrases"]
FACTS: Mapping[str, tuple[str, str]] = {kind: tuple(pair) for kind, pair in _DATA["facts"].items()}
_ARTICLE = re.compile("an? ").match
_WORD = re.compile(r"\S+")


def sentences_shuffled(text: str, seed: str) -> str:
    """Its sentences in another order, in the places where sentences stood; a text of one sentence stays as it is."""
    return _dealt(text, list(sentences.spans(text)), seed)


def words_shuffled(text: str, seed: str) -> str:
    """Its words, marks at them included, in another order, whatever sentence they are of."""
    return _dealt(text, [match.span() for match in _WORD.finditer(text)], seed)


def without_marks(text: str) -> str:
    """The text without punctuation: letters, numbers, symbols and white space are left."""
    return "".join(char for char in text if not unicodedata.category(char).startswith("P"))


def synonyms(text: str) -> str:
    """Words by others that say about the same."""
    return _outside(text, lambda part: _replaced(part, WORDS))


def rephrased(text: str) -> str:
    """The writers' phrases by others that say the same."""
    return _outside(text, lambda part: _replaced(part, PHRASES))


def reworded(text: str) -> str:
    """Phrases by others first, and of what is left the words."""
    return _outside(text, lambda part: _replaced(part, {**WORDS, **PHRASES}))


def _dealt(text: str, spans: list[tuple[int, int]], seed: str) -> str:
    """The pieces of these spans, each where another one stood: drawn anew while the text is as it was."""
    pieces = [text[a:b] for a, b in spans]
    rng, drawn = random.Random(seed), list(pieces)
    if len(set(pieces)) > 1:
        while drawn == pieces:
            rng.shuffle(drawn)
    out, end = [], 0
    for (a, b), piece in zip(spans, drawn, strict=True):
        out += [text[end:a], piece]
        end = b
    return "".join([*out, text[end:]])


def _outside(text: str, change: Callable[[str], str]) -> str:
    """The text with a change made outside its quotations."""
    out, end = [], 0
    for match in QUOTED.finditer(text):
        out += [change(text[end : match.start()]), match.group()]
        end = match.end()
    return "".join([*out, change(text[end:])])


def _replaced(part: str, by: Mapping[str, str]) -> str:
    """A text with keys by what stands for them, the longest first; an article before one goes with the new word."""

    def other(match: re.Match[str]) -> str:
        article, said = match["article"], match["said"] or match["whole"]
        new = by[said.lower()]
        new = new[0].upper() + new[1:] if said[0].isupper() else new
        return f"{article[0]}{'n' * (new[0] in 'aeiou')} {new}" if article else new

    keys = sorted(by, key=len, reverse=True)
    whole, plain = ("|".join(map(re.escape, some)) or "(?!)" for some in (filter(_ARTICLE, keys), keys))
    said = rf"(?:(?P<article>an?) )?(?P<said>{plain})"
    pattern = rf"(?<![\w-])(?:(?P<whole>{whole})|{said})(?![\w-])"
    return re.sub(pattern, other, part, flags=re.IGNORECASE)
