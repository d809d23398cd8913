"""Episodes of the pocket world: text written together with facts whose offsets are known."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any, TypeVar

from thinkaloud.pocket.chat import END, opening

T = TypeVar("T")

MARK = "^"


@dataclass(frozen=True)
class Fact:
    """Something the text settles at one point and may say later. Offsets count characters of `Episode.text`.

    Facts are settled by whole words and whole numbers: `text[:known_from]` ends with the word that settles the value,
    and no shorter run of whole words does. At `stated_at` the text first says the value outright, if it ever does:
    `text.startswith(value, stated_at)`, but for rhymes, where one of `rhyme_words(value)` stands there.
    """

    name: str
    value: str
    known_from: int
    stated_at: int | None


@dataclass(frozen=True)
class Episode:
    """A short text whose hidden state is known. `messages` is None for plain prose; otherwise `text` renders them."""

    family: str
    text: str
    facts: tuple[Fact, ...]
    messages: tuple[dict, ...] | None
    wording: str
    split: str


class Dice:
    """Draws keyed by a string. Built on `random()` alone, whose sequence Python promises to keep for a given seed."""

    def __init__(self, key: str) -> None:
        self._random = random.Random(key).random

    def pick(self, options: Sequence[T]) -> T:
        return options[int(self._random() * len(options))]

    def between(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + int(self._random() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        return self._random() < probability

    def sample(self, options: Sequence[T], n: int) -> list[T]:
        """n different options, in random order."""
        pool = list(options)
        for i in range(n):
            j = self.between(i, len(pool) - 1)
            pool[i], pool[j] = pool[j], pool[i]
        return pool[:n]


@cache
def is_held_out(*values: str | int) -> bool:
    """Whether this combination of values is kept from every train episode: a tenth of them, by a hash of the values."""
    digest = blake2b("\x1f".join(map(str, values)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") % 10 == 0


def words(text: str) -> tuple[str, ...]:
    """The words of a space-separated list."""
    return tuple(text.split())


def read(family: str) -> dict[str, Any]:
    """The wordings and word lists of a family, which stand in a JSON file beside its code."""
    return json.loads(files("thinkaloud.pocket.episodes").joinpath(f"{family}.json").read_text(encoding="utf-8"))


def made(kind: type[T], records: Sequence[Mapping[str, Any]]) -> tuple[T, ...]:
    """Wordings of a family from its data; lists become tuples, since wordings are frozen."""
    return tuple(kind(**{k: tuple(v) if isinstance(v, list) else v for k, v in row.items()}) for row in records)


def pick_wording(dice: Dice, split: str, train: Sequence[T], heldout: Sequence[T]) -> T:
    """A train wording for a train episode; for a held-out one, a wording from either list with equal chance."""
    return dice.pick(heldout if split == "heldout" and dice.chance(0.5) else train)


class Draft:
    """A text in the making, plain or a chat, that knows the offset of what it has just written."""

    def __init__(self) -> None:
        self.length = 0
        self._pieces: list[str] = []
        self._turns: list[tuple[str, int, int]] = []
        self._open: tuple[str, int] | None = None

    def write(self, template: str, slots: Mapping[str, object] | None = None) -> list[int]:
        """Fill the template and append it; the offsets of its marks (`^`), which are not themselves written."""
        pieces = (template.format_map(slots) if slots is not None else template).split(MARK)
        marks = []
        for piece in pieces:
            self._put(piece)
            marks.append(self.length)
        return marks[:-1]

    def turn(self, role: str) -> None:
        """Start a chat message of `role`, closing the one before."""
        self._close()
        self._put(opening(role))
        self._open = role, self.length

    def finish(self, family: str, facts: Sequence[Fact], wording: str, split: str) -> Episode:
        self._close()
        text = "".join(self._pieces)
        messages = tuple({"role": role, "content": text[start:end]} for role, start, end in self._turns)
        return Episode(family, text, tuple(facts), messages or None, wording, split)

    def _put(self, piece: str) -> None:
        self._pieces.append(piece)
        self.length += len(piece)

    def _close(self) -> None:
        if self._open is not None:
            self._turns.append((*self._open, self.length))
            self._put(END)
            self._open = None
