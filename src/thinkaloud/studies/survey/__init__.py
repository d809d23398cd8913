"""Study: the form of explanations, and which tokens are hard."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from thinkaloud.errors import UserError
from thinkaloud.studies.config import Study, corpora, study

FILES = {"text": "texts", "chat": "chats"}


@study
@dataclass(frozen=True, kw_only=True)
class Survey(Study):
    """What do explanations look like, what in them carries the vector, and which tokens are hard?"""

    name: ClassVar[str] = "survey"
    presets: ClassVar = {"pocket": {"max_tokens": 120}}

    texts: str = "pocket"
    """Texts: anything thinkaloud extract takes, or pocket (episodes of the pocket world that are no chats)."""
    chats: str = "pocket"
    """Chats: anything thinkaloud extract takes that holds messages, or pocket (those of the pocket world)."""
    n: int = 20_000
    """Positions of each."""
    positions: int = 6
    """Positions of a text or chat."""
    longest: int = 2048
    """Tokens of a text or chat that are read, from its beginning."""
    regenerate: bool = False
    """Let M write the assistant's turns anew, so that they are its own."""
    reply_tokens: int = 128
    """The longest such turn, in tokens."""
    explanations: str | None = None
    """Explanations that are there already, from any system, in place of texts and chats: a Parquet file or JSON lines
    with the column explanation (or text), and whatever there is of kind, doc_id, position, token, context, vector, mse
    and fve. The AR of the pair rebuilds vectors of its width; without vectors no model is loaded."""
    ablated: int = 2_000
    """Explanations whose paragraphs are removed and replaced."""

    def check(self) -> None:
        if self.explanations is None:
            corpora(self.texts, self.chats)
        elif not Path(self.explanations).is_file():
            raise UserError(f"no file {self.explanations}: explanations must be a Parquet file or JSON lines")

    @property
    def loads_pair(self) -> bool:
        """Whether a model is needed: ready-made explanations without vectors have none."""
        from thinkaloud.studies.survey.ready import has_vectors

        return self.explanations is None or has_vectors(Path(self.explanations))
