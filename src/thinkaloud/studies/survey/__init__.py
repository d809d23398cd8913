"""Study: the form of explanations, and which tokens are hard."""

from dataclasses import dataclass
from typing import ClassVar

from thinkaloud.studies.config import Study, corpora, study


@study
@dataclass(frozen=True, kw_only=True)
class Survey(Study):
    """What do explanations look like, what in them carries the vector, and which tokens are hard?"""

    name: ClassVar[str] = "survey"
    counts: ClassVar = (*Study.counts, "n", "positions", "reply_tokens", "clusters", "ablated", "browse")
    analysis: ClassVar = {"clusters": (), "browse": ()}
    presets: ClassVar = {"pocket": {"max_tokens": 120}}

    texts: str = "pocket"
    """Texts: anything thinkaloud extract takes, or pocket (episodes of the pocket world that are no chats)."""
    chats: str = "pocket"
    """Chats: anything thinkaloud extract takes that holds messages, or pocket (those of the pocket world)."""
    n: int = 20_000
    """Positions of each."""
    positions: int = 6
    """Positions of a text or chat."""
    regenerate: bool = False
    """Let M write the assistant's turns anew, so that they are its own."""
    reply_tokens: int = 64
    """The longest such turn, in tokens."""
    clusters: int = 12
    """Clusters of explanation sentences."""
    ablated: int = 2_000
    """Explanations whose paragraphs are removed and replaced."""
    browse: int = 600
    """Explanations that the page lets one browse."""

    def check(self) -> None:
        corpora(self, "texts", "chats")
