"""Parts of speech of common English words, from wordlists.json.

Function words are given whole, by role. The open classes were counted on public-domain prose: a word belongs where its
neighbours put it most often. Nouns stand commonest first: the order is the weight a noun has as a topic. Verbs are base
and irregular forms, since regular -ed and -ing forms are known by their ending; adjectives those that no ending gives
away. Sets are words that a rule asks for by name.
"""

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import Any


def read(name: str) -> Any:
    """A JSON file that lies beside the writers."""
    return json.loads(files("thinkaloud.writers").joinpath(name).read_text(encoding="utf-8"))


def words(lines: Iterable[str]) -> list[str]:
    """The words of the lines of a list."""
    return " ".join(lines).split()


_LISTS = read("wordlists.json")
FUNCTION_WORDS: dict[str, list[str]] = {role: words(listed) for role, listed in _LISTS["function"].items()}
FUNCTION = frozenset(word for listed in FUNCTION_WORDS.values() for word in listed)
NOUNS, VERBS, ADJECTIVES = (words(_LISTS[name]) for name in ("nouns", "verbs", "adjectives"))
SETS = {name: frozenset(words(listed)) for name, listed in _LISTS["sets"].items()}
# Names of marks by themselves; speakers and names of chat markers by what stands in the marker, the first that fits.
MARKS, SPEAKERS, MARKERS = (_LISTS[name] for name in ("marks", "speakers", "markers"))
