"""Checks of an explanation by rule against the text and M, and of agreeing samples.

Checked are the final token, what is said to come next, and quoted words, numbers and names that the text up to the
token does not have. Only what is stated plainly is checked: a passed check is no proof, and nothing unmarked is one.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain, groupby
from operator import itemgetter

from thinkaloud.pair.read_positions import ReadPosition, ReadPositions
from thinkaloud.writers.ending import MARKS, PIECE_CHARS, name_token
from thinkaloud.writers.wordlists import FUNCTION

FORM = 0.5  # words in so many of all explanations are how they are put, and no agreement at one position
ENOUGH = 5  # positions from which that can be told

_QUOTED = re.compile(r'"([^"\n]+)"|“([^”\n]+)”')
_NAMED = "|".join(map(re.escape, sorted({*MARKS.values(), "a line break", "a paragraph break"}, key=len, reverse=True)))
_TURN = r"the (?:start|end) of the \w+(?:['’]s turn)?"
_CLAIM = re.compile(rf"{_QUOTED.pattern}|\b(?:{_NAMED}|{_TURN})(?!\w)")
_FINAL = re.compile(r"\b(?:ends|ending) (?:on|with) |\b(?:final|last) token(?: is|:)? ", re.IGNORECASE)
_NEXT = re.compile(r"\b(?:next (?:is|comes|token)|(?:is|comes) next|followed by)\b", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NAME = re.compile(r"(?<=[\w,;] )[A-Z][a-z]{2,}\b")


@dataclass(frozen=True)
class Piece:
    """A run of an explanation's line. `note` says what is wrong with it, `agreed` how many samples have its words."""

    text: str
    note: str = ""
    agreed: int = 0


def form_words(reading: ReadPositions) -> frozenset[str]:
    """Words of half of all explanations or more: how they are put, not what they say of one position."""
    texts = [words(explanation.text) for position in reading for explanation in position.explanations]
    counts = Counter(word for text in texts for word in text)
    return frozenset(w for w, n in counts.items() if len(reading) >= ENOUGH and n >= FORM * len(texts))


def words(text: str) -> frozenset[str]:
    """The content words of an explanation, in lower case; of what it says comes next the tokens alone."""
    parts = []
    for line in text.split("\n"):
        after = _NEXT.search(_own(line))
        parts += [line[: after.start()] if after else line, *(match.group() for match in _next_claims(line))]
    return frozenset(word.group().casefold() for part in parts for word in _WORD.finditer(part)) - FUNCTION


def text_until(reading: ReadPositions, position: ReadPosition) -> str | None:
    """The text up to and including a position's token, or None where the tokens are not known."""
    return "".join(reading.tokens[: position.position + 1]) if reading.tokens else None


def agreement(position: ReadPosition, form: frozenset[str] = frozenset()) -> dict[str, int]:
    """Content words that at least half of the samples have, two or more, with how many have each."""
    counts = Counter(word for e in position.explanations for word in words(e.text) - form)
    return {word: n for word, n in counts.items() if n >= max(2, len(position.explanations) / 2)}


def checked(position: ReadPosition, until: str | None, form: frozenset[str] = frozenset()) -> list[list[list[Piece]]]:
    """The lines of each sample in pieces, with what a rule finds wrong and how many samples have their words."""
    agreed = agreement(position, form)
    return [
        [_pieces(line, _faults(line, position, until), agreed) for line in explanation.text.split("\n")]
        for explanation in position.explanations
    ]


def naming(position: ReadPosition) -> list[int]:
    """For each of M's own next tokens, how many samples say that it comes next."""
    claims = [
        {_key(match.group()) for line in explanation.text.split("\n") for match in _next_claims(line)}
        for explanation in position.explanations
    ]
    return [sum(not _keys(token).isdisjoint(said) for said in claims) for token, _ in position.next_tokens]


def _faults(line: str, position: ReadPosition, until: str | None) -> Iterator[tuple[int, int, str]]:
    """Spans of a line that a rule finds wrong, each with the reason."""
    after, final = _NEXT.search(_own(line)), _FINAL.search(_own(line))
    stop = after.start() if after else len(line)
    claim = _CLAIM.match(line, final.end()) if final and final.end() < stop else None
    if claim and not _is_final(_key(claim.group()), position.token, until):
        yield *claim.span(), f"the token is {name_token(position.token, False, False)}"
    if position.next_tokens:
        for match in _next_claims(line):
            if not any(_begins(_key(match.group()), token) for token, _ in position.next_tokens):
                yield *match.span(), f"not among M's {len(position.next_tokens)} likeliest next tokens"
    if until is None:
        return
    head, text = line[: claim.start() if claim else stop], until.casefold()
    for quote in _QUOTED.finditer(head):
        for word in _WORD.finditer(head, *quote.span()):
            if _absent(word.group(), text):
                yield *word.span(), "quoted, and not in the text so far"
    for match in chain(_NUMBER.finditer(_own(head)), _NAME.finditer(_own(head))):
        if _absent(match.group(), text):
            yield *match.span(), "not in the text so far"


def _next_claims(line: str) -> list[re.Match[str]]:
    """What a line says comes next, in its order: quoted tokens and the names of marks."""
    after = _NEXT.search(_own(line))
    return list(_CLAIM.finditer(line, after.end())) if after else []


def _own(line: str) -> str:
    """A line's own words: what it quotes is blanked."""
    return _QUOTED.sub(lambda quote: " " * len(quote.group()), line)


def _absent(word: str, text: str) -> bool:
    """Whether a text has this word nowhere; one that characters split over tokens may hide is not called absent."""
    return word.casefold() not in text and (word.isascii() or "\ufffd" not in text)


def _key(name: str) -> str:
    """A quoted token or the name of a mark, as it is compared."""
    return name.strip('"“”').removeprefix("-").strip().casefold()


def _keys(token: str) -> set[str]:
    """What a token may be called."""
    return {_key(name_token(token, inside, opens)) for inside in (False, True) for opens in (False, True)}


def _is_final(claim: str, token: str, until: str | None) -> bool:
    """Whether a text that ends in `token` ends on what is claimed: the token, or its whole word."""
    last = (until or token).rsplit(maxsplit=1)[-1:]
    word = [match.casefold()[-PIECE_CHARS:] for match in re.findall(r"[\w'’]+$", last[0])] if last else []
    breaks = ["a paragraph break"] if (until or token).endswith("\n\n") else []
    return claim in {*_keys(token), *word, *breaks}


def _begins(claim: str, token: str) -> bool:
    """Whether a claimed next token is this one, or a word that begins with it."""
    bare = token.strip().casefold()
    return claim in _keys(token) or (bare.isalnum() and claim.startswith(bare))


def _pieces(line: str, faults: Iterable[tuple[int, int, str]], agreed: dict[str, int]) -> list[Piece]:
    """A line cut where its marks begin and end."""
    notes, counts = [""] * len(line), [0] * len(line)
    for start, end, note in faults:
        notes[start:end] = [note] * (end - start)
    for gap in re.finditer(r"(?<=\S)\s+(?=\S)", line):  # one mark under neighbours
        if notes[gap.start() - 1] == notes[gap.end()]:
            notes[gap.start() : gap.end()] = [notes[gap.end()]] * len(gap.group())
    for match in _WORD.finditer(line):
        counts[match.start() : match.end()] = [agreed.get(match.group().casefold(), 0)] * len(match.group())
    marks = zip(line, notes, counts, strict=True)
    return [Piece("".join(m[0] for m in run), *key) for key, run in groupby(marks, itemgetter(1, 2))]
