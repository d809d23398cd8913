"""Sequences; the facts are the rule by which they go on and the next item.

Facts: `rule` (the kind of rule, settled by the first item that leaves one kind only) and `next` (the item after those
shown, settled by the last item shown). The rule is stated by a phrase that starts with its kind. Held-out combinations
are the first three items shown.

The rule set. Numbers: count up or down by 2 to 10, double, halve, alternate between any two. Letters (no wrap), days
and months (with wrap): move forward or back, by one or two. Other words: alternate between two, repeat three in turn.
Two numbers or two such words leave the kind open, as any two may alternate, and the third item settles it; but two
numbers that no other rule joins already alternate. Two letters, days or months settle the direction.
"""

from dataclasses import dataclass

from thinkaloud.pocket.episodes.common import Dice, Draft, Episode, Fact, is_held_out, pick_wording, words
from thinkaloud.pocket.episodes.people import NAMES

LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = words("January February March April May June July August September October November December")
WORDS = {
    "colour": words("red blue green yellow black white pink brown purple orange"),
    "fruit": words("apple pear plum peach lemon fig cherry melon grape lime"),
    "toy": words("ball doll kite drum puzzle robot top train bear boat"),
    "shape": words("circle square star heart cross moon arrow ring dot cube"),
}


@dataclass(frozen=True)
class Ask:
    """How a sequence is told. Slots: noun and nouns for its items, seq the items shown, next, rule a verb phrase."""

    name: str
    text: str


@dataclass(frozen=True)
class Sequence:
    """items shown, then `next`; `rule` starts with `kind`; `settled_by` counts the items that settle the kind."""

    kind: str
    rule: str
    noun: str
    items: tuple[str, ...]
    next: str
    settled_by: int


# fmt: off
TRAIN = (
    Ask("what next", "What comes next? {seq}. The next {noun} is {next}. The rule is to {rule}."),
    Ask("row", "Look at this row of {nouns}: {seq}. To go on, you {rule}. So the row goes on with {next}."),
    Ask("teacher",
        'The teacher writes {seq} on the board. "And now?" she asks. "{next}," says a pupil, "because you {rule}."'),
    Ask("locked door",
        "The lock opens with a row of {nouns}. So far it shows {seq}. The last {noun} has to be {next}, for the rule "
        "of this lock is to {rule}."),
    Ask("game", "We play a game: each player says one {noun}. We have heard {seq}. We {rule}, so my turn is {next}."),
    Ask("machine",
        "A machine prints {nouns} on a strip of paper: {seq}. It was built to {rule}. After a short pause it prints "
        "{next}."),
    Ask("robot", "Robot: {seq}. Robot, go on! Robot: {next}. What is your rule? I {rule}."),
    Ask("test", "Task: find the rule.\nGiven: {seq}\nRule: {rule}\nNext: {next}"),
    Ask("answer first", "Given: {seq}\nNext: {next}\nRule: {rule}"),
    Ask("grandfather",
        'My grandfather liked such riddles. He would say, "{seq}." I had to answer, "{next}," and then explain that '
        'you {rule}.'),
    Ask("beads",
        "Along a string hang small signs with {nouns} on them: {seq}. The child who made it wanted to {rule}, so the "
        "next sign says {next}."),
    Ask("missing", "One {noun} is missing at the end: {seq}, and then? It is {next}. Here they {rule}."),
    Ask("train",
        "Each wagon of the toy train has a {noun} on its side. They pass by: {seq}. The wagon after that has {next}, "
        "since the wagons {rule}."),
    Ask("easy", "This one is easy. {seq}, and so on. You {rule}, which gives {next}."),
    Ask("parrot",
        "Listen to the parrot: {seq}. And there it goes again: {next}. Who would have thought that a parrot can "
        "{rule}?"),
    Ask("notebook",
        "In the old notebook I read {seq}. The page is torn there. The writer meant to {rule}, so {next} must have "
        "come next."),
    Ask("two friends", '"{seq}," says one friend. "{next}," says the other. They {rule} all the way home.'),
    Ask("choose", "Which {noun} belongs at the end of {seq}? Answer: {next}. Reason: the {nouns} {rule}."),
    Ask("tiles",
        "The floor has tiles with {nouns}. Walking along it I read {seq}. My next step will land on {next}, if the "
        "tiles really {rule}."),
    Ask("code",
        "The spy sends {seq} over the radio. The code is to {rule}, and therefore the next {noun} sent is {next}."),
    Ask("stairs",
        "On each stair somebody painted a {noun}. From the bottom up: {seq}. Whoever painted them liked to {rule}. "
        "The stair above shows {next}."),
    Ask("chant", "All together now! {seq}! Louder! {next}! That is how we {rule}."),
    Ask("quiz", "Quiz question. After {seq} comes which {noun}? The winner says {next} and adds that they {rule}."),
    Ask("then", "First I said {seq}. I meant to {rule}. Then of course I said {next}."),
    Ask("computer", "> input: {seq}\n> guess: {next}\n> rule: {rule}\n> correct"),
    Ask("computer two", "> input: {seq}\n> rule: {rule}\n> guess: {next}\n> correct"),
    Ask("calendar",
        'Somebody left a list of {nouns} on the table: {seq}. "They {rule}," said the cook, and wrote {next} under '
        'it.'),
    Ask("wall",
        "Painted along the wall were {nouns}, one after the other: {seq}. The next one, {next}, was still wet. The "
        "painter had been told to {rule}."),
    Ask("baby",
        "The baby listens: {seq}. What follows? Mother smiles and says {next}. Babies learn early how we {rule}."),
    Ask("pattern", "Pattern: {seq}. To continue it, {rule}. Continued: {next}."),
    Ask("pattern back", "Pattern: {seq}. Continued: {next}. How it works: {rule}."),
    Ask("cards", 'I lay cards with {nouns} in a line, {seq}, and stop. "{next}," you guess. Right! I always {rule}.'),
    Ask("birds",
        "Strange birds: they call {seq}, as if they knew how to {rule}. And what do they call now? They call {next}."),
    Ask("contest",
        "In the contest everyone had to go on from {seq}. Only one child wrote {next}. Her note said: just {rule}."),
    Ask("shop list",
        "The list on the door begins like this: {seq}. If they {rule}, then {next} is the next {noun} on it."),
    Ask("sleep", "To fall asleep I whisper {nouns}: {seq}. I simply {rule}. The last thing I whisper is {next}."),
    Ask("dance", "The dance has a {noun} for each step. We call {seq} and then {next}. Remember, dancers {rule}."),
    Ask("stones",
        "Scratched into stones along the path are {nouns}. We pass {seq}. The stone ahead must say {next}, as the "
        "stones {rule}."),
    Ask("help", "Help me with this one: {seq}. I think they {rule}. Then what I need is {next}, is it not?"),
    Ask("plain", "{seq}, {next}: here you {rule}."),
)

HELD_OUT = (
    Ask("ship",
        "The ship hoists its signs in order: {seq}. Its captain has orders to {rule}. The next sign to go up is "
        "{next}."),
    Ask("puzzle page", "From the puzzle page: continue {seq}. Solution: {next}. Hint: {rule}."),
    Ask("echo", "A voice calls out from the hills: {seq}. We wait. Then it calls {next}. Even the hills {rule}."),
    Ask("dice", 'My cousin shows me {nouns} one by one: {seq}. "I {rule}," she says. So I say {next}, and I am right.'),
    Ask("bus lines",
        "The signs at the bus stop read {seq}. The sign behind the tree reads {next}. Whoever ordered them chose to "
        "{rule}."),
)
# fmt: on

INTROS = (
    "A riddle for {A}, who is good at such things:\n",
    "This one comes from {A}, and it took us some time.\n",
    "The paper had a few more like the following.\n",
    "Before supper {A} asked for another puzzle.\n",
    "It looks hard at first, but it is not.\n",
    "A small exercise, to be done without a pencil.\n",
    "{A} and {B} were waiting and had time to think.\n",
    "Everything here follows a rule, said {A}.\n",
)


def write(dice: Dice, split: str) -> Episode:
    ask = pick_wording(dice, split, TRAIN, HELD_OUT)
    sequence = _draw(dice)
    while is_held_out("rules", *sequence.items[:3]) != (split == "heldout"):
        sequence = _draw(dice)
    return _tell(dice, ask, sequence, split)


def _draw(dice: Dice) -> Sequence:
    shown = dice.between(4, 6)
    return dice.pick((_numbers, _numbers, _numbers, _ordered, _ordered, _words, _words))(dice, shown)


def _numbers(dice: Dice, shown: int) -> Sequence:
    kind = dice.pick(("count up", "count up", "count down", "count down", "double", "halve", "alternate"))
    rule = kind
    if kind in ("count up", "count down"):
        step = dice.between(2, 10)
        rule = f"{kind} by {step}"
        start = dice.between(1, 20)
        row = [start + step * i for i in range(shown + 1)]
        if kind == "count down":
            row.reverse()
    elif kind in ("double", "halve"):
        rule = f"{kind} each time"
        shown = min(shown, 5)
        start = dice.between(1, 9)
        row = [start * 2**i for i in range(shown + 1)]
        if kind == "halve":
            row.reverse()
    else:
        rule = "alternate between two numbers"
        one, other = pair = dice.sample(range(1, 40), 2)
        row = [pair[i % 2] for i in range(shown + 1)]
        if not 2 <= abs(one - other) <= 10 and max(pair) != 2 * min(pair):
            return _sequence(kind, rule, "number", [str(n) for n in row], settled_by=2)
    return _sequence(kind, rule, "number", [str(n) for n in row], settled_by=3)


def _ordered(dice: Dice, shown: int) -> Sequence:
    noun, ring = dice.pick((("letter", LETTERS), ("day", DAYS), ("month", MONTHS)))
    step = dice.between(1, 2)
    kind = dice.pick(("move forward", "move back"))
    span = step * shown
    start = dice.between(0, len(ring) - 1 - (span if noun == "letter" else 0))
    row = [ring[(start + step * i) % len(ring)] for i in range(shown + 1)]
    if kind == "move back":
        row.reverse()
    rule = f"{kind} by {('one', 'two')[step - 1]} {noun}{'s' if step > 1 else ''}"
    return _sequence(kind, rule, noun, row, settled_by=2)


def _words(dice: Dice, shown: int) -> Sequence:
    noun = dice.pick(tuple(WORDS))
    kind, n, rule = dice.pick((("alternate", 2, "alternate between two"), ("repeat three", 3, "repeat three")))
    words = dice.sample(WORDS[noun], n)
    row = [words[i % n] for i in range(shown + 1)]
    return _sequence(kind, f"{rule} {noun}s" + " in turn" * (n == 3), noun, row, settled_by=3)


def _sequence(kind: str, rule: str, noun: str, row: list[str], settled_by: int) -> Sequence:
    return Sequence(kind, rule, noun, tuple(row[:-1]), row[-1], settled_by)


def _tell(dice: Dice, ask: Ask, sequence: Sequence, split: str) -> Episode:
    slots = {"noun": sequence.noun, "nouns": sequence.noun + "s", "next": sequence.next, "rule": sequence.rule}
    before, after = ask.text.split("{seq}")
    draft = Draft()
    person, friend = dice.sample(NAMES, 2)
    draft.write(dice.pick(INTROS), {"A": person, "B": friend})
    draft.write(before, slots)
    ends = []
    for i, item in enumerate(sequence.items):
        draft.write(f", {item}" if i else item)
        ends.append(draft.length)
    marks = draft.write(after.replace("{next}", "^{next}").replace("{rule}", "^{rule}"), slots)
    if after.index("{next}") > after.index("{rule}"):
        marks.reverse()
    facts = [
        Fact("rule", sequence.kind, ends[sequence.settled_by - 1], marks[1]),
        Fact("next", sequence.next, ends[-1], marks[0]),
    ]
    return draft.finish("rules", facts, ask.name, split)
