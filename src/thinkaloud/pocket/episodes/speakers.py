"""Chats in which the user shows a trait without naming it; the fact is the trait that the answer will need.

Fact: `trait` (settled by the first cue, stated where the assistant names it). Held-out combinations are pairs of cues
of one trait, in either order. The wording is the user's last question. A `^` in a cue is where it gives the trait away.
"""

from dataclasses import dataclass

from thinkaloud.pocket.episodes.common import Dice, Draft, Episode, Fact, is_held_out, made, pick_wording, read


@dataclass(frozen=True)
class Trait:
    """`you` goes on after "you", with a mark before `value`; advice, one a topic, goes on after "you could"."""

    value: str
    you: str
    cues: tuple[str, ...]
    advice: tuple[str, ...]


@dataclass(frozen=True)
class Question:
    """A user's last question on one of the TOPICS; the answer needs the trait."""

    name: str
    topic: str
    text: str


_DATA = read("speakers")
TOPICS, GREETINGS, LINKS, NAMING = (_DATA[name] for name in ("topics", "greetings", "links", "naming"))
TRAITS, SMALL_TALK = made(Trait, _DATA["traits"]), [(asked, reply) for asked, reply in _DATA["small_talk"]]
TRAIN, HELD_OUT = made(Question, _DATA["train"]), made(Question, _DATA["heldout"])


def write(dice: Dice, split: str) -> Episode:
    question = pick_wording(dice, split, TRAIN, HELD_OUT)
    trait, first, second = _draw_cues(dice)
    while is_held_out("speakers", *sorted((first, second))) != (split == "heldout"):
        trait, first, second = _draw_cues(dice)
    talk = dice.sample(SMALL_TALK, dice.pick((1, 1, 2, 2, 2, 3)))
    draft = Draft()
    known = _small_talk(draft, dice, talk, first, second)
    draft.turn("user")
    draft.write(dice.pick(LINKS) + (second + " " if len(talk) == 1 else "").replace("^", "") + question.text)
    draft.turn("assistant")
    advice = trait.advice[TOPICS.index(question.topic)]
    (stated,) = draft.write(dice.pick(NAMING).format(trait.you, advice))
    return draft.finish("speakers", [Fact("trait", trait.value, known, stated)], question.name, split)


def _draw_cues(dice: Dice) -> tuple[Trait, str, str]:
    trait = dice.pick(TRAITS)
    first, second = dice.sample(trait.cues, 2)
    return trait, first, second


def _small_talk(draft: Draft, dice: Dice, talk: list[tuple[str, str]], first: str, second: str) -> int:
    """Write the early turns, the first two opened by the cues if there are two; where the first cue is settled."""
    known = 0
    for i, (asked, reply) in enumerate(talk):
        draft.turn("user")
        if i == 0:
            (known,) = draft.write(dice.pick(GREETINGS) + first)
        else:
            draft.write(dice.pick(LINKS) + (second.replace("^", "") if i == 1 else ""))
        draft.write((" " if i < 2 else "") + asked)
        draft.turn("assistant")
        draft.write(reply)
    return known
