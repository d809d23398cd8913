"""People and things that move; the facts are who and what is where after each move.

Facts: `place:NAME:i` (where NAME is after the i-th time its place is settled; a carried thing moves with its carrier,
and someone who joins another is where the other is) and `asked` (the place that the end of the text says, settled once
the question has named whom it is about). A place fact is stated only if the end asks for just that placement; it holds
until the next one of the same NAME. Held-out combinations are pairs of a person or thing with a place. A `^` in a
sentence is where the placement is settled.

Slots of a wording: X who moves, Y another person, p the place, t a thing, Z the one asked for. An answer that starts
with a space goes on with the sentence of `ask`.
"""

from collections import Counter
from typing import Any, NamedTuple

from thinkaloud.pocket.episodes.common import NAMES, Dice, Draft, Fact, is_held_out, read, words

DATA = read("places")
PLACES, THINGS = words(DATA["places"]), words(DATA["things"])


class Event(NamedTuple):
    """kind start, go, join or take; other is the person joined or the thing taken; `movers` are at `place` then."""

    kind: str
    who: str
    other: str
    movers: tuple[str, ...]
    place: str


def write(draft: Draft, dice: Dice, tale: dict[str, Any], split: str) -> list[Fact]:
    while True:
        events, asked = _draw(dice, carrying=tale["take"] is not None)
        pairs = [(mover, event.place) for event in events for mover in event.movers]
        place = dict(pairs)[asked]
        if split == "train" and not any(is_held_out("places", *pair) for pair in pairs):
            return _tell(draft, dice, tale, events, asked, {}, place)
        if split == "heldout" and (wanted := [p for p in PLACES if is_held_out("places", asked, p)]):
            unseen = dice.pick(wanted)
            return _tell(draft, dice, tale, events, asked, {place: unseen, unseen: place}, unseen)


def _draw(dice: Dice, carrying: bool) -> tuple[list[Event], str]:
    """Two or three people start somewhere, then there are two to four more events; and the entity to ask for."""
    people = dice.sample(NAMES, dice.between(2, 3))
    thing = dice.pick(THINGS) if carrying else ""
    take_at = dice.between(0, 1)
    at: dict[str, str] = {}
    carrier = ""
    events: list[Event] = []

    def happens(kind: str, who: str, place: str, other: str = "") -> None:
        moved = other if kind == "take" else who
        movers = (moved, thing) if moved == carrier else (moved,)
        at.update(dict.fromkeys(movers, place))
        events.append(Event(kind, who, other, movers, place))

    def free_place() -> str:
        return dice.pick([place for place in PLACES if place not in at.values()])

    for who in people:
        happens("start", who, free_place())
    for i in range(dice.between(2, 4)):
        if thing and i == take_at:
            carrier = dice.pick(people)
            happens("take", carrier, at[carrier], thing)
        who = carrier if carrier and dice.chance(0.5) else dice.pick(people)
        other = dice.pick([person for person in people if person != who])
        if dice.chance(0.25) and at[other] != at[who]:
            happens("join", who, at[other], other)
        else:
            happens("go", who, free_place())
    return events, thing if thing and dice.chance(0.6) else dice.pick(people)


def _tell(
    draft: Draft, dice: Dice, tale: dict[str, Any], events: list[Event], asked: str, swap: dict[str, str], answer: str
) -> list[Fact]:
    """Write the tale with the places of `swap` exchanged, which ends in `answer`."""
    chat = not tale["answer"].startswith(" ") and dice.chance(0.5)
    if chat:
        draft.turn("user")
    draft.write(tale["intro"])
    settled: list[tuple[str, str, int]] = []
    times: Counter[str] = Counter()
    for event in events:
        place = swap.get(event.place, event.place)
        sentence = dice.pick(tale["go"]) if event.kind == "go" else tale[event.kind]
        (mark,) = draft.write(sentence + " ", {"X": event.who, "Y": event.other, "t": event.other, "p": place})
        for mover in event.movers:
            times[mover] += 1
            settled.append((f"place:{mover}:{times[mover]}", place, mark))
    named = f"the {asked}" if asked in THINGS else asked
    (named_at,) = draft.write(tale["ask"], {"Z": named})
    if chat:
        draft.turn("assistant")
    elif not tale["answer"].startswith(" "):
        draft.write(" ")
    said = tale["answer"].format(Z=named, p=answer)
    (stated,) = draft.write(said[0].upper() + said[1:])
    last = f"place:{asked}:{times[asked]}"
    facts = [Fact(name, place, mark, stated if name == last else None) for name, place, mark in settled]
    return [*facts, Fact("asked", answer, named_at, stated)]
