"""Retention is 1 for an AR that a change cannot touch, and nothing is left where the change takes what it reads."""

import re

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from known_pairs import WIDTH, bench, direction, results, said_of

from thinkaloud.evals import rewording
from thinkaloud.evals.private_code import RETAINED, VARIANTS, WHOLE, PrivateCode
from thinkaloud.writers.claims import parse


def bag(text: str) -> torch.Tensor:
    return direction(" ".join(sorted(text.split())))


def retention(ar: object) -> dict[str, float]:
    found = results(PrivateCode(), bench(ar))  # type: ignore[arg-type]
    assert found.pop(WHOLE)["FVE"].value == pytest.approx(1)
    assert list(found) == list(VARIANTS)
    assert all(row["explanations"] == 10 and row["changed"] == "100%" for row in found.values())
    return {name: row["retention"].value for name, row in found.items()}


def test_an_ar_that_reads_the_bag_of_words_does_not_see_their_order() -> None:
    found = retention(bag)
    assert found["words in another order"] == pytest.approx(1)
    assert found["words by synonyms"] < 0.5
    assert found["no capitals"] < 0.5


def test_an_ar_that_reads_the_order_alone_has_nothing_left_of_it() -> None:
    found = retention(lambda text: direction("".join(str(len(word) * i) for i, word in enumerate(text.split()))))
    assert found["words in another order"] < 0.5
    assert found["no capitals"] == pytest.approx(1)


def test_an_ar_that_ignores_marks_and_case_keeps_all_without_them() -> None:
    found = retention(lambda text: direction("".join(re.findall(r"\w", text)).lower()))
    assert found["no punctuation"] == found["no capitals"] == pytest.approx(1)
    assert found["sentences in another order"] < 0.5


def test_an_ar_that_reads_quotations_alone_keeps_all_in_other_words() -> None:
    found = retention(lambda text: direction(text.split('"')[1] if '"' in text else "nothing"))
    for name in ("words by synonyms", "phrases by others", "phrases and words by others"):
        assert found[name] == pytest.approx(1)


def test_retention_is_a_ratio_of_means_with_an_interval_over_documents() -> None:
    at = torch.stack([bag(said_of(i)) + 0.5 * direction(f"noise {i}") for i in range(40)])
    row = results(PrivateCode(), bench(bag, at))["words in another order"]["retention"]
    assert row.value == pytest.approx(1)
    assert (row.n, row.clusters) == (10, 5)


def test_an_ar_that_ignores_its_text_keeps_all() -> None:
    at = torch.randn(40, WIDTH, generator=torch.Generator().manual_seed(3)) + 2
    found = results(PrivateCode(), bench(lambda text: torch.ones(WIDTH), at))
    assert {round(found[name]["retention"].value, 6) for name in VARIANTS} == {1.0}


def test_there_is_nothing_to_change_where_all_failed() -> None:
    found = results(PrivateCode(), bench(direction, finish="cut"))
    assert found == {WHOLE: {"FVE": None, "note": "not to be had: no explanation closes and can be read"}}


@pytest.mark.filterwarnings("error")
def test_vectors_of_one_direction_have_no_retention() -> None:
    found = results(PrivateCode(), bench(direction, torch.ones(40, WIDTH)))
    assert {str(row["FVE"]) for row in found.values()} == {"–"}
    assert {str(found[name]["retention"]) for name in VARIANTS} == {"–"}


def test_phrases_of_the_writers_are_put_otherwise_and_quotations_kept() -> None:
    text = 'Plain prose, about the sea, naming Laura.\nEnds on "the", an article; next is very likely "about".'
    assert rewording.rephrased(text) == (
        "Ordinary running text, on the subject of the sea, with the name Laura.\n"
        'The last token is "the", an article; what follows is in all likelihood "about".'
    )
    plain = "Ends on it, an article, a piece inside a word; next is very likely so."
    assert rewording.synonyms(plain) == (
        "Closes on it, a determining word, a fragment within a term; following is highly probable so."
    )
    assert rewording.reworded("A friendly chat, a new question") == "A warm conversation, a fresh query"


def test_the_lists_are_ample_and_say_something_else() -> None:
    assert len(rewording.WORDS) >= 60
    for said, other in {**rewording.WORDS, **rewording.PHRASES}.items():
        assert said != other
        assert said == said.lower()
    for usual, other in rewording.FACTS.values():
        assert usual.count("{}") == other.count("{}") == 1


@given(st.text('ab .,\n"', max_size=40), st.text("xy", max_size=2))
def test_shuffling_keeps_every_piece_and_the_white_space(text: str, seed: str) -> None:
    shuffled = rewording.words_shuffled(text, seed)
    assert sorted(shuffled.split()) == sorted(text.split())
    assert re.findall(r"\s+", shuffled) == re.findall(r"\s+", text)
    if len(set(text.split())) > 1:
        assert shuffled != text
    assert sorted(rewording.sentences_shuffled(text, seed)) == sorted(text)


def test_what_the_writers_say_is_read_in_the_usual_words_and_not_in_the_others() -> None:
    text = said_of(3)
    assert {claim.kind for claim in parse(text)} >= {"topic", "name", "token", "quotation"}
    assert "token" not in {claim.kind for claim in parse(rewording.rephrased(text))}


def test_a_writer_whose_words_survive_stands_beside_a_pair_whose_do_not() -> None:
    """An AR that does not see capitals keeps all of the writer's texts without them, whatever they rebuild."""
    made = bench(lambda text: direction(text.lower()))
    found = results(PrivateCode(), made)
    assert found["no capitals"][RETAINED].value == pytest.approx(1)
    assert found["words in another order"][RETAINED].value != pytest.approx(1, abs=0.01)
    assert found[WHOLE][RETAINED] == 1.0
