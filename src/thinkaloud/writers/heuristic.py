"""What can be said of a context by rule alone? Three short lines: kind and topic, current clause, final token and next."""

from collections.abc import Sequence

from .base import Context
from .clause import clause_line
from .ending import ending_line
from .passage import read_passage
from .topic import topic_line

LIMIT = 300
# How many topics and how many next tokens to name; the shorter plans are for texts beyond LIMIT.
PLANS = ((3, 4), (2, 3), (1, 2), (0, 1))


def explain_context(context: Context) -> str:
    """Three lines about ``context``, at most LIMIT characters; the same context always gives the same text."""
    passage = read_passage(context.prefix)
    text = ""
    for topics, alternatives in PLANS:
        text = "\n".join(
            (
                topic_line(passage, context.prefix, context.is_chat, topics),
                clause_line(passage),
                ending_line(passage, context.token, context.next_tokens, alternatives),
            )
        )
        if len(text) <= LIMIT:
            break
    return text


class HeuristicWriter:
    """Explains by rule; needs no service and no model. English is what it knows, but any text will do."""

    name = "heuristic/1"

    def write(self, contexts: Sequence[Context]) -> list[str]:
        """One text for each context: see ``explain_context``."""
        return [explain_context(context) for context in contexts]
