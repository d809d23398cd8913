"""Word problems of one or two steps; the facts are the number after each step and the answer.

Facts: `after_step_1`, `after_step_2` (the quantity, settled by the step's number and verb, stated as the result of its
line in the solution) and `answer` (the last of these quantities). Held-out combinations are single steps: the quantity
before, the operation and the number. A `^` in a sentence is where the step is settled.

Slots of a wording: A and B people, he/He/him/his/His for A, n and k numbers, objs the things counted.
"""

from dataclasses import replace
from typing import Any, NamedTuple

from thinkaloud.pocket.episodes.common import Dice, Draft, Fact, is_held_out, read, two_people

DATA = read("problems")
SCALE = {(op, n): sentences for op, n, *sentences in DATA["scale"]}


class Step(NamedTuple):
    """before `op` number = after; op is one of + - * /."""

    before: int
    op: str
    number: int
    after: int


def write(draft: Draft, dice: Dice, scene: dict[str, Any], split: str) -> list[Fact]:
    steps = _draw_steps(dice, split)
    slots = {**two_people(dice), "objs": dice.pick(scene["objs"].split()), "n": steps[0].before}
    chat = dice.chance(1 / 3)
    if chat:
        draft.turn("user")
    draft.write(scene["opening"], slots)
    known: list[int] = []
    used: list[str] = []
    for step in steps:  # a sentence a step, never the same one twice
        options = {"+": scene["add"], "-": scene["subtract"]}.get(step.op) or SCALE[step.op, step.number]
        used.append(dice.pick([option for option in options if option not in used]))
        known += draft.write(" " + used[-1], {**slots, "k": step.number})
    draft.write(" " + scene["ask"], slots)
    if chat:
        draft.turn("assistant")
    else:
        draft.write("\n")
    line = dice.pick(DATA["solutions"])
    facts = []
    for i, (step, at) in enumerate(zip(steps, known, strict=True), 1):
        head = "We get" if len(steps) == 1 else "First:" if i == 1 else "Then:"
        (stated,) = draft.write(line.format(head=head, **step._asdict()))
        facts.append(Fact(f"after_step_{i}", str(step.after), at, stated))
    draft.write(f"#### {facts[-1].value}")
    return [*facts, replace(facts[-1], name="answer")]


def _draw_steps(dice: Dice, split: str) -> list[Step]:
    """Numbers for one or two steps: in train no step is held out, in held-out episodes at least one is."""
    while True:
        n_steps = dice.between(1, 2)
        steps = [_draw_step(dice, dice.between(3, 30 if n_steps == 1 else 24))]
        if n_steps == 2:
            steps.append(_draw_step(dice, steps[0].after))
        if any(not 1 <= step.after < 60 for step in steps):
            continue
        # A step that takes the number just reached would make the text say that quantity before it is stated.
        if n_steps == 2 and steps[0].after in (steps[1].number, steps[1].after):
            continue
        if any(is_held_out("problems", s.before, s.op, s.number) for s in steps) == (split == "heldout"):
            return steps


def _draw_step(dice: Dice, quantity: int) -> Step:
    if dice.chance(0.12):
        op, number = dice.pick((("*", 2), ("*", 3), ("/", 2)))
    else:
        number = dice.between(2, 15)
        op = "+" if dice.chance(0.5) else "-"
    # An odd quantity has no half: 0 makes the caller draw again.
    half = 0 if quantity % 2 else quantity // 2
    after = {"+": quantity + number, "-": quantity - number, "*": quantity * number, "/": half}
    return Step(quantity, op, number, after[op])
