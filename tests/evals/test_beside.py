"""The controls tell a pair that says something from one that does not, and say why one cannot be had."""

import pytest
import torch
from known_pairs import WIDTH, bench, direction, measured, results, said_of

from thinkaloud.evals.beside import MEAN, NEAREST_TEXT, OWN, Controls
from thinkaloud.evals.controls import foreign_rows

ALONE = "not to be had: needs activations of 2 documents or more, found one"
BY_OTHERS = (
    "another document's explanation",
    "nearest vector of another document",
    NEAREST_TEXT,
    "ridge regression from its bag of words",
)


def test_a_pair_that_copies_lies_above_every_control() -> None:
    found = results(Controls(), bench(direction, second=direction))
    assert found[OWN]["FVE"].value == pytest.approx(1)
    assert found["its own explanation, read by the second AR"]["FVE"].value == pytest.approx(1)
    assert found[MEAN]["FVE by V of this data"] == pytest.approx(0, abs=1e-5)
    assert found[MEAN]["FVE"].value == pytest.approx(0, abs=1e-5)  # V is that of this data here
    others = set(found) - {OWN, "its own explanation, read by the second AR"}
    assert len(others) == 12
    for name in others:
        assert found[name]["FVE"].value < 0.2, name
        assert found[name]["own above it"].value > 0.5, name
        assert found[name]["explanations"] in (10, 40)


def test_an_ar_that_ignores_its_text_is_no_better_than_what_others_say() -> None:
    at = torch.randn(40, WIDTH, generator=torch.Generator().manual_seed(3)) + 2
    found = results(Controls(), bench(lambda text: torch.ones(WIDTH), at))
    own = found[OWN]["FVE"].value
    for name in ("another document's explanation", "the writer's text, which sees no vector"):
        assert found[name]["FVE"].value == pytest.approx(own)
        assert found[name]["own above it"].value == pytest.approx(0, abs=1e-6)
    assert found["the last 8 tokens as plain text"]["own above it"].value == pytest.approx(0, abs=1e-6)


def test_shuffled_pairs_are_those_of_other_documents_explanations() -> None:
    of = bench(direction)
    own = measured(Controls(), of).own
    part = own[own["control"] == "another document's explanation"]
    for row, other in enumerate(foreign_rows(of.docs, of.seed)):
        cos = torch.nn.functional.cosine_similarity(direction(said_of(other)), of.vectors[row], dim=0)
        assert part["mse"].iloc[row] == pytest.approx(2 - 2 * float(cos), abs=1e-5)


def test_ridge_regression_finds_what_is_linear_in_the_words_of_other_documents() -> None:
    words = [f"{a} {b}" for a in "abcdefgh" for b in "stuvwxyz"]
    texts = [" ".join(sorted(text.split()) * 2) for text in words]

    def linear(text: str) -> torch.Tensor:
        return torch.stack([direction(word) for word in ["", *set(text.split())]]).sum(dim=0)

    found = results(Controls(), bench(linear, texts=texts, docs=9))
    assert found["ridge regression from its bag of words"]["FVE"].value > 0.6


def test_the_nearest_text_is_told_by_its_last_words() -> None:
    # Rows i and i + 30 have the same text but for a number, and are of documents of their own.
    at = torch.stack([direction(f"{i % 10} {i % 3}") for i in range(60)])
    found = results(Controls(), bench(direction, at, n=60, docs=60))
    assert found[NEAREST_TEXT]["FVE"].value == pytest.approx(1, abs=1e-5)
    assert found["nearest vector of another document"]["FVE"].value == pytest.approx(1, abs=1e-5)


def test_what_cannot_be_had_says_why() -> None:
    found = results(Controls(), bench(direction, docs=1, next_tokens=False))
    for name in BY_OTHERS:
        assert found[name]["FVE"] is None
        assert found[name]["note"] == ALONE
    assert found["its own explanation, read by the second AR"]["note"] == "not to be had: name one with --second"
    assert "kept no next tokens" in found["the writer's text, which sees no vector"]["note"]
    assert found["the last token alone"]["FVE"].clusters == 1


def test_zeros_and_no_injection_have_one_text_for_all() -> None:
    own = measured(Controls(), bench(direction)).own
    for name in ("zeros in place of the vector", "no injection"):
        part = own[own["control"] == name]
        assert part["text"].nunique() == 1
        assert len(part) == 40


@pytest.mark.filterwarnings("error")
def test_vectors_of_one_direction_have_no_fve() -> None:
    found = results(Controls(), bench(direction, torch.ones(40, WIDTH)))
    assert str(found[OWN]["FVE"]) == "–"
    assert found[MEAN]["note"] == "all vectors have one direction"


def test_explanations_that_are_missing_have_the_error_of_a_failure() -> None:
    found = results(Controls(), bench(direction, texts=[""] * 12, vectors=torch.eye(WIDTH)[:12], docs=4))
    assert found["ridge regression from its bag of words"]["note"] == "not to be had: no explanation has a word"
    failed = 1 - 2 / (1 - 1 / 12)  # V of twelve axes
    assert found[OWN]["FVE"].value == pytest.approx(failed)
    assert found["another document's explanation"]["FVE"].value == pytest.approx(failed)
