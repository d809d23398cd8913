"""Paragraphs are found and taken apart, and the ablation finds which of them carries the vector."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from thinkaloud.pair.scores import text_mse
from thinkaloud.studies.results import Read, Results
from thinkaloud.studies.survey.analysis import parts
from thinkaloud.studies.survey.paragraphs import effects, split, variants

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
        assert list(split(found.replaced(k)).parts) == pieces[:k] + pieces[k + 1 :]
        assert list(split(found.replaced(k, "new")).parts) == [*pieces[:k], "new", *pieces[k + 1 :]]


@given(st.text())
def test_no_paragraph_is_empty_and_nothing_but_white_space_is_lost(text: str) -> None:
    found = split(text)
    assert all(part.strip() for part in found.parts)
    assert "".join("".join(found.parts).split()) == "".join(text.split())


def test_chosen_are_only_texts_of_two_paragraphs_or_more() -> None:
    texts = ["one", "", "a\nb", "a\n\nb\n\nc", "two\n"] * 10

    def chosen(texts: list[str], n: int, seed: int) -> list[int]:
        return list(dict.fromkeys(one["row"] for one in variants(texts, [""] * len(texts), n, seed)))

    assert chosen(texts, 100, 0) == [i for i in range(50) if i % 5 in (2, 3)]
    assert len(chosen(texts, 7, 0)) == 7
    assert chosen(texts, 7, 0) == chosen(texts, 7, 0) != chosen(texts, 7, 1)
    assert chosen(["one", ""], 5, 0) == chosen([], 5, 0) == []


def test_variants_take_from_an_explanation_of_another_document_with_as_many_paragraphs() -> None:
    texts = ["a1\na2", "b1\nb2", "c1\nc2", "d1\nd2\nd3", "own"]
    made = variants(texts, ["x", "x", "y", "y", "z"], 9, seed=0)
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


def ablated(reconstruct: Callable[[Sequence[str]], Tensor], folder: Path) -> tuple[Read, dict[str, str]]:
    """The rows of the page's table, and the verdicts on the parts of the published claim."""
    made = variants(TEXTS, DOCUMENTS, 60, seed=1)
    errors = text_mse(reconstruct, [r["text"] for r in made], VECTORS[[r["row"] for r in made]])
    scored = [{**r, "mse": e} for r, e in zip(made, errors.tolist(), strict=True)]
    found = Results("survey", cluster="doc")
    parts(found, effects(pd.DataFrame(scored), v=1.0))
    found.write(folder)
    read = Read(folder)
    claim = next(claim for claim in read.claims() if claim["id"] == "B4")
    return read, {part["part"]: part["verdict"] for part in claim["parts"]}


LAST = "last removed less all others removed"


def named(text: str, word: str) -> Tensor | None:
    """The vector whose number stands behind `word`."""
    words = text.split()
    return VECTORS[int(words[words.index(word) + 1])] if word in words else None


def test_it_is_found_where_the_last_paragraph_carries_everything(tmp_path: Path) -> None:
    noise = torch.randn(16, generator=torch.Generator().manual_seed(9))

    def only_the_last(texts: Sequence[str]) -> Tensor:
        return torch.stack([vector if (vector := named(t, "closing")) is not None else noise for t in texts])

    found, verdicts = ablated(only_the_last, tmp_path)
    assert found.values["ablated"] == 60
    assert found.values["ablated whole"].value == pytest.approx(1, abs=1e-5)
    assert found.values["another document's"].high < 0.5
    *others, last = found["parts"]
    assert last["paragraph"] == "3 of 3 (last)"
    assert min(last["FVE lost without it"].low, last["FVE lost with another's"].low) > 0.5
    assert last["FVE of it alone"].value == pytest.approx(1, abs=1e-5)
    for row in others:
        assert row["FVE lost without it"].value == pytest.approx(0, abs=1e-5)
        assert row["FVE lost with another's"].value == pytest.approx(0, abs=1e-5)
        assert row["FVE of it alone"].high < 0.5
    assert verdicts[LAST] == "holds"


def test_it_is_found_where_the_first_carries_everything(tmp_path: Path) -> None:
    def only_the_first(texts: Sequence[str]) -> Tensor:
        return torch.stack([vector if (vector := named(t, "opening")) is not None else torch.ones(16) for t in texts])

    found, verdicts = ablated(only_the_first, tmp_path)
    assert found["parts"][0]["FVE lost without it"].low > 0.5
    assert verdicts[LAST] == "does not hold"


def test_intervals_lie_over_zero_where_no_paragraph_matters(tmp_path: Path) -> None:
    dice = np.random.default_rng(3)

    def deaf(texts: Sequence[str]) -> Tensor:
        return VECTORS[0] + torch.tensor(dice.normal(size=(len(texts), 16)), dtype=torch.float32)

    found, verdicts = ablated(deaf, tmp_path)
    assert [row["FVE lost without it"].sign for row in found["parts"]] == [0, 0, 0]
    assert set(verdicts.values()) <= {"open", "holds in direction only"}


def test_explanations_with_another_number_of_paragraphs_are_left_out() -> None:
    records = pd.DataFrame(
        {"row": i, "doc_id": f"d{i}", "variant": "whole", "place": 0, "of": 2 + (i == 0), "mse": 0.25} for i in range(5)
    )
    found = effects(records, v=0.5)
    assert (found["of"].tolist(), found["whole"].tolist()) == ([2] * 4, [0.5] * 4)
    assert effects(records[:2], v=0.5)["of"].tolist() == [2], "of equally common numbers the smallest"
    assert effects(pd.DataFrame(), v=0.5).empty
