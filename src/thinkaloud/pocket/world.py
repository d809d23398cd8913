"""The pocket world: short episodes whose hidden state is known at every character.

Everything follows from (seed, family, split) and is the same on every machine. A train episode never uses a held-out
wording or a held-out combination of values. A held-out episode always uses a held-out combination; half of them also
use a held-out wording, the others a train wording: `episode.wording in wordings(family, "heldout")` tells which.
"""

from collections.abc import Iterator, Sequence

from thinkaloud.errors import UserError
from thinkaloud.pocket.episodes import couplets, places, problems, rules, speakers
from thinkaloud.pocket.episodes.common import Dice, Draft, Episode, Fact
from thinkaloud.pocket.episodes.couplets import rhyme_words

__all__ = ["FAMILIES", "SPLITS", "Episode", "Fact", "episode", "episodes", "rhyme_words", "wordings"]

SPLITS = ("train", "heldout")

_MODULES = {"problems": problems, "places": places, "couplets": couplets, "speakers": speakers, "rules": rules}
FAMILIES = tuple(_MODULES)


def episode(seed: int, family: str | None = None, split: str = "train") -> Episode:
    """The episode of this seed, which chooses the family too if none is given. UserError for an unknown name."""
    return _write(str(seed), FAMILIES if family is None else [family], split)


def episodes(seed: int, n: int, split: str = "train", families: Sequence[str] = FAMILIES) -> Iterator[Episode]:
    """n episodes of one stream, families drawn with equal chance; other seeds give other streams."""
    for i in range(n):
        yield _write(f"{seed}/{i}", families, split)


def wordings(family: str, split: str = "train") -> tuple[str, ...]:
    """Names of the wordings of a family that train episodes use, or of those they never use ("heldout")."""
    _check(family, split)
    return tuple(wording["name"] for wording in _MODULES[family].DATA[split])


def _write(key: str, families: Sequence[str], split: str) -> Episode:
    family = Dice(f"family|{key}").pick(families)
    _check(family, split)
    module, dice, draft = _MODULES[family], Dice(f"{family}|{split}|{key}"), Draft()
    wording = dice.pick(module.DATA["heldout" if split == "heldout" and dice.chance(0.5) else "train"])
    facts = module.write(draft, dice, wording, split)
    return draft.finish(family, facts, wording["name"], split)


def _check(family: str, split: str) -> None:
    if family not in FAMILIES:
        raise UserError(f"expected a family of the pocket world, {', '.join(FAMILIES)}; found {family!r}")
    if split not in SPLITS:
        raise UserError(f"expected a split, {' or '.join(SPLITS)}; found {split!r}")
