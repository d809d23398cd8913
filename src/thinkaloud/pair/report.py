"""A reading as one HTML file that opens anywhere.

The page is whole without its script: the texts, and every explanation in a table that the tokens link to. The script
puts the explanation beside the text instead, and sorts and searches the table.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from thinkaloud.pair import checks, show
from thinkaloud.pair.read_positions import ReadPosition, ReadPositions
from thinkaloud.pair.scores import Control
from thinkaloud.pair.show import FINISHES, HOW_TO_READ, fve_line
from thinkaloud.pair.turns import turns
from thinkaloud.render.page import embedded, render
from thinkaloud.render.text import clean, minus, visible

TITLE_LENGTH = 64
BELIEVE = (
    (
        "The words are trained to rebuild the vector, not to be true.",
        "A high FVE says that the text carries much about the vector, not that each sentence in it is right.",
    ),
    (
        "Trust the kind of thing before the particulars.",
        "Kind of text, theme and the last token are mostly right; names, numbers and quotations are often made up.",
    ),
    (
        "One explanation is one sample.",
        "What returns in several samples at a position, and at the positions beside it, deserves more trust.",
    ),
    (
        "The two halves may share a private code.",
        "They are trained on each other's texts, so a figure can rise while the words say no more to a person.",
    ),
    (
        "The first tokens of a text read badly.",
        "Their vectors are unlike all later ones, and pairs are trained on positions further on.",
    ),
    (
        "An FVE belongs to its baseline.",
        "Figures over other vectors, another layer or another model do not compare; a cosine alone says nothing, since "
        "the vectors of many models are all close to their mean.",
    ),
)
CHECKED = (
    (
        "The final token:",
        "what is said after “ends on” or “final token”, against the token that stands there, or the word it closes",
    ),
    (
        "The next token:",
        "what is quoted or named after “next is”, against M's own likeliest next tokens; a word is right if one of "
        "them begins it",
    ),
    (
        "Quotations, numbers and names:",
        "each quoted word, each number and each capitalised word within a sentence, against the text up to the token. "
        "What is not in it may still be a right guess of what is to come",
    ),
)


@dataclass(frozen=True)
class _Place:
    """A position as the page needs it: its address, and what of its explanations is checked."""

    key: str
    position: ReadPosition
    lines: list[list[list[checks.Piece]]]
    named: list[int]


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
            {"reading": reading, "places": some, "turns": list(_turns(reading, some))}
            for reading, some in zip(readings, places, strict=True)
        ],
        data=embedded({"finishes": FINISHES, "readings": [[_data(place) for place in some] for some in places]}),
        samples=max((len(p.explanations) for reading in readings for p in reading), default=0),
        next_tokens=max((len(p.next_tokens) for reading in readings for p in reading), default=0),
        baselines=list(dict.fromkeys(str(reading.baseline) for reading in readings)),
        controls=[(control, _bar(control.fve)) for control in controls or ()],
        facts=list(facts.values()),
        finishes=FINISHES,
        believe=BELIEVE,
        checked=CHECKED,
        how=HOW_TO_READ,
        figure=figure,
        fve_line=fve_line,
        percent=percent,
        share=share,
        visible=visible,
    )


def title_of(readings: Sequence[ReadPositions]) -> str:
    """The beginning of the first text, and how many more there are."""
    if not readings:
        return "Nothing read"
    text = readings[0].text
    words = " ".join((text if isinstance(text, str) else " ".join(m["content"] for m in text)).split())
    begin = words if len(words) <= TITLE_LENGTH else words[:TITLE_LENGTH].rsplit(" ", 1)[0] + " …"
    more = len(readings) - 1
    return f"“{begin}”" + (f" and {more} more text{'s' * (more > 1)}" if more else "")


def figure(value: float) -> str:
    """An FVE with a minus sign for its hyphen."""
    return minus(show.figure(value).strip())


def percent(share: float) -> str:
    """A probability in whole percent."""
    return "<1 %" if share < 0.005 else f"{100 * share:.0f} %"


def share(value: float) -> float:
    """An FVE as a share of a bar or a tint, from 0 to 1."""
    return max(0.0, min(1.0, value)) if math.isfinite(value) else 0.0


def _places(reading: ReadPositions, text: str, form: frozenset[str]) -> Iterator[_Place]:
    for position in reading:
        until = checks.text_until(reading, position)
        lines = [_shown(sample) for sample in checks.checked(position, until, form)]
        yield _Place(f"{text}pos={position.position}", position, lines, checks.naming(position))


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


def _data(place: _Place) -> dict[str, Any]:
    """What the script shows of a position. A piece without marks is its text alone."""
    position = place.position
    return {
        "key": place.key,
        "position": position.position,
        "token": visible(position.token),
        "id": position.token_id,
        "norm": round(position.norm, 3),
        "next": [
            [visible(token), round(chance, 4), named]
            for (token, chance), named in zip(position.next_tokens, place.named, strict=True)
        ],
        "said": [
            {
                "lines": [[_piece(piece) for piece in line] for line in lines],
                "finish": explanation.finish,
                "fve": round(explanation.score.fve, 4) if math.isfinite(explanation.score.fve) else None,
                "cos": round(explanation.score.cos, 4),
                "mse": round(explanation.score.mse, 4),
            }
            for explanation, lines in zip(position.explanations, place.lines, strict=True)
        ],
    }


def _piece(piece: checks.Piece) -> str | list[Any]:
    return [piece.text, clean(piece.note), piece.agreed] if piece.note or piece.agreed else piece.text


def _turns(reading: ReadPositions, places: Sequence[_Place]) -> Iterator[tuple[str, list[tuple[str, _Place | None]]]]:
    """The messages of a chat, or the whole text: the role and the tokens, with the places of those that were read."""
    read = {place.position.position: place for place in places}
    tokens = reading.tokens or tuple(position.token for position in reading)
    where = range(len(tokens)) if reading.tokens else [position.position for position in reading]
    for turn in turns(tokens, reading.text):
        inside = [(_in_text(tokens[i]), read.get(where[i])) for i in range(turn.start, turn.end)]
        yield clean(turn.role), inside


def _in_text(token: str) -> str:
    return clean(token.replace("\t", "⇥")).replace("\n", "⏎\n")


def _bar(value: float) -> dict[str, Any]:
    """A value as a bar on an axis from −1 to 1, in percent of its width."""
    value = max(-1.0, min(1.0, value)) if math.isfinite(value) else 0.0
    left, width = (50.0, 50 * value) if value >= 0 else (50 + 50 * value, -50 * value)
    return {"sign": "over" if value >= 0 else "below", "left": f"{left:.1f}", "width": f"{width:.1f}"}
