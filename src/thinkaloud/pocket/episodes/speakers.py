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
    while True:
        trait = dice.pick(DATA["traits"])
        first, second = dice.sample(trait["cues"], 2)
        if is_held_out("speakers", *sorted((first, second))) == (split == "heldout"):
            break
    talk = dice.sample(DATA["small_talk"], dice.pick((1, 1, 2, 2, 2, 3)))
    second = second.replace("^", "")
    known: list[int] = []
    for i, (asked, reply) in enumerate(talk):
        draft.turn("user")
        cue = (first, second)[i] + " " if i < 2 else ""
        known += draft.write(dice.pick(DATA["links" if i else "greetings"]) + cue + asked)
        draft.turn("assistant")
        draft.write(reply)
    draft.turn("user")
    draft.write(dice.pick(DATA["links"]) + (second + " " if len(talk) == 1 else "") + question["text"])
    draft.turn("assistant")
    advice = trait["advice"][DATA["topics"].index(question["topic"])]
    (stated,) = draft.write(dice.pick(DATA["naming"]).format(trait["you"], advice))
    return [Fact("trait", trait["value"], known[0], stated)]
