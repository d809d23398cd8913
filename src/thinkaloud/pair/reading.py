"""A reading: explanations of a text's positions, each scored; printed a table, in a notebook a report."""

from html import escape
from shutil import get_terminal_size

from rich.console import RenderableType

from thinkaloud.pair import show
from thinkaloud.pair.read_positions import ReadPosition, ReadPositions, ScoredExplanation
from thinkaloud.pair.report import report
from thinkaloud.render.text import plain

__all__ = ["ReadPosition", "Reading", "ScoredExplanation"]


class Reading(ReadPositions):
    """The positions read, in order, and what their scores rest on. Printed, it is a table; in a notebook, a report.

    `name` says which pair read, `text` what was read: a string, or a chat's messages. `tokens` holds every token of it
    decoded alone, read or not (empty where nobody knows them). `vectors` [n, d], float32, are those of the positions.

    >>> reading = nla.read("The old captain looked at the sea", positions="-2,-1", samples=2, temperature=1.0)
    >>> reading
    Reading('pocket' at resid_post:5, 2 of 8 positions x 2, FVE ..., 'The old captain looked at the sea')
    >>> reading[-1].token, len(reading[-1].explanations)
    (' sea', 2)
    >>> reading[-1].explanations[0].score
    Score(FVE ..., cos ..., mse ...)
    >>> reading.to_html()[:15]
    '<!doctype html>'
    """

    def to_html(self) -> str:
        """The report of `thinkaloud read --html`: one whole page that opens anywhere."""
        return report(self)

    def __rich__(self) -> RenderableType:
        return show.table(self)

    def __str__(self) -> str:
        return plain(show.table(self), width=get_terminal_size().columns)

    def _repr_html_(self) -> str:
        """The report in a frame of its own, so that its style and the notebook's stay apart."""
        look = "width:100%;height:44rem;border:0"
        page = escape(self.to_html())
        return f'<iframe srcdoc="{page}" sandbox="allow-scripts" style="{look}"></iframe>'
