"""Study: what persists along a text, and when facts are first named."""

from dataclasses import dataclass
from typing import ClassVar

from thinkaloud.studies.config import Study, corpora, study


@study
@dataclass(frozen=True, kw_only=True)
class Positions(Study):
    """What persists in words along a text, and does a fact appear in them before the text states it?"""

    name: ClassVar[str] = "positions"
    analysis: ClassVar = {"reach": ("persistence",)}
    presets: ClassVar = {"pocket": {"max_tokens": 120}}

    texts: str = "pocket"
    """Texts: anything thinkaloud extract takes, or pocket (episodes whose facts are known)."""
    n: int = 100
    """Texts that are read, every position of each."""
    longest: int = 128
    """Tokens of a text that are read, from its beginning."""
    reach: int = 12
    """How far apart positions are compared."""

    def check(self) -> None:
        corpora(self.texts)
