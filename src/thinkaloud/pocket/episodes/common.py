"""Episodes of the pocket world: text written together with facts whose offsets are known."""

import json
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from typing import Any, TypeVar

from thinkaloud.pocket.chat import END, opening

T = TypeVar("T")

MARK = "^"
TURN = re.compile(r"<\|(\w+)\|>(.*?)" + re.escape(END), re.DOTALL)


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


def read(name: str) -> dict[str, Any]:
    """A JSON file beside the episodes: the wordings and word lists of a family, or what families share."""
    return json.loads(files("thinkaloud.pocket.episodes").joinpath(f"{name}.json").read_text(encoding="utf-8"))


_PEOPLE = read("people")
_WOMEN = words(_PEOPLE["women"])
NAMES = _WOMEN + words(_PEOPLE["men"])


def two_people(dice: Dice) -> dict[str, str]:
    """Slots A and B, two names, and he, He, him, his, His for a template about A."""
    person, friend = dice.sample(NAMES, 2)
    return {"A": person, "B": friend, **_PEOPLE["she" if person in _WOMEN else "he"]}


class Draft:
    """A text in the making, plain or a chat, that knows the offset of what it has just written."""

    def __init__(self) -> None:
        self.text = ""

    def write(self, template: str, slots: Mapping[str, object] | None = None) -> list[int]:
        """Fill the template and append it; the offsets of its marks (`^`), which are not themselves written."""
        marks = []
        for piece in (template if slots is None else template.format_map(slots)).split(MARK):
            self.text += piece
            marks.append(len(self.text))
        return marks[:-1]

    def turn(self, role: str) -> None:
        """Start a chat message of `role`, closing the one before. A chat begins with one."""
        self.text += (END if self.text else "") + opening(role)

    def finish(self, family: str, facts: Sequence[Fact], wording: str, split: str) -> Episode:
        text = self.text + END if self.text.startswith("<|") else self.text
        messages = tuple({"role": role, "content": content} for role, content in TURN.findall(text))
        return Episode(family, text, tuple(facts), messages or None, wording, split)
