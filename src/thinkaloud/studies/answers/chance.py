"""Chance: other numbers of the same problem, which an explanation might name as well as M's answer.

own       the numbers of the question, of the working that comes with it, and of what M writes, but for M's answer and
          the right one. An explanation that names any of a problem's numbers at random names each of these as often as
          the answer. Most of them stand in the text that M has read, so before the answer is written they are named
          more easily than it: a strict chance.
possible  what two numbers of question and working make by + − × ÷, whole, with as many digits as M's answer, and
          at this token neither in the question nor written by M, like the answer itself. An explanation of which the
          numbers are guesses at the next step names each of these as often as the answer.
"""

from decimal import Decimal
from itertools import permutations
from typing import Literal

from thinkaloud.studies.numbers import numbers
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


def others(solution: Solution, token: int) -> tuple[list[str], list[str]]:
    """The numbers other than M's answer and the right one, `own` and `possible`, in digits."""
    answer, gold = solution.answer, solution.problem.gold
    known = solution.problem.given | numbers(solution.problem.working)
    made = {value for a, b in permutations(known, 2) for value in (a + b, a - b, a * b, a / b if b else a)}
    possible = {
        value
        for value in made
        if value > 0
        and value == value.to_integral_value()
        and answer is not None
        and len(written(value)) == len(written(answer))
        and value not in solution.problem.given
        and not (value in solution.mentions and solution.mentions[value][1] <= token)
    }
    return tuple(sorted(map(written, some - {answer, gold})) for some in (known | set(solution.mentions), possible))  # type: ignore[return-value]


def written(value: Decimal) -> str:
    """A number in digits, without an exponent."""
    return format(value.normalize() + 0, "f")
