"""Sequences; the facts are the rule by which they go on and the next item.

Facts: `rule` (the kind of rule, settled by the first item that leaves one kind only) and `next` (the item after those
shown, settled by the last item shown). The rule is stated by a phrase that starts with its kind. Held-out combinations
are the first three items shown. Slots of a wording: noun and nouns for the items, seq the items shown, next, and rule,
a verb phrase.

The rule set. Numbers: count up or down by 2 to 10, double, halve, alternate between any two. Letters (no wrap), days
and months (with wrap): move forward or back, by one or two. Other words: alternate between two, repeat three in turn.
Two numbers or two such words leave the kind open, as any two may alternate, and the third item settles it; but two
numbers that no other rule joins already alternate. Two letters, days or months settle the direction.
"""

from typing import Any, NamedTuple

from thinkaloud.pocket.episodes.common import Dice, Draft, Fact, is_held_out, read, two_people, words

DATA = read("rules")
ORDERED, WORDS = ({noun: words(listed) for noun, listed in DATA[name].items()} for name in ("ordered", "words"))


class Sequence(NamedTuple):
    """The items shown and the next one in `row`; `rule` starts with `kind`, which `settled_by` items settle."""

    kind: str
    rule: str
    noun: str
    row: list[str]
    settled_by: int


def write(draft: Draft, dice: Dice, ask: dict[str, Any], split: str) -> list[Fact]:
    sequence = _draw(dice)
    while is_held_out("rules", *sequence.row[:3]) != (split == "heldout"):
        sequence = _draw(dice)
    *shown, following = sequence.row
    slots = {"noun": sequence.noun, "nouns": sequence.noun + "s", "next": "^" + following, "rule": "^" + sequence.rule}
    before, after = ask["text"].split("{seq}")
    people = two_people(dice)
    draft.write(dice.pick(DATA["intros"]), people)
    draft.write(before, slots)
    ends = []
    for i, item in enumerate(shown):
        draft.write(f", {item}" if i else item)
        ends.append(len(draft.text))
    said = dict(zip(sorted(("{next}", "{rule}"), key=after.index), draft.write(after, slots), strict=True))
    return [
        Fact("rule", sequence.kind, ends[sequence.settled_by - 1], said["{rule}"]),
        Fact("next", following, ends[-1], said["{next}"]),
    ]


def _draw(dice: Dice) -> Sequence:
    shown = dice.between(4, 6)
    return dice.pick((_numbers, _numbers, _numbers, _ordered, _ordered, _words, _words))(dice, shown)


def _numbers(dice: Dice, shown: int) -> Sequence:
    kind = dice.pick(("count up", "count up", "count down", "count down", "double", "halve", "alternate"))
    settled_by = 3
    if kind in ("count up", "count down"):
        step, start = dice.between(2, 10), dice.between(1, 20)
        rule, row = f"{kind} by {step}", [start + step * i for i in range(shown + 1)]
    elif kind in ("double", "halve"):
        start = dice.between(1, 9)
        rule, row = f"{kind} each time", [start * 2**i for i in range(min(shown, 5) + 1)]
    else:
        one, other = pair = dice.sample(range(1, 40), 2)
        rule, row = "alternate between two numbers", [pair[i % 2] for i in range(shown + 1)]
        if not 2 <= abs(one - other) <= 10 and max(pair) != 2 * min(pair):
            settled_by = 2
    if kind in ("count down", "halve"):
        row.reverse()
    return Sequence(kind, rule, "number", [str(n) for n in row], settled_by)


def _ordered(dice: Dice, shown: int) -> Sequence:
    noun = dice.pick(tuple(ORDERED))
    ring = ORDERED[noun]
    step = dice.between(1, 2)
    kind = dice.pick(("move forward", "move back"))
    start = dice.between(0, len(ring) - 1 - (step * shown if noun == "letter" else 0))
    row = [ring[(start + step * i) % len(ring)] for i in range(shown + 1)]
    if kind == "move back":
        row.reverse()
    return Sequence(kind, f"{kind} by {('one', 'two')[step - 1]} {noun}{'s' if step > 1 else ''}", noun, row, 2)


def _words(dice: Dice, shown: int) -> Sequence:
    noun = dice.pick(tuple(WORDS))
    kind, n, rule = dice.pick((("alternate", 2, "alternate between two"), ("repeat three", 3, "repeat three")))
    items = dice.sample(WORDS[noun], n)
    row = [items[i % n] for i in range(shown + 1)]
    return Sequence(kind, f"{rule} {noun}s" + " in turn" * (n == 3), noun, row, 3)
