"""Another beginning: a pair that copies follows the vector, one that says what the tail says does not."""

import known_bench
import pytest
import torch

from thinkaloud.activations.forward import vectors_at
from thinkaloud.errors import UserError
from thinkaloud.evals.tail_swap import KEPT, TailSwap, in_common, swapped
from thinkaloud.explanation import Explanation


def test_a_copying_pair_follows_the_vector() -> None:
    every, most = known_bench.results(known_bench.bench(), TailSwap())
    assert every["explanations"] > 20
    assert every["follows"].value == 1
    assert every["FVE, new words, new vector"].value == pytest.approx(1, abs=1e-4)
    assert every["FVE, original words, original vector"].value == pytest.approx(1, abs=1e-4)
    for row in (every, most):  # then how far the words are off is how far the vector has moved
        assert row["FVE, new words, original vector"].value == pytest.approx(1 - row["moved"].value, abs=1e-4)
    assert most["moved"].value > every["moved"].value > 0
    assert most["explanations"] == -(-every["explanations"] // 4)


def test_a_pair_that_reads_the_tail_alone_does_not_follow() -> None:
    bench = known_bench.bench()
    rows, _ = TailSwap()._pairs(bench)
    said = [[Explanation(bench.texts[row], "", (1,), (0.0,), "closed")] for row in rows]
    bench.nla.explain = lambda *_, **__: said  # type: ignore[method-assign]
    every, _ = known_bench.results(bench, TailSwap())
    assert every["follows"].value == 0
    assert every["words in common"].value == 1
    assert every["FVE, new words, original vector"].value == pytest.approx(1, abs=1e-4)
    assert every["FVE, new words, new vector"].value == every["FVE, original words, new vector"].value


def test_the_vector_is_that_of_the_text_with_the_other_beginning() -> None:
    bench = known_bench.bench()
    seen: list[torch.Tensor] = []
    explain = bench.nla.explain
    bench.nla.explain = lambda vectors, *a, **k: seen.append(vectors) or explain(vectors, *a, **k)  # type: ignore[method-assign]
    TailSwap().measure(bench)
    rows, begins = TailSwap()._pairs(bench)
    for row, other, vector in list(zip(rows, begins, seen[0], strict=True))[:5]:
        assert bench.docs[row] != bench.docs[other]
        ids = bench.reread.ids[other][:-KEPT][: len(bench.reread.ids[row]) - KEPT] + bench.reread.ids[row][-KEPT:]
        torch.testing.assert_close(
            vector, vectors_at(bench.nla.model, bench.nla.site, [ids], [[len(ids) - 1]])[0], atol=1e-4, rtol=1e-4
        )


def test_beginnings_are_exchanged() -> None:
    own, other = list(range(20)), list(range(100, 130))
    assert swapped(own, other) == [100, 101, 102, 103, *range(4, 20)]
    assert swapped(other, own) == [0, 1, 2, 3, *range(114, 130)]


def test_words_in_common() -> None:
    assert in_common("The sea, the ship", "a SHIP at the quay") == pytest.approx(2 / 6)
    assert in_common("", "") == 1


@pytest.mark.parametrize("how", [{"docs": 1}, {"long": 20}])
def test_too_little_is_refused_in_a_line(how: dict[str, int]) -> None:
    with pytest.raises(UserError, match="needs 2 documents of a kind with 24 tokens before a position"):
        TailSwap().measure(known_bench.bench(**how))
