"""Names and pronouns of the people in the episodes."""

from thinkaloud.pocket.episodes.common import Dice, read, words

_DATA = read("people")
_WOMEN = words(_DATA["women"])
NAMES = _WOMEN + words(_DATA["men"])


def two_people(dice: Dice) -> dict[str, str]:
    """Slots A and B, two names, and he, He, him, his, His for a template about A."""
    person, friend = dice.sample(NAMES, 2)
    return {"A": person, "B": friend, **_DATA["she" if person in _WOMEN else "he"]}
