"""Study: reconstruction along a text, and when facts and words are first named."""

from dataclasses import dataclass
from typing import ClassVar

from thinkaloud.studies.config import Study, corpora, study


@study
@dataclass(frozen=True, kw_only=True)
class Positions(Study):
    """How well do words rebuild vectors along a text, and do they name a fact before the text states it?"""

    name: ClassVar[str] = "positions"
    presets: ClassVar = {"pocket": {"max_tokens": 120}}

    texts: str = "pocket"
    """Texts: anything thinkaloud extract takes, or pocket (episodes whose facts are known)."""
    n: int = 100
    """Texts that are read, every position of each."""
    longest: int = 128
    """Tokens of a text that are read, from its beginning."""

    def check(self) -> None:
        corpora(self.texts)
