"""A reading as one HTML file that opens anywhere.

The page is whole without its script: the text, and every explanation in a table that the tokens link to. The script
puts what a template says of a position beside the text instead, and sorts and searches the table.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from thinkaloud.pair import checks, show
from thinkaloud.pair.read_positions import ReadPositions
from thinkaloud.pair.scores import Control
from thinkaloud.pair.turns import turns
from thinkaloud.render.page import render
from thinkaloud.render.text import clean, minus, visible

TITLE_LENGTH = 64

Place = Mapping[str, Any]
"""A position as the page needs it: its address, and what of its explanations is checked."""


def report(reading: ReadPositions, controls: Sequence[Control] | None = None, title: str = "") -> str:
    """The page of a reading, with controls beside it where there are any."""
    places = list(_places(reading))
    return render(
        "report.html",
        title=title or title_of(reading),
        reading=reading,
        places=places,
        turns=_turns(reading, places),
        samples=max((len(position.explanations) for position in reading), default=0),
        next_tokens=max((len(position.next_tokens) for position in reading), default=0),
        controls=controls,
        finishes=show.FINISHES,
        how=show.HOW_TO_READ,
        minus=minus,
        figure=lambda value: minus(show.figure(value).strip()),
        fve_line=show.fve_line,
        clamped=show.clamped,
        visible=visible,
    )


def title_of(reading: ReadPositions) -> str:
    """The beginning of the text."""
    words = " ".join(reading.plain_text.split())
    return f"“{words if len(words) <= TITLE_LENGTH else words[:TITLE_LENGTH].rsplit(' ', 1)[0] + ' …'}”"


def _places(reading: ReadPositions) -> Iterator[Place]:
    form = checks.form_words(reading)
    for position in reading:
        until = checks.text_until(reading, position)
        yield {
            "key": f"pos={position.position}",
            "position": position,
            "lines": [_shown(sample) for sample in checks.checked(position, until, form)],
            "named": checks.naming(position),
            "best": max((score.fve for score in position.scores if math.isfinite(score.fve)), default="-Infinity"),
        }


def _shown(sample: list[list[checks.Piece]]) -> list[list[checks.Piece]]:
    """The lines that hold something, without white space at their ends."""
    kept = []
    for line in sample:
        texts = [clean(piece.text) for piece in line]
        if "".join(texts).strip():
            texts[0], texts[-1] = texts[0].lstrip(), texts[-1].rstrip()
            made = (checks.Piece(t, p.note, p.agreed) for t, p in zip(texts, line, strict=True))
            kept.append([piece for piece in made if piece.text])
    return kept


def _turns(reading: ReadPositions, places: Sequence[Place]) -> Iterator[tuple[str, list[tuple[str, Place | None]]]]:
    """The messages of a chat, or the whole text: the role and the tokens, with the places of those that were read."""
    read = {place["position"].position: place for place in places}
    tokens = dict(enumerate(reading.tokens)) or {position.position: position.token for position in reading}
    where, texts = list(tokens), list(tokens.values())
    for turn in turns(texts, reading.text):
        shown = (clean(text.replace("\t", "⇥")).replace("\n", "⏎\n") for text in texts[turn.start : turn.end])
        yield clean(turn.role), [(text, read.get(i)) for text, i in zip(shown, where[turn.start :], strict=False)]
