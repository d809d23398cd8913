"""The curve rises where the words that matter stand, and is cut at the ends of words."""

import pytest
import tiny
import torch
from hypothesis import given
from hypothesis import strategies as st
from known_pairs import WIDTH, bench, direction, results

from thinkaloud.evals.curve import ALL, Curve, first_tokens

TOK = tiny.tokenizer()  # a token a byte


def test_the_curve_rises_where_the_words_are_that_the_ar_reads() -> None:
    texts = [f"Some words ahead of it: key{i}. {'And many more words. ' * 4}" for i in range(40)]

    def key(text: str) -> torch.Tensor:
        return direction(text.split("key")[1].split(".")[0]) if "key" in text else torch.ones(WIDTH)

    found = results(Curve(), bench(key, texts=texts))
    fve = {name: row["FVE"].value for name, row in found.items()}
    assert list(fve) == ["8", "16", "24", "32", "48", "64", ALL]
    assert max(fve["8"], fve["16"], fve["24"]) < 0.2
    assert fve["32"] == fve[ALL] == pytest.approx(1)
    assert found["8"]["cut"] == "100%"
    assert found["32"]["FVE lost"].value == pytest.approx(0, abs=1e-6)
    assert found[ALL]["explanations"] == 10


def test_a_text_is_cut_at_the_end_of_a_word() -> None:
    assert first_tokens("a storm at sea", 8, TOK) == "a storm"
    assert first_tokens("a storm at sea", 7, TOK) == "a storm"
    assert first_tokens("a storm at sea", 6, TOK) == "a"
    assert first_tokens("a storm at sea", 14, TOK) == "a storm at sea"
    assert first_tokens("unbroken", 3, TOK) == ""


@given(st.text("ab .", max_size=40), st.integers(1, 40))
def test_what_is_cut_is_a_beginning_of_the_text(text: str, k: int) -> None:
    assert text.startswith(first_tokens(text, k, TOK))
    assert len(first_tokens(text, k, TOK)) <= max(k, 0) or len(text) <= k


def test_there_is_no_curve_of_explanations_that_all_failed() -> None:
    found = results(Curve(), bench(direction, finish="cut"))
    assert found == {ALL: {"FVE": None, "note": "not to be had: no explanation closes and can be read"}}


@pytest.mark.filterwarnings("error")
def test_vectors_of_one_direction_have_no_fve() -> None:
    found = results(Curve(), bench(direction, torch.ones(40, WIDTH)))
    assert str(found[ALL]["FVE"]) == "–"
