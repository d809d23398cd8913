"""Chats in which the user shows a trait without naming it; the fact is the trait that the answer will need.

Fact: `trait` (settled by the first cue, stated where the assistant names it). Held-out combinations are pairs of cues
of one trait, in either order. The wording is the user's last question, on one of the topics.

A `^` in a cue is where it gives the trait away. Of a trait, `you` goes on after "you", with a mark before `value`, and
`advice`, one a topic, goes on after "you could".
"""

from typing import Any

from thinkaloud.pocket.episodes.common import Dice, Draft, Fact, is_held_out, read

DATA = read("speakers")


def write(draft: Draft, dice: Dice, question: dict[str, Any], split: str) -> list[Fact]:
    trait, first, second = _draw_cues(dice)
    while is_held_out("speakers", *sorted((first, second))) != (split == "heldout"):
        trait, first, second = _draw_cues(dice)
    second = second.replace("^", "")
    talk = dice.sample(DATA["small_talk"], dice.pick((1, 1, 2, 2, 2, 3)))
    known = _small_talk(draft, dice, talk, first, second)
    draft.turn("user")
    draft.write(dice.pick(DATA["links"]) + (second + " " if len(talk) == 1 else "") + question["text"])
    draft.turn("assistant")
    advice = trait["advice"][DATA["topics"].index(question["topic"])]
    (stated,) = draft.write(dice.pick(DATA["naming"]).format(trait["you"], advice))
    return [Fact("trait", trait["value"], known, stated)]


def _draw_cues(dice: Dice) -> tuple[dict[str, Any], str, str]:
    trait = dice.pick(DATA["traits"])
    first, second = dice.sample(trait["cues"], 2)
    return trait, first, second


def _small_talk(draft: Draft, dice: Dice, talk: list[list[str]], first: str, second: str) -> int:
    """Write the early turns, the first two opened by the cues if there are two; where the first cue is settled."""
    known = 0
    for i, (asked, reply) in enumerate(talk):
        draft.turn("user")
        if i == 0:
            (known,) = draft.write(dice.pick(DATA["greetings"]) + first)
        else:
            draft.write(dice.pick(DATA["links"]) + (second if i == 1 else ""))
        draft.write((" " if i < 2 else "") + asked)
        draft.turn("assistant")
        draft.write(reply)
    return known
