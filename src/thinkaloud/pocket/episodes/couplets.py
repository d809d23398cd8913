"""Rhyming couplets; the fact is the rhyme that the second line has to reach.

Fact: `rhyme` (the name of the rhyme class, settled by the last word of the first line; at `stated_at` stands one of
`rhyme_words(value)`, the last word of the second line). Held-out combinations are pairs of rhyme words in either order.
"""

from dataclasses import dataclass
from itertools import permutations

from thinkaloud.pocket.episodes.common import Dice, Draft, Episode, Fact, is_held_out, made, pick_wording, read, words
from thinkaloud.pocket.episodes.people import NAMES, pronouns

# Nouns that start with a consonant sound, so that "a" fits each, and that rhyme in British and American speech.


@dataclass(frozen=True)
class Verse:
    """Two lines. Slots: x and y the rhyme words, A a person with he/He/him/his/His, B another person."""

    name: str
    first: str
    second: str


_DATA = read("couplets")
TRAIN, HELD_OUT, INTROS = made(Verse, _DATA["train"]), made(Verse, _DATA["heldout"]), _DATA["intros"]

# Nouns that start with a consonant sound, so that "a" fits each, and that rhyme in British and American speech.
_WORDS = {name: words(listed) for name, listed in _DATA["rhymes"].items()}
_PAIRS = [(name, x, y) for name, rhymes in _WORDS.items() for x, y in permutations(rhymes, 2)]
_PAIRS_OF = {
    "train": [(name, x, y) for name, x, y in _PAIRS if not is_held_out("couplets", *sorted((x, y)))],
    "heldout": [(name, x, y) for name, x, y in _PAIRS if is_held_out("couplets", *sorted((x, y)))],
}


def rhyme_words(value: str) -> tuple[str, ...]:
    """All words of a rhyme class that an episode may use. KeyError for a name that is no class."""
    return _WORDS[value]


def write(dice: Dice, split: str) -> Episode:
    verse = pick_wording(dice, split, TRAIN, HELD_OUT)
    rhyme, x, y = dice.pick(_PAIRS_OF[split])
    person, friend = dice.sample(NAMES, 2)
    slots = {"A": person, "B": friend, "x": x, "y": y, **pronouns(person)}
    draft = Draft()
    draft.write(dice.pick(INTROS), slots)
    (known,) = draft.write(verse.first + "\n", slots)
    (stated,) = draft.write(verse.second, slots)
    return draft.finish("couplets", [Fact("rhyme", rhyme, known, stated)], verse.name, split)
