"""The tail: a vector of cut text is M's own of that text, and an AR that reads tails is given them."""

import known_bench
import pytest
import tiny
import torch

from thinkaloud.activations.forward import vectors_at
from thinkaloud.errors import UserError
from thinkaloud.evals.beyond_tail import cut, tail_text
from thinkaloud.evals.tail import CUT, READ, WORDS, TailAlone
from thinkaloud.pair.scores import direction_mse
from thinkaloud.studies.evaluation import Evaluate


@pytest.mark.parametrize(("k", "kept"), [(1, [0, 4]), (2, [0, 3, 4]), (4, [0, 1, 2, 3, 4]), (9, [0, 1, 2, 3, 4])])
def test_the_first_token_and_the_last_are_kept(k: int, kept: list[int]) -> None:
    assert cut(range(5), k) == kept  # type: ignore[arg-type]


def test_the_vector_of_a_tail_is_that_of_the_cut_text() -> None:
    bench = known_bench.bench()
    found = known_bench.results(bench, TailAlone())
    by = {(row["from"], row["tokens kept"]): row for row in found}
    for k in (1, 4, 16):
        rows = [i for i, ids in enumerate(bench.reread.ids) if len(ids) > 2 * k]
        parts = [[*ids[:1], *ids[-k:]] for ids in (bench.reread.ids[i] for i in rows)]
        vectors = vectors_at(bench.nla.model, bench.nla.site, parts, [[k]] * len(rows))
        mse = float(direction_mse(vectors, bench.vectors[rows]).mean())
        assert by[CUT, k]["FVE"].value == pytest.approx(1 - mse / bench.baseline.v, abs=1e-4)
        assert by[CUT, k]["positions"] == by[WORDS, k]["positions"] == len(rows)
        assert by[WORDS, k]["FVE"].value == pytest.approx(1, abs=1e-4)  # the pair copies
    assert by[CUT, 16]["FVE"].value > by[CUT, 1]["FVE"].value


def test_an_ar_of_tails_reads_the_last_tokens() -> None:
    plain = known_bench.bench()
    tok, ids = plain.nla.model_tokenizer, plain.reread.ids
    ar = known_bench.bench().nla.reconstructor
    ends = [tok.decode(some[-4:]) for some in ids]
    ar.of = {end: plain.vectors[i] for i, end in enumerate(ends)}  # type: ignore[attr-defined]
    found = known_bench.results(known_bench.bench(tails={4: ar}), TailAlone())
    (row,) = [row for row in found if row["from"] == READ]
    assert row["tokens kept"] == 4
    assert row["FVE"].value > 0.9  # but for tails that stand in two places


def test_the_text_of_a_tail() -> None:
    tok = tiny.tokenizer()
    assert tail_text(tok, "abcdef", 3) == "def"
    assert tail_text(tok, "<|user|>ab", 3) == "<|user|>ab"
    assert tail_text(tok, "ab", 9) == "ab"


def test_nothing_is_measured_where_texts_are_shorter() -> None:
    bench = known_bench.bench(long=12)
    assert {row["tokens kept"] for row in known_bench.results(bench, TailAlone())} == {1, 2, 4}
    assert torch.is_tensor(bench.vectors)


@pytest.mark.parametrize("asked", ["runs/tail-8", "0=a", "k=a", "8="])
def test_an_ar_of_tails_says_how_long_they_are(asked: str) -> None:
    with pytest.raises(UserError, match="expected --tail-ar K=DIR, as 8=runs/tail-8, found"):
        Evaluate(out="x", tail_ar=(asked,)).check()
