"""A reading as one HTML file that opens anywhere.

The page is whole without its script: the texts, and every explanation in a table that the tokens link to. The script
puts the explanation beside the text instead, and sorts and searches the table.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from thinkaloud.pair import checks, show
from thinkaloud.pair.read_positions import ReadPositions
from thinkaloud.pair.scores import Control
from thinkaloud.pair.turns import turns
from thinkaloud.render.page import embedded, render
from thinkaloud.render.text import clean, minus, visible

TITLE_LENGTH = 64

Place = Mapping[str, Any]
"""A position as the page needs it: its address, and what of its explanations is checked."""


def report(readings: Sequence[ReadPositions], controls: Sequence[Control] | None = None, title: str = "") -> str:
    """The page for one or several readings, with controls beside them where there are any."""
    form, many = checks.form_words(readings), len(readings) > 1
    places = [list(_places(reading, f"text={i}&" * many, form)) for i, reading in enumerate(readings, 1)]
    facts: dict[Any, tuple[ReadPositions, list[int]]] = {}
    for number, reading in enumerate(readings, 1):
        facts.setdefault((reading.name, reading.site, reading.baseline), (reading, []))[1].append(number)
    return render(
        "report.html",
        title=title or title_of(readings),
        texts=[
            {"reading": reading, "places": some, "turns": _turns(reading, some)}
            for reading, some in zip(readings, places, strict=True)
        ],
        data=embedded({"finishes": show.FINISHES, "readings": [[_data(place) for place in some] for some in places]}),
        samples=max((len(p.explanations) for reading in readings for p in reading), default=0),
        next_tokens=max((len(p.next_tokens) for reading in readings for p in reading), default=0),
        baselines=list(dict.fromkeys(str(reading.baseline) for reading in readings)),
        controls=controls,
        facts=list(facts.values()),
        finishes=show.FINISHES,
        how=show.HOW_TO_READ,
        figure=lambda value: minus(show.figure(value).strip()),
        fve_line=show.fve_line,
        clamped=show.clamped,
        visible=visible,
    )


def title_of(readings: Sequence[ReadPositions]) -> str:
    """The beginning of the first text, and how many more there are."""
    if not readings:
        return "Nothing read"
    words = " ".join(readings[0].plain_text.split())
    begin = words if len(words) <= TITLE_LENGTH else words[:TITLE_LENGTH].rsplit(" ", 1)[0] + " …"
    more = len(readings) - 1
    return f"“{begin}”" + (f" and {more} more text{'s' * (more > 1)}" if more else "")


def _places(reading: ReadPositions, text: str, form: frozenset[str]) -> Iterator[Place]:
    for position in reading:
        until = checks.text_until(reading, position)
        yield {
            "key": f"{text}pos={position.position}",
            "position": position,
            "lines": [_shown(sample) for sample in checks.checked(position, until, form)],
            "named": checks.naming(position),
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


def _data(place: Place) -> dict[str, Any]:
    """What the script shows of a position. A piece without marks is its text alone."""
    position = place["position"]
    return {
        "key": place["key"],
        "position": position.position,
        "token": visible(position.token),
        "id": position.token_id,
        "norm": round(position.norm, 3),
        "next": [
            [visible(token), round(chance, 4), named]
            for (token, chance), named in zip(position.next_tokens, place["named"], strict=True)
        ],
        "said": [
            {
                "lines": [
                    [[p.text, clean(p.note), p.agreed] if p.note or p.agreed else p.text for p in line]
                    for line in lines
                ],
                "finish": explanation.finish,
                **{
                    name: round(value, 4) if math.isfinite(value) else None
                    for name, value in explanation.score.to_dict().items()
                },
            }
            for explanation, lines in zip(position.explanations, place["lines"], strict=True)
        ],
    }


def _turns(reading: ReadPositions, places: Sequence[Place]) -> Iterator[tuple[str, list[tuple[str, Place | None]]]]:
    """The messages of a chat, or the whole text: the role and the tokens, with the places of those that were read."""
    read = {place["position"].position: place for place in places}
    tokens = dict(enumerate(reading.tokens)) or {position.position: position.token for position in reading}
    where, texts = list(tokens), list(tokens.values())
    for turn in turns(texts, reading.text):
        shown = (clean(text.replace("\t", "⇥")).replace("\n", "⏎\n") for text in texts[turn.start : turn.end])
        yield clean(turn.role), [(text, read.get(i)) for text, i in zip(shown, where[turn.start :], strict=False)]
