"""People and things that move; the facts are who and what is where after each move.

Facts: `place:NAME:i` (where NAME is after the i-th time its place is settled; a carried thing moves with its carrier,
and someone who joins another is where the other is) and `asked` (the place that the end of the text says, settled once
the question has named whom it is about). A place fact is stated only if the end asks for just that placement; it holds
until the next one of the same NAME. Held-out combinations are pairs of a person or thing with a place. A `^` in a
sentence is where the placement is settled.
"""

from dataclasses import dataclass, field, replace

from thinkaloud.pocket.episodes.common import Dice, Draft, Episode, Fact, is_held_out, made, pick_wording, read, words
from thinkaloud.pocket.episodes.people import NAMES


@dataclass(frozen=True)
class Tale:
    """One way to tell moves. Slots: X who moves, Y another person, p the place, t a thing,
    Z the one asked for. An answer that starts with a space goes on with the sentence of `ask`."""

    name: str
    intro: str
    start: str
    go: tuple[str, ...]
    join: str
    take: str | None
    ask: str
    answer: str


@dataclass(frozen=True)
class Event:
    """kind start, go, join or take; other is the person joined or the thing taken; `settles` the placements made."""

    kind: str
    who: str
    other: str | None
    settles: tuple[tuple[str, str], ...]


_DATA = read("places")
PLACES, THINGS = words(_DATA["places"]), words(_DATA["things"])
TRAIN, HELD_OUT = made(Tale, _DATA["train"]), made(Tale, _DATA["heldout"])


@dataclass
class _World:
    """The state while a tale is drawn: who is where, and who carries which thing."""

    at: dict[str, str] = field(default_factory=dict)
    carrier: str | None = None
    thing: str | None = None

    def put(self, entity: str, place: str) -> tuple[tuple[str, str], ...]:
        """Move an entity, with the thing it carries if any; the placements this settles."""
        movers = [entity, self.thing] if self.thing and entity == self.carrier else [entity]
        self.at.update(dict.fromkeys(movers, place))
        return tuple((mover, place) for mover in movers)


def write(dice: Dice, split: str) -> Episode:
    tale = pick_wording(dice, split, TRAIN, HELD_OUT)
    while True:
        events, asked = _draw(dice, carrying=tale.take is not None)
        pairs = [pair for event in events for pair in event.settles]
        place = dict(pairs)[asked]
        if split == "train" and not any(is_held_out("places", *pair) for pair in pairs):
            return _tell(dice, tale, events, asked, place, split)
        if split == "heldout" and (wanted := [p for p in PLACES if is_held_out("places", asked, p)]):
            unseen = dice.pick(wanted)
            return _tell(dice, tale, _swap_places(events, place, unseen), asked, unseen, split)


def _draw(dice: Dice, carrying: bool) -> tuple[list[Event], str]:
    """Two or three people start somewhere, then there are two to four more events; and the entity to ask for."""
    people = dice.sample(NAMES, dice.between(2, 3))
    thing = dice.pick(THINGS) if carrying else None
    take_at = dice.between(0, 1)
    world = _World()
    events = [Event("start", who, None, world.put(who, _free_place(dice, world))) for who in people]
    for i in range(dice.between(2, 4)):
        if thing and i == take_at:
            world.carrier, world.thing = dice.pick(people), thing
            events.append(Event("take", world.carrier, thing, world.put(thing, world.at[world.carrier])))
        who = world.carrier if world.carrier and dice.chance(0.5) else dice.pick(people)
        other = dice.pick([person for person in people if person != who])
        if dice.chance(0.25) and world.at[other] != world.at[who]:
            events.append(Event("join", who, other, world.put(who, world.at[other])))
        else:
            events.append(Event("go", who, None, world.put(who, _free_place(dice, world))))
    return events, thing if thing and dice.chance(0.6) else dice.pick(people)


def _swap_places(events: list[Event], one: str, other: str) -> list[Event]:
    swap = {one: other, other: one}
    return [
        replace(event, settles=tuple((entity, swap.get(place, place)) for entity, place in event.settles))
        for event in events
    ]


def _free_place(dice: Dice, world: _World) -> str:
    taken = set(world.at.values())
    return dice.pick([place for place in PLACES if place not in taken])


def _tell(dice: Dice, tale: Tale, events: list[Event], asked: str, place: str, split: str) -> Episode:
    draft = Draft()
    chat = not tale.answer.startswith(" ") and dice.chance(0.5)
    if chat:
        draft.turn("user")
    draft.write(tale.intro)
    settled: list[tuple[str, str, int]] = []
    for event in events:
        slots = {"X": event.who, "Y": event.other, "t": event.other, "p": event.settles[0][1]}
        template = {"start": tale.start, "join": tale.join, "take": tale.take}.get(event.kind) or dice.pick(tale.go)
        (mark,) = draft.write(template + " ", slots)
        settled += [(entity, where, mark) for entity, where in event.settles]
    named = f"the {asked}" if asked in THINGS else asked
    (named_at,) = draft.write(tale.ask, {"Z": named})
    if chat:
        draft.turn("assistant")
    elif not tale.answer.startswith(" "):
        draft.write(" ")
    answer = tale.answer.format(Z=named, p=place)
    (stated,) = draft.write(answer[0].upper() + answer[1:])
    facts = [*_place_facts(settled, asked, stated), Fact("asked", place, named_at, stated)]
    return draft.finish("places", facts, tale.name, split)


def _place_facts(settled: list[tuple[str, str, int]], asked: str, stated: int) -> list[Fact]:
    """One fact a placement; only the last one of the asked entity is stated."""
    counts: dict[str, int] = {}
    last = max(i for i, (entity, _, _) in enumerate(settled) if entity == asked)
    facts = []
    for i, (entity, where, mark) in enumerate(settled):
        counts[entity] = counts.get(entity, 0) + 1
        facts.append(Fact(f"place:{entity}:{counts[entity]}", where, mark, stated if i == last else None))
    return facts
