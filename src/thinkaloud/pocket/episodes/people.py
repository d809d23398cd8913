"""Who appears in the episodes, and which pronouns go with each name?"""

WOMEN = tuple(
    "Anna Alice Bella Carla Clara Daisy Dora Elena Emma Fiona Grace Hannah Ida Jane Julia "
    "Kate Laura Lucy Maria Mia Nina Nora Olga Rosa Ruth Sara Sofia Tina Vera Zoe".split()
)
MEN = tuple(
    "Adam Alex Ben Carl Daniel David Eric Felix Frank George Hugo Ivan Jack James Karl "
    "Leo Luke Marco Martin Max Nick Oscar Paul Peter Ralph Sam Simon Theo Tom Victor".split()
)
NAMES = WOMEN + MEN

_SHE = {"he": "she", "He": "She", "him": "her", "his": "her", "His": "Her"}
_HE = {"he": "he", "He": "He", "him": "him", "his": "his", "His": "His"}
_PRONOUNS = {name: _SHE for name in WOMEN} | {name: _HE for name in MEN}


def pronouns(name: str) -> dict[str, str]:
    """Slots he, He, him, his, His for a template about this person."""
    return _PRONOUNS[name]
