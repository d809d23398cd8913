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

from thinkaloud.pocket.episodes.common import Dice, Draft, Episode, Fact, is_held_out, made, pick_wording, read, words
from thinkaloud.pocket.episodes.people import NAMES

LETTERS = tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
DAYS = words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
MONTHS = words("January February March April May June July August September October November December")


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


_DATA = read("rules")
WORDS = {noun: words(listed) for noun, listed in _DATA["words"].items()}
TRAIN, HELD_OUT, INTROS = made(Ask, _DATA["train"]), made(Ask, _DATA["heldout"]), _DATA["intros"]


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
