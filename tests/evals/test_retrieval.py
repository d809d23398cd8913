"""Retrieval is certain where the AR copies, chance where it ignores its text, and fair where few share a token."""

import pytest
import torch
from known_pairs import TOKENS, WIDTH, bench, direction, measured, results

from thinkaloud.evals.retrieval import OF, OTHERS, Retrieval

ANY, SAME = OF.values()


def test_an_ar_that_copies_picks_its_own() -> None:
    found = results(Retrieval(), bench(direction, n=60, docs=20))
    for name in (ANY, SAME):
        assert found[name]["picked"].value == 1
        assert found[name]["chance"] == pytest.approx(0.1)
        assert found[name]["margin"].low > 0
        assert found[name]["with all ten"] == found[name]["explanations"] == 60


def test_an_ar_that_ignores_its_text_is_at_chance() -> None:
    at = torch.randn(400, WIDTH, generator=torch.Generator().manual_seed(5))
    found = results(Retrieval(), bench(lambda text: torch.ones(WIDTH), at, n=400, docs=80))
    for name in (ANY, SAME):
        assert found[name]["above chance"].low < 0 < found[name]["above chance"].high
        assert found[name]["picked"].value == pytest.approx(0.1, abs=0.05)


def test_an_ar_that_knows_the_last_token_alone_is_at_chance_among_those_that_share_it() -> None:
    last = {token.strip(): direction(token) for token in TOKENS}
    noise = torch.randn(90, WIDTH, generator=torch.Generator().manual_seed(7))
    at = torch.stack([direction(TOKENS[i % 3]) for i in range(90)]) * 3 + noise
    of = bench(lambda text: last[text.split('Ends on "')[1].split('"')[0]], at, n=90, docs=30)
    found = results(Retrieval(), of)
    assert found[ANY]["picked"].value > 0.2
    assert found[SAME]["above chance"].low < 0 < found[SAME]["above chance"].high


def test_fewer_candidates_are_allowed_and_chance_is_theirs() -> None:
    of = bench(direction, n=9, docs=9)
    found = results(Retrieval(), of)
    assert found[SAME]["chance"] == pytest.approx(1 / 3)
    assert found[SAME]["with all ten"] == 0
    assert found[ANY]["chance"] == pytest.approx(1 / 9)
    own = measured(Retrieval(), bench(direction, n=30, docs=10)).own
    assert own["candidates"].max() == 1 + OTHERS


def test_ties_count_in_part_and_failures_pick_by_chance() -> None:
    found = results(Retrieval(), bench(direction, torch.ones(20, WIDTH), n=20, docs=20))
    assert found[ANY]["picked"].value == pytest.approx(0.1)  # vectors of one direction
    found = results(Retrieval(), bench(direction, n=20, docs=20, finish="cut"))
    assert found[ANY]["picked"].value == pytest.approx(0.1)


def test_one_document_says_that_there_is_nothing_to_pick_from() -> None:
    found = results(Retrieval(), bench(direction, docs=1))
    assert found[ANY] == {
        "picked": None,
        "note": "not to be had: needs activations of 2 documents or more, found one",
    }
    found = results(Retrieval(), bench(direction, n=3, docs=3))
    assert found[SAME]["note"] == "not to be had: no two documents have an activation of the same last token"
