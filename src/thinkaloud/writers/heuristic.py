"""Explanations of contexts by rule: kind of text and topic, what came before, the current clause, the final token."""

from collections.abc import Collection, Iterable, Iterator, Sequence

from ..errors import UserError
from .base import Context, writer
from .claims import KINDS, Claim, fit, write
from .clause import action, clause, last_words, opening
from .dialogue import dialogue
from .ending import ending
from .genre import genre_of
from .passage import Passage
from .style import quantities, style
from .topic import topics_of


def claims_of(context: Context, without: Collection[str] = ()) -> list[Claim]:
    """All that the rules are confident of and that there is room for, in the order of an explanation.

    A claim a kind; next tokens are several. Kinds `without` are left out.
    """
    said = (claim for claim in true_of(context) if claim.kind not in without)
    return fit(sorted(said, key=lambda claim: KINDS.index(claim.kind)))


def explain_context(context: Context) -> str:
    """A few lines about ``context``; the same context always gives the same text."""
    return write(claims_of(context))


@writer
class HeuristicWriter:
    """Explains by rule; needs no service and no model. English is what it knows, but any text will do.

    `without` are kinds of claims to leave out, for finding out what each is good for.
    """

    name = "heuristic/4"

    def __init__(self, without: Iterable[str] = ()) -> None:
        self.without = tuple(sorted(set(without)))
        if unknown := [kind for kind in self.without if kind not in KINDS]:
            raise UserError(f"no kind of claim {unknown[0]!r}: expected some of {', '.join(KINDS)}")
        self.name = HeuristicWriter.name + (f" without {', '.join(self.without)}" if self.without else "")

    def write(self, contexts: Sequence[Context]) -> list[str]:
        """One text for each context: see ``explain_context``."""
        return [write(claims_of(context, self.without)) for context in contexts]


def true_of(context: Context) -> Iterator[Claim]:
    """All that the rules are confident of, whether or not there is room for it."""
    passage = Passage(context.prefix, context.is_chat)
    genre = genre_of(passage, context.is_chat)
    quotation = last_words(passage.text)
    yield Claim("genre", genre)
    yield from style(passage, genre)
    thing, name = topics_of(passage, quotation)
    if thing:
        yield Claim("topic", thing)
    if name:
        yield Claim("name", name)
    yield from dialogue(passage)
    yield from quantities(passage, quotation)
    yield from action(passage, quotation)
    yield from opening(passage, quotation)
    yield from clause(passage, genre)
    if quotation:
        yield Claim("quotation", quotation)
    yield from ending(passage, context.token, context.next_tokens)
