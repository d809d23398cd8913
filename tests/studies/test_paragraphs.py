"""Paragraphs are found and taken apart, and the ablation finds which of them carries the vector."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from thinkaloud.pair.scores import text_mse
from thinkaloud.studies.survey.page import judged
from thinkaloud.studies.survey.paragraphs import Effects, choose, effects, split, variants

PIECES = st.lists(st.text("ab .\t", min_size=1).map(str.strip).filter(bool), min_size=1, max_size=5)


@pytest.mark.parametrize(
    ("text", "parts", "joint"),
    [
        ("", (), "\n"),
        (" \n\n ", (), "\n"),
        ("One.", ("One.",), "\n"),
        ("A.\nB.\nC.", ("A.", "B.", "C."), "\n"),
        ("A.\n\nB.", ("A.", "B."), "\n\n"),
        ("A,\nstill A.\n\nB.", ("A,\nstill A.", "B."), "\n\n"),
        ("\n\nA.\nB.\n\n", ("A.", "B."), "\n"),
        ("A.\n \t\n\n\nB.\n\nC.", ("A.", "B.", "C."), "\n\n"),
    ],
)
def test_blocks_between_blank_lines_or_else_lines(text: str, parts: tuple[str, ...], joint: str) -> None:
    found = split(text)
    assert found.parts == parts
    assert found.joint == joint


@given(PIECES, st.sampled_from(["\n", "\n\n"]))
def test_what_was_joined_is_parted_again(pieces: list[str], joint: str) -> None:
    found = split(joint.join(pieces))
    assert list(found.parts) == pieces
    for k in range(len(pieces)):
        assert list(split(found.without(k)).parts) == pieces[:k] + pieces[k + 1 :]
        assert list(split(found.replaced(k, "new")).parts) == [*pieces[:k], "new", *pieces[k + 1 :]]


@given(st.text())
def test_no_paragraph_is_empty_and_nothing_but_white_space_is_lost(text: str) -> None:
    found = split(text)
    assert all(part.strip() for part in found.parts)
    assert "".join("".join(found.parts).split()) == "".join(text.split())


def test_chosen_are_only_texts_of_two_paragraphs_or_more() -> None:
    texts = ["one", "", "a\nb", "a\n\nb\n\nc", "two\n"] * 10
    assert choose(texts, 100, 0) == [i for i in range(50) if i % 5 in (2, 3)]
    assert len(choose(texts, 7, 0)) == 7
    assert choose(texts, 7, 0) == choose(texts, 7, 0) != choose(texts, 7, 1)
    assert choose(["one", ""], 5, 0) == []


def test_variants_take_from_an_explanation_of_another_document_with_as_many_paragraphs() -> None:
    texts = ["a1\na2", "b1\nb2", "c1\nc2", "d1\nd2\nd3", "own"]
    made = variants(texts, ["x", "x", "y", "y", "z"], [0, 3], seed=0)
    by = {(r["row"], r["variant"], r["place"]): r["text"] for r in made}
    assert by[0, "whole", 0] == "a1\na2"
    assert (by[0, "without", 1], by[0, "without", 2]) == ("a2", "a1")
    assert (by[0, "alone", 1], by[0, "alone", 2]) == ("a1", "a2")
    assert (by[0, "replaced", 1], by[0, "replaced", 2]) == ("c1\na2", "a1\nc2")
    assert by[0, "other", 0] == "c1\nc2"
    assert not [key for key in by if key[0] == 3 and key[1] in ("replaced", "other")]  # nothing else has three
    assert by[3, "without", 2] == "d1\nd3"


# A world of 60 explanations of 30 documents: three paragraphs, each of which names its vector by number.
TEXTS = [f"opening {i}\nmiddle {i}\nclosing {i}" for i in range(60)]
DOCUMENTS = [f"d{i // 2}" for i in range(60)]
VECTORS = torch.randn(60, 16, generator=torch.Generator().manual_seed(0))


def ablated(reconstruct: Callable[[Sequence[str]], Tensor]) -> Effects:
    made = variants(TEXTS, DOCUMENTS, range(60), seed=1)
    found = text_mse(reconstruct, [r["text"] for r in made], VECTORS[[r["row"] for r in made]])
    scored = [{**r, "doc_id": DOCUMENTS[r["row"]], "mse": e} for r, e in zip(made, found.tolist(), strict=True)]
    (effect,) = filter(None, [effects(scored, v=1.0)])
    return effect


def named(text: str, word: str) -> Tensor | None:
    """The vector whose number stands behind `word`."""
    words = text.split()
    return VECTORS[int(words[words.index(word) + 1])] if word in words else None


def test_it_is_found_where_the_last_paragraph_carries_everything() -> None:
    noise = torch.randn(16, generator=torch.Generator().manual_seed(9))

    def only_the_last(texts: Sequence[str]) -> Tensor:
        return torch.stack([vector if (vector := named(t, "closing")) is not None else noise for t in texts])

    found = ablated(only_the_last)
    assert found.explanations == 60
    assert found.whole.value == pytest.approx(1, abs=1e-5)
    assert found.removed[3].low > 0.5
    assert found.replaced[3].low > 0.5
    assert found.alone[3].value == pytest.approx(1, abs=1e-5)
    for k in (1, 2):
        assert found.removed[k].value == pytest.approx(0, abs=1e-5)
        assert found.replaced[k].value == pytest.approx(0, abs=1e-5)
        assert found.alone[k].high < 0.5
    assert found.other.high < 0.5
    assert judged(found.last_removed.values()) == judged(found.last_replaced.values()) == "holds here"


def test_it_is_found_where_the_first_carries_everything() -> None:
    def only_the_first(texts: Sequence[str]) -> Tensor:
        return torch.stack([vector if (vector := named(t, "opening")) is not None else torch.ones(16) for t in texts])

    found = ablated(only_the_first)
    assert judged(found.last_removed.values()) == judged(found.last_replaced.values()) == "does not hold here"
    assert found.last_removed[1].high < 0


def test_intervals_lie_over_zero_where_no_paragraph_matters() -> None:
    dice = np.random.default_rng(3)

    def deaf(texts: Sequence[str]) -> Tensor:
        return VECTORS[0] + torch.tensor(dice.normal(size=(len(texts), 16)), dtype=torch.float32)

    found = ablated(deaf)
    assert [value.sign for value in found.removed.values()] == [0, 0, 0]
    assert [value.sign for value in found.replaced.values()] == [0, 0, 0]
    assert judged(found.last_removed.values()) == judged(found.last_replaced.values()) == "cannot be said"


def test_explanations_with_another_number_of_paragraphs_are_left_out() -> None:
    records = [
        {"row": i, "doc_id": f"d{i}", "variant": "whole", "place": 0, "of": 2 + (i == 0), "mse": 0.25} for i in range(5)
    ]
    found, of_two = effects(records, v=0.5), effects(records[:2], v=0.5)
    assert found
    assert of_two
    assert (found.of, found.explanations) == (2, 4)
    assert of_two.of == 2, "of equally common numbers the smallest"
    assert found.whole.value == pytest.approx(0.5)
    assert found.removed[1].n == 0
    assert effects([], v=0.5) is None
