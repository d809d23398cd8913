"""Chance: other numbers of the same problem, as much written as M's answer, that an explanation might name as well.

own       numbers of the question, of the working that comes with it, and of what M writes, then and later, but for M's
          answer and the right one; where M has not written its answer yet, those that it has neither read nor written.
          An explanation that names a problem's numbers at random names each of these as often as the answer.
possible  what two numbers of question and working make by + − × ÷, whole, with as many digits as M's answer, neither
          read nor written so far. An explanation that guesses at the next step names each as often as the answer.
"""

from decimal import Decimal
from itertools import permutations
from typing import Literal

from thinkaloud.numbers import numbers
from thinkaloud.studies.problems import Solution

Standing = Literal["ahead", "next token", "written", ""]


def standing(solution: Solution, token: int) -> Standing:
    """Where M's answer is, seen from a token: `written` (also in the question), one token on, or further `ahead`."""
    if solution.answer is None:
        return ""
    left = solution.mentions[solution.answer][1] - token
    if left <= 0 or solution.answer in solution.problem.given:
        return "written"
    return "ahead" if left > 1 else "next token"


def others(solution: Solution, token: int) -> dict[str, list[str]]:
    """The numbers other than M's answer and the right one at a token, in digits: `own` and `possible`."""
    answer, given = solution.answer, solution.problem.given
    known = given | numbers(solution.problem.working)
    read = given | {value for value, (_, last) in solution.mentions.items() if last <= token}
    every = known | set(solution.mentions)
    made = {value for a, b in permutations(known, 2) for value in (a + b, a - b, a * b, a / b if b else a)}
    digits = 0 if answer is None else len(written(answer))
    possible = {v for v in made - read if v > 0 and v == v.to_integral_value() and len(written(v)) == digits}
    own = every & read if standing(solution, token) == "written" else every - read
    sets = {"own": own, "possible": possible}
    return {name: sorted(map(written, some - {answer, solution.problem.gold})) for name, some in sets.items()}


def written(value: Decimal) -> str:
    """A number in digits, without an exponent."""
    return format(value.normalize() + 0, "f")
