"""The facts of the pocket world hold: each is derived again from the text by the reader in world_reader.py."""

import hashlib
import os
import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from pocket.world_reader import (
    continuations,
    read_asked,
    read_items,
    read_moves,
    read_quantities,
    read_rhyme,
    read_traits,
    rhyme_of,
)

from thinkaloud.errors import UserError
from thinkaloud.pocket.chat import render
from thinkaloud.pocket.world import FAMILIES, SPLITS, Episode, Fact, episode, episodes, rhyme_words, wordings

GOLDEN = "ff31babefa564a994bf750084f19935eebf38f5cfe765f2d525f0899963ec177"
N = 400


def drawn(family: str, split: str, n: int = N) -> list[Episode]:
    return [episode(seed, family, split) for seed in range(n)]


def without_last_word(text: str) -> str:
    return re.sub(r"[\w'-]+\W*$", "", text)


def before_and_at(made: Episode, fact: Fact) -> tuple[str, str]:
    """The text up to where the fact is settled, less its last word and whole."""
    settled = made.text[: fact.known_from]
    return without_last_word(settled), settled


both = pytest.mark.parametrize("split", SPLITS)
each = pytest.mark.parametrize("family", FAMILIES)


@both
@each
def test_offsets_and_messages(family: str, split: str) -> None:
    for made in drawn(family, split):
        assert made.family == family
        assert made.split == split
        assert made.facts
        for fact in made.facts:
            assert 0 < fact.known_from <= len(made.text)
            assert re.match(r"\w", made.text[fact.known_from - 1]), "settled by the end of a word"
            assert not re.match(r"\w", made.text[fact.known_from]), "settled by a whole word"
            if fact.stated_at is not None:
                assert fact.known_from < fact.stated_at
                stated = rhyme_words(fact.value) if fact.name == "rhyme" else (fact.value,)
                assert re.match(rf"({'|'.join(stated)})\b", made.text[fact.stated_at :])
        if made.messages is not None:
            assert render(made.messages) == made.text
            roles = [message["role"] for message in made.messages]
            assert roles == ["user", "assistant"] * (len(roles) // 2)
        else:
            assert "<|" not in made.text
        assert 80 <= len(made.text) <= 700
        assert made.text.isascii()
        assert "{" not in made.text
        assert "^" not in made.text


@each
def test_which_episodes_are_chats(family: str) -> None:
    share = sum(made.messages is not None for made in drawn(family, "train")) / N
    low, high = {"speakers": (1, 1), "problems": (0.25, 0.42), "places": (0.25, 0.42)}.get(family, (0, 0))
    assert low <= share <= high


@both
def test_problems(split: str) -> None:
    for made in drawn("problems", split):
        *steps, answer = made.facts
        for i, fact in enumerate(steps, 1):
            before, at = before_and_at(made, fact)
            assert fact.name == f"after_step_{i}"
            assert len(read_quantities(at)) == i + 1
            assert read_quantities(at)[-1] == int(fact.value), at
            assert len(read_quantities(before)) <= i, f"settled earlier: {before!r}"
        assert (answer.value, answer.known_from, answer.stated_at) == (
            steps[-1].value,
            steps[-1].known_from,
            steps[-1].stated_at,
        )
        said = made.text.split("<|end|>")[-2] if made.messages else made.text
        assert said.endswith(f"\n#### {answer.value}")
        solved = solution(made.text)
        assert [line[3] for line in solved] == [int(fact.value) for fact in steps]
        assert all({"+": a + b, "-": a - b, "*": a * b, "/": a / b}[op] == c for a, op, b, c in solved)
        assert all(0 < line[3] < 60 for line in solved)


def solution(text: str) -> list[tuple[int, str, int, int]]:
    lines = re.findall(r"(\d+) ([-+*/]) (\d+) = (\d+)", text)
    return [(int(a), op, int(b), int(c)) for a, op, b, c in lines]


@both
def test_places(split: str) -> None:
    for made in drawn("places", split):
        *moves, asked = made.facts
        people = frozenset(who for who in (fact.name.split(":")[1] for fact in moves) if who[0].isupper())
        before, at = before_and_at(made, asked)
        assert asked.name == "asked"
        assert read_asked(at, people) == asked.value, at
        assert read_asked(before, people) is None
        counts: dict[str, int] = {}
        named = []
        for who, where in read_moves(at, people):
            counts[who] = counts.get(who, 0) + 1
            named.append((f"place:{who}:{counts[who]}", where))
        assert named == [(fact.name, fact.value) for fact in moves], made.text
        for i, fact in enumerate(moves):
            before, at = before_and_at(made, fact)
            assert len(read_moves(at, people)) >= i + 1
            assert len(read_moves(before, people)) < i + 1
        (told,) = [fact for fact in moves if fact.stated_at is not None]
        who, i = told.name.split(":")[1:]
        assert (told.value, told.stated_at) == (asked.value, asked.stated_at)
        assert counts[who] == int(i)
        assert re.search(rf"\b{who}\b", made.text[moves[-1].known_from : asked.known_from])


@both
def test_couplets(split: str) -> None:
    for made in drawn("couplets", split):
        (fact,) = made.facts
        before, at = before_and_at(made, fact)
        assert read_rhyme(at) == fact.value, at
        assert read_rhyme(before) != fact.value
        first = re.findall(r"\w+", at)[-1]
        second = re.findall(r"\w+", made.text)[-1]
        assert rhyme_of(second) == fact.value
        assert first != second
        assert made.text[fact.stated_at :].rstrip(".?") == second
        assert {first, second} <= set(rhyme_words(fact.value))
        assert made.text[fact.known_from : fact.stated_at].count("\n") == 1


def test_every_word_of_a_rhyme_class_rhymes() -> None:
    values = {made.facts[0].value for made in drawn("couplets", "train", 2000)}
    assert len(values) >= 24
    for value in values:
        assert len(set(rhyme_words(value))) >= 4
        assert {rhyme_of(word) for word in rhyme_words(value)} == {value}


@both
def test_speakers(split: str) -> None:
    for made in drawn("speakers", split):
        (fact,) = made.facts
        before, at = before_and_at(made, fact)
        assert [trait for trait, _ in read_traits(at)] == [fact.value], at
        assert read_traits(before) == []
        assert {trait for trait, _ in read_traits(made.text)} == {fact.value}
        assert len({sign for _, sign in read_traits(made.text)}) == 2
        assert made.text.lower().index(fact.value.lower()) == fact.stated_at, "named before the answer"
        assert made.text.rindex("<|assistant|>") < fact.stated_at


@both
def test_rules(split: str) -> None:
    for made in drawn("rules", split):
        rule, following = made.facts
        before, at = before_and_at(made, rule)
        assert {kind for kind, _ in continuations(read_items(at))} == {rule.value}, at
        shown = read_items(at)[:-1]
        assert not shown or len({kind for kind, _ in continuations(shown)}) > 1
        before, at = before_and_at(made, following)
        assert continuations(read_items(at)) == {(rule.value, following.value)}, at
        assert rule.known_from <= following.known_from
        fewer = read_items(before.rstrip(", "))
        assert (rule.value, following.value) not in continuations(fewer)


def combinations(made: Episode) -> set[tuple]:
    """The combinations of values in an episode, as its text shows them."""
    if made.family == "problems":
        return {line[:3] for line in solution(made.text)}
    if made.family == "places":
        return {(fact.name.split(":")[1], fact.value) for fact in made.facts[:-1]}
    if made.family == "couplets":
        lines = made.text.split("\n")[1:]
        return {tuple(sorted(re.findall(r"\w+", line)[-1] for line in lines))}
    if made.family == "speakers":
        return {tuple(sorted(sign for _, sign in read_traits(made.text)))}
    return {tuple(read_items(made.text[: made.facts[1].known_from])[:3])}


@each
def test_train_and_heldout_share_no_held_out_wording_or_combination(family: str) -> None:
    train, heldout = drawn(family, "train", 4000), drawn(family, "heldout")
    held_out_wordings = set(wordings(family, "heldout"))
    assert {made.wording for made in train} == set(wordings(family))
    assert held_out_wordings.isdisjoint(wordings(family))
    assert len(held_out_wordings) >= 4
    assert len(wordings(family)) == len(set(wordings(family))) >= 40
    new = sum(made.wording in held_out_wordings for made in heldout) / len(heldout)
    assert 0.4 < new < 0.6
    seen = set().union(*map(combinations, train))
    for made in heldout:
        assert not combinations(made) <= seen, made.text
        if family == "places":
            asked = next(fact for fact in made.facts if fact.stated_at is not None)
            assert (asked.name.split(":")[1], asked.value) not in seen
    assert len({made.text for made in train}) > 3800


def fingerprint() -> str:
    made = [repr(one) for split in SPLITS for one in episodes(11, 100, split)]
    return hashlib.sha256("\n".join(made).encode()).hexdigest()


def test_the_same_everywhere() -> None:
    assert fingerprint() == GOLDEN
    code = "from pocket.test_world import fingerprint; print(fingerprint())"
    environment = {**os.environ, "PYTHONHASHSEED": "123", "PYTHONPATH": str(Path(__file__).parent.parent)}
    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == GOLDEN


def test_seeds_and_families() -> None:
    chosen = [episode(seed) for seed in range(300)]
    assert {made.family for made in chosen} == set(FAMILIES)
    assert all(made == episode(seed, made.family) for seed, made in enumerate(chosen))
    assert all(a.text != b.text for a, b in pairwise(chosen))
    stream = list(episodes(3, 50))
    assert stream[:20] == list(episodes(3, 20))
    assert stream != list(episodes(4, 50))
    assert {made.family for made in episodes(3, 50, families=("rules", "places"))} == {"rules", "places"}


def test_unknown_names_are_refused() -> None:
    with pytest.raises(UserError, match=r"family of the pocket world.*found 'poems'"):
        episode(0, "poems")
    with pytest.raises(UserError, match="expected a split, train or heldout; found 'test'"):
        next(episodes(0, 1, "test"))
