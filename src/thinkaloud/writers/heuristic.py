"""Explanations of contexts by rule: kind and topic, the current clause, the final token and what is next."""

from collections.abc import Sequence

from .base import Context, writer
from .clause import clause_line
from .ending import ending_line
from .genre import genre_of
from .passage import Passage
from .topic import topic_line

LIMIT = 340
# Whether to give a name, and how many next tokens; the later plans are for texts that would pass LIMIT.
PLANS = ((True, 3), (True, 2), (True, 1), (False, 1))


def explain_context(context: Context) -> str:
    """Three lines about ``context``, at most LIMIT characters; the same context always gives the same text."""
    passage = Passage(context.prefix)
    genre = genre_of(passage, context.is_chat)
    clause = clause_line(passage, genre)
    text = ""
    for named, alternatives in PLANS:
        topic = topic_line(passage, genre, named)
        text = f"{topic}\n{clause}\n{ending_line(passage, context.token, context.next_tokens, alternatives)}"
        if len(text) <= LIMIT:
            break
    return text


@writer
class HeuristicWriter:
    """Explains by rule; needs no service and no model. English is what it knows, but any text will do."""

    name = "heuristic/3"

    def write(self, contexts: Sequence[Context]) -> list[str]:
        """One text for each context: see ``explain_context``."""
        return [explain_context(context) for context in contexts]
