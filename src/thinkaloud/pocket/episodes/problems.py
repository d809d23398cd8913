"""Word problems of one or two steps; the facts are the number after each step and the answer.

Facts: `after_step_1`, `after_step_2` (the quantity, settled by the step's number and verb, stated as the result of its
line in the solution) and `answer` (the last of these quantities). Held-out combinations are single steps: the quantity
before, the operation and the number. A `^` in a sentence is where the step is settled.
"""

from dataclasses import dataclass

from thinkaloud.pocket.episodes.common import Dice, Draft, Episode, Fact, is_held_out, made, pick_wording, read
from thinkaloud.pocket.episodes.people import NAMES, pronouns


@dataclass(frozen=True)
class Scene:
    """One setting. Slots: A and B people, he/He/him/his/His for A, n and k numbers, objs the things counted."""

    name: str
    objs: str
    opening: str
    add: tuple[str, str]
    subtract: tuple[str, str]
    ask: str


@dataclass(frozen=True)
class Step:
    """before `op` number = after; op is one of + - * /."""

    before: int
    op: str
    number: int
    after: int


_DATA = read("problems")
SCALE = {(op, n): (first, second) for op, n, first, second in _DATA["scale"]}
TRAIN, HELD_OUT = made(Scene, _DATA["train"]), made(Scene, _DATA["heldout"])


def write(dice: Dice, split: str) -> Episode:
    scene = pick_wording(dice, split, TRAIN, HELD_OUT)
    steps = _draw_steps(dice, split)
    person, friend = dice.sample(NAMES, 2)
    slots = {"A": person, "B": friend, "objs": dice.pick(scene.objs.split()), "n": steps[0].before, **pronouns(person)}
    draft = Draft()
    chat = dice.chance(1 / 3)
    if chat:
        draft.turn("user")
    draft.write(scene.opening, slots)
    known = _tell(draft, dice, scene, steps, slots)
    draft.write(" " + scene.ask, slots)
    if chat:
        draft.turn("assistant")
    else:
        draft.write("\n")
    stated = _solve(draft, dice, steps)
    facts = [
        Fact(f"after_step_{i}", str(step.after), at, said)
        for i, (step, at, said) in enumerate(zip(steps, known, stated, strict=True), 1)
    ]
    facts.append(Fact("answer", str(steps[-1].after), known[-1], stated[-1]))
    return draft.finish("problems", facts, scene.name, split)


def _draw_steps(dice: Dice, split: str) -> list[Step]:
    """Numbers for one or two steps: in train no step is held out, in held-out episodes at least one is."""
    while True:
        n_steps = dice.between(1, 2)
        quantity = dice.between(3, 30 if n_steps == 1 else 24)
        steps = []
        for _ in range(n_steps):
            step = _draw_step(dice, quantity)
            steps.append(step)
            quantity = step.after
        if any(not 1 <= step.after < 60 for step in steps):
            continue
        # A step that takes the number just reached would make the text say that quantity before it is stated.
        if n_steps == 2 and (steps[1].number == steps[0].after or steps[1].after == steps[0].after):
            continue
        if any(is_held_out("problems", s.before, s.op, s.number) for s in steps) == (split == "heldout"):
            return steps


def _draw_step(dice: Dice, quantity: int) -> Step:
    if dice.chance(0.12):
        op, number = dice.pick((("*", 2), ("*", 3), ("/", 2)))
        if op == "/":
            # An odd quantity has no half: 0 makes the caller draw again.
            return Step(quantity, op, number, 0 if quantity % 2 else quantity // 2)
        return Step(quantity, op, number, quantity * number)
    number = dice.between(2, 15)
    if dice.chance(0.5):
        return Step(quantity, "+", number, quantity + number)
    return Step(quantity, "-", number, quantity - number)


def _tell(draft: Draft, dice: Dice, scene: Scene, steps: list[Step], slots: dict) -> list[int]:
    """Write a sentence a step, never the same one twice; where each is settled."""
    used: set[str] = set()
    known = []
    for step in steps:
        options = {"+": scene.add, "-": scene.subtract}.get(step.op) or SCALE[step.op, step.number]
        sentence = dice.pick([option for option in options if option not in used])
        used.add(sentence)
        known += draft.write(" " + sentence, {**slots, "k": step.number})
    return known


def _solve(draft: Draft, dice: Dice, steps: list[Step]) -> list[int]:
    """Write the worked solution; where each result starts."""
    line = dice.pick(("{0} {1} {2} = ^{3}\n", "{0} {1} {2} = ^{3}\n", "{4} {0} {1} {2} = ^{3}.\n"))
    stated = []
    for i, step in enumerate(steps):
        head = ("First:", "Then:")[i] if len(steps) > 1 else "We get"
        filled = line.format(step.before, step.op, step.number, step.after, head)
        stated += draft.write(filled)
    draft.write(f"#### {steps[-1].after}")
    return stated
