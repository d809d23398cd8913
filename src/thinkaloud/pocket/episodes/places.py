"""People and things that move; the facts are who and what is where after each move.

Facts: `place:NAME:i` (where NAME is after the i-th time its place is settled; a carried thing moves with its carrier,
and someone who joins another is where the other is) and `asked` (the place that the end of the text says, settled once
the question has named whom it is about). A place fact is stated only if the end asks for just that placement; it holds
until the next one of the same NAME. Held-out combinations are pairs of a person or thing with a place. A `^` in a
sentence is where the placement is settled.
"""

from dataclasses import dataclass, field, replace

from thinkaloud.pocket.episodes.common import Dice, Draft, Episode, Fact, is_held_out, pick_wording, words
from thinkaloud.pocket.episodes.people import NAMES

PLACES = words("kitchen garden attic cellar library barn garage museum park bakery tower office")
THINGS = words("ball key lamp hat cup letter rope basket clock drum book flute")


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


# fmt: off
TRAIN = (
    Tale("plain", "", "{X} is in the {p}^.", ("{X} goes to the {p}^.", "Then {X} walks to the {p}^."),
         "{X} joins {Y}^.", None, "Where is {Z}^?", "{Z} is in the ^{p}."),
    Tale("rain", "It rains all day. ", "{X} sits in the {p}^.", ("{X} moves to the {p}^.",
         "Bored, {X} wanders into the {p}^."), "{X} goes to keep {Y}^ company.", None,
         "At the end of the day, where is {Z}^?", "In the ^{p}."),
    Tale("carry", "", "{X} is in the {p}^.", ("{X} goes to the {p}^.", "{X} leaves for the {p}^."), "{X} follows {Y}^.",
         "{X} picks up the {t}^ there.", "Where is {Z}^ now?", "{Z} is in the ^{p}."),
    Tale("hide", "The children play hide and seek. ", "{X} hides in the {p}^.", ("{X} sneaks into the {p}^.",
         "Soon {X} creeps over to the {p}^."), "{X} squeezes in beside {Y}^.", None, "Where must one look for {Z}^?",
         "One must look in the ^{p}."),
    Tale("search", "", "{X} was in the {p}^.", ("{X} ran to the {p}^.", "After that {X} hurried to the {p}^."),
         "{X} went to look for {Y}^ and stayed there.", None, "So, in the end, {Z}^ was", " in the ^{p}."),
    Tale("guard", "Night falls. ", "The guard {X} stands in the {p}^.", ("{X} marches off to the {p}^.",
         "To the {p} goes {X}^."), "{X} takes up a post next to {Y}^.", None, "Where does {Z}^ stand at midnight?",
         "In the ^{p}."),
    Tale("inverted", "", "In the {p} waits {X}^.", ("Into the {p} steps {X}^.", "It is the {p} that {X}^ visits next."),
         "Where {Y} is, {X}^ goes too.", None, "Now where is {Z}^?", "Now {Z} is in the ^{p}."),
    Tale("cat", "Everybody is busy. ", "{X} works in the {p}^.", ("{X} has to go to the {p}^.",
         "A noise brings {X} to the {p}^."), "{X} goes to help {Y}^.", None,
         "If the cat wants to find {Z}^, where should it go?", "It should go to the ^{p}."),
    Tale("parcel", "", "{X} was waiting in the {p}^.", ("{X} drove to the {p}^.", "Next {X} travelled to the {p}^."),
         "{X} met up with {Y}^.", "{X} took the {t}^ along from there.", "Whoever wanted to see {Z}^ had to go to",
         " the ^{p}."),
    Tale("school", "The class is on a trip. ", "{X} begins in the {p}^.", ("{X} has a look at the {p}^.",
         "The teacher sends {X} to the {p}^."), "{X} would rather be with {Y}^ and goes there.", None,
         "The bus is leaving. Where is {Z}^?", "{Z} is still in the ^{p}."),
    Tale("butler", "The butler keeps notes. ", "{X}: in the {p}^ at eight.", ("{X}: gone to the {p}^.",
         "{X}: seen in the {p}^."), "{X}: gone to {Y}^.", None, "Last place of {Z}^:", " the ^{p}."),
    Tale("phone", "", '"I am in the {p}," says {X}^.', ('"Now I am off to the {p}," says {X}^.',
         "{X} calls from the {p}^."), '{X} calls: "I am with {Y}^ now."', None, "Where can {Z}^ be found?",
         "In the ^{p}."),
    Tale("detective", "The detective thinks aloud. ", "At six {X} was in the {p}^.", ("Later {X} was seen in the {p}^.",
         "Then {X} slipped away to the {p}^."), "Then {X} slipped away to {Y}^.", None,
         "So when the lights went out, {Z}^ was", " in the ^{p}."),
    Tale("cleaning", "It is cleaning day. ", "{X} sweeps the {p}^.", ("{X} starts on the {p}^.",
         "Now {X} scrubs the {p}^."), "{X} goes over to help {Y}^.", None, "Which room is {Z}^ in?",
         "{Z} is in the ^{p}."),
    Tale("carry back", "", "{X} stands in the {p}^.", ("{X} returns to the {p}^.",
         "With quick steps {X} enters the {p}^."), "{X} runs after {Y}^.", "{X} grabs the {t}^ that lies there.",
         "Tell me where {Z}^ is.", "{Z} is in the ^{p}."),
    Tale("ghost", "The house has ghosts. ", "The ghost of {X} haunts the {p}^.",
         ("The ghost of {X} floats to the {p}^.", "Through the wall {X} drifts into the {p}^."),
         "{X} floats over to {Y}^.", None, "When the clock strikes one, {Z}^ is", " in the ^{p}."),
    Tale("letter", "Dear diary, ", "today {X} spent the morning in the {p}^.", ("At noon {X} went off to the {p}^.",
         "Later on {X} left for the {p}^."), "Later on {X} went to see {Y}^.", None, "As I write this, {Z}^ is",
         " in the ^{p}."),
    Tale("painter", "", "{X} paints a picture of the {p}, standing right in it^.",
         ("For the next picture {X} goes to the {p}^.", "The light is better in the {p}, so {X}^ moves there."),
         "{X} wants to paint {Y}^ and goes there.", None, "Where does {Z}^ stand at sunset?",
         "{Z} stands in the ^{p}."),
    Tale("lunch", "It is nearly time for lunch. ", "{X} is still in the {p}^.", ("{X} runs across to the {p}^.",
         "Quickly {X} looks into the {p}^ and stays."), "{X} goes to fetch {Y}^ and stays there.", None,
         "Lunch is ready, and {Z}^ is called from", " the ^{p}."),
    Tale("movers", "The movers are at work. ", "{X} begins in the {p}^.", ("{X} carries on in the {p}^.",
         "After a pause {X} heads for the {p}^."), "{X} lends {Y}^ a hand.", "{X} loads up the {t}^ from there.",
         "Where will they find {Z}^?", "They will find {Z} in the ^{p}."),
    Tale("snow", "Snow is falling. ", "{X} keeps warm in the {p}^.", ("{X} trudges over to the {p}^.",
         "Cold and wet, {X} reaches the {p}^."), "{X} goes and sits with {Y}^.", None, "Where does {Z}^ sit now?",
         "Now {Z} sits in the ^{p}."),
    Tale("film", "They are making a film. ", "In the first scene {X} is in the {p}^.", ("Cut: {X} arrives in the {p}^.",
         "In the next scene {X} bursts into the {p}^."), "Cut: {X} turns up beside {Y}^.", None,
         "In the last scene we see {Z}^", " in the ^{p}."),
    Tale("twins", "", "You could find {X} in the {p}^.", ("A little later {X} was off to the {p}^.",
         "Before long {X} had moved on to the {p}^."), "A little later {X} was with {Y}^.", None,
         "Where could you find {Z}^ after that?", "You could find {Z} in the ^{p}."),
    Tale("spy", "The spy writes a report. ", "{X} enters the {p}^.", ("{X} leaves and enters the {p}^.",
         "{X} changes over to the {p}^."), "{X} secretly meets {Y}^.",
         "{X} hides the {t}^ from that room under a coat.", "Present position of {Z}^:", " the ^{p}."),
    Tale("music", "Someone plays the piano. ", "{X} listens in the {p}^.", ("{X} dances into the {p}^.",
         "Humming, {X} strolls to the {p}^."), "{X} dances over to {Y}^.", None, "The music stops. Where is {Z}^?",
         "In the ^{p}."),
    Tale("fire drill", "The alarm rings. ", "{X} is caught in the {p}^.", ("{X} is led to the {p}^.",
         "They bring {X} to the {p}^."), "They bring {X} to {Y}^.", None, "When everyone is counted, where is {Z}^?",
         "{Z} is in the ^{p}."),
    Tale("map", "", "On the map a pin shows {X} in the {p}^.", ("The pin of {X} jumps to the {p}^.",
         "A minute later {X} shows up in the {p}^."), "The pin of {X} jumps next to {Y}^.", None,
         "Where does the map show {Z}^ at last?", "It shows {Z} in the ^{p}."),
    Tale("robot", "The robots have new orders. ", "Robot {X} starts in the {p}^.", ("Robot {X} rolls to the {p}^.",
         "A signal calls {X} to the {p}^."), "Robot {X} rolls up to {Y}^.",
         "Robot {X} lifts the {t}^ from the floor there.", "Find {Z}^!", "{Z} is in the ^{p}."),
    Tale("market", "", "Early in the morning {X} opens the {p}^ and goes in.",
         ("At ten {X} crosses the street to the {p}^.", "Once done, {X} tries the {p}^."), "{X} drops in on {Y}^.",
         None, "Somebody asks for {Z}^. Where to send them?", "To the ^{p}."),
    Tale("fairy", "Once upon a time there was a spell. ", "It put {X} in the {p}^.", ("It whirled {X} to the {p}^.",
         "One breath, and {X} stood in the {p}^."), "It whirled {X} to the side of {Y}^.", None,
         "When the spell broke, {Z}^ was", " in the ^{p}."),
    Tale("sleep", "Nobody can sleep. ", "{X} lies awake in the {p}^.", ("{X} tiptoes to the {p}^.",
         "With a candle {X} climbs into the {p}^."), "{X} lies down beside {Y}^.", None,
         "Where does {Z}^ fall asleep at last?", "{Z} falls asleep in the ^{p}."),
    Tale("picnic", "", "For the picnic {X} is sent to the {p}^.", ("Something is missing, so {X} goes to the {p}^.",
         "From there {X} turns to the {p}^."), "{X} goes where {Y}^ is.", "{X} packs the {t}^ that was left there.",
         "Where would you look for {Z}^?", "I would look in the ^{p}."),
    Tale("bet", "They make a bet. ", "{X} takes the {p}^.", ("{X} switches to the {p}^.", "Now {X} picks the {p}^."),
         "{X} would rather share with {Y}^.", None, "In the final round, {Z}^ has", " the ^{p}."),
    Tale("nurse", "The doctor looks for patients. ", "{X} rests in the {p}^.", ("{X} is wheeled to the {p}^.",
         "Feeling better, {X} walks over to the {p}^."), "{X} is wheeled over to {Y}^.", None,
         "Where should the doctor go to see {Z}^?", "The doctor should go to the ^{p}."),
    Tale("pair", "", "First of all, {X} goes into the {p}^.", ("Out again, {X} goes into the {p}^.",
         "A door opens, and {X} is in the {p}^."), "Out again, {X} goes to {Y}^.", None, "Behind which door is {Z}^?",
         "Behind the door of the ^{p}."),
    Tale("photo", "A photographer walks round. ", "The first picture shows {X} in the {p}^.",
         ("A new one shows {X} in the {p}^.", "Another one has {X} in the {p}^."),
         "Another one has {X} standing with {Y}^.", None, "The newest picture of {Z}^ was taken in", " the ^{p}."),
    Tale("gossip", "", '"{X}? In the {p}^, of course."', ('"No, {X} has gone to the {p}^."',
         '"I just saw {X} in the {p}^."'), '"I just saw {X} with {Y}^."', None, '"And {Z}^?"', ' "In the ^{p}."'),
    Tale("treasure", "They hunt for treasure. ", "{X} digs in the {p}^.", ("{X} tries the {p}^ next.",
         "A clue leads {X} to the {p}^."), "{X} digs together with {Y}^ now.", "{X} finds the {t}^ there and keeps it.",
         "Where is {Z}^ at nightfall?", "At nightfall {Z} is in the ^{p}."),
    Tale("heat", "It is very hot. ", "{X} looks for shade in the {p}^.", ("{X} escapes to the {p}^.",
         "Hoping for a breeze, {X} goes to the {p}^."), "{X} settles down near {Y}^.", None,
         "Where does {Z}^ drink lemonade?", "{Z} drinks lemonade in the ^{p}."),
    Tale("tour", "", "The tour leaves {X} in the {p}^.", ("On foot {X} reaches the {p}^.",
         "By bicycle {X} gets to the {p}^."), "By bicycle {X} catches up with {Y}^.", None,
         "Where does the tour pick up {Z}^?", "In the ^{p}."),
)

HELD_OUT = (
    Tale("storm", "A storm is coming. ", "{X} closes the windows in the {p}^.", ("{X} goes on to the {p}^.",
         "A bang sends {X} to the {p}^."), "{X} runs to {Y}^.", None, "When the storm breaks, where is {Z}^?",
         "{Z} is in the ^{p}."),
    Tale("radio", "", "A voice on the radio reports {X} in the {p}^.", ("A moment later {X} is reported in the {p}^.",
         "Then {X} appears in the {p}^."), "Then {X} appears next to {Y}^.", None, "Where was {Z}^ reported last?",
         "In the ^{p}."),
    Tale("errand", "", "In the {p} we meet {X}^.", ("On an errand {X} heads to the {p}^.",
         "{X} has business in the {p}^ and goes there."), "{X} has business with {Y}^ and goes there.",
         "{X} carries off the {t}^ from there.", "Where has {Z}^ ended up?", "{Z} has ended up in the ^{p}."),
    Tale("birthday", "It is a birthday. ", "{X} hangs up flowers in the {p}^.", ("{X} is called to the {p}^.",
         "Laughing, {X} races to the {p}^."), "Laughing, {X} races to {Y}^.", None, "As the song begins, {Z}^ is",
         " in the ^{p}."),
)
# fmt: on


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
