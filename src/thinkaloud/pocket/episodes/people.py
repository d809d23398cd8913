"""Names and pronouns of the people in the episodes."""

from thinkaloud.pocket.episodes.common import words

WOMEN = words(
    "Anna Alice Bella Carla Clara Daisy Dora Elena Emma Fiona Grace Hannah Ida Jane Julia "
    "Kate Laura Lucy Maria Mia Nina Nora Olga Rosa Ruth Sara Sofia Tina Vera Zoe"
)
MEN = words(
    "Adam Alex Ben Carl Daniel David Eric Felix Frank George Hugo Ivan Jack James Karl "
    "Leo Luke Marco Martin Max Nick Oscar Paul Peter Ralph Sam Simon Theo Tom Victor"
)
NAMES = WOMEN + MEN

_SHE = {"he": "she", "He": "She", "him": "her", "his": "her", "His": "Her"}
_HE = {"he": "he", "He": "He", "him": "him", "his": "his", "His": "His"}
_PRONOUNS = dict.fromkeys(WOMEN, _SHE) | dict.fromkeys(MEN, _HE)


def pronouns(name: str) -> dict[str, str]:
    """Slots he, He, him, his, His for a template about this person."""
    return _PRONOUNS[name]
