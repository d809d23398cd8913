"""Rhyming couplets; the fact is the rhyme that the second line has to reach.

Fact: `rhyme` (the name of the rhyme class, settled by the last word of the first line; at `stated_at` stands one of
`rhyme_words(value)`, the last word of the second line). Held-out combinations are pairs of rhyme words in either order.
Slots of a wording: x and y the rhyme words, A a person with he/He/him/his/His, B another person.
"""

from itertools import permutations
from typing import Any

from thinkaloud.pocket.episodes.common import Dice, Draft, Fact, is_held_out, read, two_people, words

DATA = read("couplets")
# Nouns that start with a consonant sound, so that "a" fits each, and that rhyme in British and American speech.
_WORDS = {name: words(listed) for name, listed in DATA["rhymes"].items()}
_ALL = [(name, x, y) for name, rhymes in _WORDS.items() for x, y in permutations(rhymes, 2)]
_PAIRS = {
    split: [pair for pair in _ALL if is_held_out("couplets", *sorted(pair[1:])) == (split == "heldout")]
    for split in ("train", "heldout")
}


def rhyme_words(value: str) -> tuple[str, ...]:
    """All words of a rhyme class that an episode may use. KeyError for a name that is no class."""
    return _WORDS[value]


def write(draft: Draft, dice: Dice, verse: dict[str, Any], split: str) -> list[Fact]:
    rhyme, x, y = dice.pick(_PAIRS[split])
    slots = {**two_people(dice), "x": x, "y": y}
    draft.write(dice.pick(DATA["intros"]), slots)
    (known,) = draft.write(verse["first"] + "\n", slots)
    (stated,) = draft.write(verse["second"], slots)
    return [Fact("rhyme", rhyme, known, stated)]
