"""Made word problems of one to three steps, each with worked examples of as many: apt for chat models of 0.1 B weights.

The steps of a problem all add or all take away, and its numbers are small: such a model works some of every grade.
"""

from collections.abc import Iterator

from thinkaloud.pocket.episodes.common import Dice

GRADES, EXAMPLES = 3, 4  # numbers of steps; worked examples before a problem
MOST = 9  # the largest number of a step, and of what there is before steps that add

_SHE, _HE = ["Anna", "Lucy", "Mary", "Emma", "Ruth", "Nora"], ["Tom", "Ben", "Sam", "Jack", "Paul", "Adam"]
_THINGS = ["apples", "books", "cards", "coins", "eggs", "marbles", "pencils", "stickers", "shells", "buttons"]
_VERBS = {"+": ("gets", "finds", "buys"), "-": ("loses", "gives away", "sells")}


def graded(n: int, seed: int) -> Iterator[tuple[int, str, str, int, list[tuple[str, str]]]]:
    """`n` problems, the grades in turn: how many steps, the question, its working, the answer, and worked examples that
    do not name it.
    """
    for i in range(n):
        dice, steps = Dice(f"graded {seed} {i}"), i % GRADES + 1
        op = dice.pick("+-")
        question, working, values = _drawn(dice, steps, op)
        examples: list[tuple[str, str]] = []
        while len(examples) < EXAMPLES:
            asked, worked, others = _drawn(dice, steps, op)
            examples += [(asked, worked)] if values[-1] not in others else []
        yield steps, question, working, values[-1], examples


def _drawn(dice: Dice, steps: int, op: str) -> tuple[str, str, list[int]]:
    """Question, working and every number of one problem, the answer last."""
    while True:
        numbers = [dice.between(2, MOST if steps < GRADES else MOST // 2) for _ in range(steps)]
        reached = [dice.between(2, MOST) if op == "+" else sum(numbers) + dice.between(1, MOST)]
        for number in numbers:
            reached.append(reached[-1] + (number if op == "+" else -number))
        if len({*numbers, *reached}) == 2 * steps + 1:  # else the answer would stand in the question or be a step's
            break
    she = dice.chance(0.5)
    name, who, things = dice.pick(_SHE if she else _HE), "She" if she else "He", dice.pick(_THINGS)
    told, worked = [f"{name} has {reached[0]} {things}."], []
    for number, before, after in zip(numbers, reached, reached[1:], strict=False):
        said = f"{who} {dice.pick(_VERBS[op])} {number}{' more' if op == '+' else ''}"
        told.append(f"{said} {things}.")
        worked.append(f"{said}: {before} {op} {number} = {after}.")
    question = f"{' '.join(told)} How many {things} does {name} have now?"
    return question, f"{' '.join(worked)}\n#### {reached[-1]}", [*numbers, *reached]
