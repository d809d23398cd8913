"""FVE gained over the tail: none by words that say nothing or only the tail, all by words that say the rest."""

import known_bench
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.linear_model import Ridge

from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.evals import beyond_tail
from thinkaloud.evals.base import Measured
from thinkaloud.evals.beyond_tail import exchanged, residuals, tail_vectors, without
from thinkaloud.evals.tail_gain import ALL, OTHERS, TailGain

N, D, PER = 240, 24, 8
DRAW = np.random.default_rng(3)
TAIL, REST, NOISE = (DRAW.standard_normal((N, D)) for _ in range(3))
DOCS = np.repeat(np.arange(N // PER), PER)


def unit(rows: np.ndarray) -> np.ndarray:
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


TARGET = unit(unit(TAIL) + 0.6 * unit(REST))


def gain(words: np.ndarray, tail: np.ndarray = TAIL) -> float:
    return 1 - residuals(TARGET, [tail, words], DOCS).sum() / residuals(TARGET, [tail], DOCS).sum()


@pytest.mark.parametrize(
    ("words", "low", "high"),
    [
        (TARGET, 0.999, 1.0),  # a copy
        (REST, 0.9, 1.0),  # exactly what the tail lacks
        (TAIL, -0.01, 0.01),  # the tail in words
        (NOISE, -0.02, 0.01),  # nothing
        (np.zeros((N, D)), -1e-9, 1e-9),  # what failed
        (TAIL @ np.linalg.qr(DRAW.standard_normal((D, D)))[0], -0.02, 0.01),  # the tail, in another basis
        (unit(REST) + unit(NOISE), 0.35, 0.75),  # half of it
    ],
    ids=["copy", "the rest", "the tail", "noise", "failed", "the tail turned", "half"],
)
def test_gain_of_words_of_known_content(words: np.ndarray, low: float, high: float) -> None:
    assert low <= gain(words) <= high


def test_what_is_linear_in_words_is_learned_from_other_documents() -> None:
    turn = np.linalg.qr(DRAW.standard_normal((D, D)))[0]
    assert gain(REST @ turn) > 0.6


def test_no_document_is_predicted_from_itself() -> None:
    """One direction and one name a document: which belongs to which only the document itself could tell."""
    own, name = (np.repeat(DRAW.standard_normal((N // PER, D)), PER, axis=0) for _ in range(2))
    error = residuals(own, [name], DOCS).mean()
    assert error > 0.9 * Baseline.of(own, DOCS, "").v
    assert residuals(own, [own], DOCS).mean() < 1e-9


def test_documents_left_out_in_closed_form() -> None:
    x, left, strength = TAIL[:64], REST[:64], 2.0
    values, basis = np.linalg.eigh(x @ x.T)
    found = beyond_tail._left_out(left, basis, values / (values + strength), basis.T @ left, DOCS[:64])
    error = 0.0
    for doc in np.unique(DOCS[:64]):
        rows = DOCS[:64] == doc
        model = Ridge(alpha=strength, fit_intercept=False).fit(x[~rows], left[~rows])
        error += np.square(left[rows] - model.predict(x[rows])).sum()
    assert found == pytest.approx(error)


def test_a_copying_pair_gains_all_and_another_documents_words_nothing() -> None:
    rows = {(row["tail"], row["words"]): row for row in known_bench.results(known_bench.bench(docs=20), TailGain())}
    for tail in ("last 8 tokens", "last 16 tokens"):
        assert rows[tail, ALL]["gained over the tail"].value > 0.99
        assert rows[tail, ALL]["FVE, words"].value > 0.99
        assert abs(rows[tail, OTHERS]["gained over the tail"].value) < 0.05
    assert rows["last 8 tokens", ALL]["positions"] > rows["last 16 tokens", ALL]["positions"]


def test_words_that_say_the_tail_gain_nothing() -> None:
    bench = known_bench.bench()
    known_bench.told(bench, tail_vectors(bench.nla.model, bench.nla.site, bench.reread.ids, 8))
    row = next(row for row in known_bench.results(bench, TailGain()) if row["words"] == ALL)
    assert row["tail"] == "last 8 tokens"
    assert abs(row["gained over the tail"].value) < 0.01
    assert row["FVE, tail"].value == pytest.approx(row["FVE, words"].value, abs=0.05)


def test_a_line_is_worth_what_is_lost_without_it() -> None:
    """An AR that reads the second line alone."""
    bench = known_bench.bench()
    told = bench.nla.reconstructor.of  # type: ignore[attr-defined]
    mean = bench.vectors.mean(dim=0) + 1e-3 * torch.randn(bench.vectors.shape)
    texts = [f"kind {i}\n{text}" for i, text in enumerate(bench.texts)]
    told |= {text: bench.vectors[i] for i, text in enumerate(texts)}
    told |= {f"kind {i}": mean[i] for i in range(len(texts))}
    told |= {f"kind {i}\n{text}": told[text] for i in range(len(texts)) for text in bench.texts}
    said = [type(one)(text, text, (1,), (0.0,), "closed") for one, text in zip(bench.said, texts, strict=True)]
    bench = type(bench)(bench.nla, bench.data, said, bench.baseline)
    rows = {row["words"]: row for row in known_bench.results(bench, TailGain()) if row["tail"] == "last 8 tokens"}
    assert rows["without line 1"]["lost by that"].value == pytest.approx(0, abs=0.01)
    assert rows["another document's line 1"]["lost by that"].value == pytest.approx(0, abs=0.01)
    assert rows["without line 2"]["lost by that"].value > 0.9
    assert rows["another document's line 2"]["lost by that"].value > 0.9
    assert rows[ALL]["lost by that"] is None


def test_lines_dropped_and_exchanged() -> None:
    assert without(["a\nb\n\nc", "a"], 1) == ["a\nc", "a"]
    assert without(["a"], 0) == ["a"]
    assert exchanged(["a\nb", "c", "d\ne"], ["x\ny", "v\nw", "z"], 1) == ["a\ny", "c", "d\ne"]


@pytest.mark.parametrize("how", [{"docs": 1}, {"long": 10}])
def test_too_little_is_refused_in_a_line(how: dict[str, int]) -> None:
    with pytest.raises(UserError, match="no text reaches beyond 16 tokens in 2 documents: give longer texts"):
        TailGain().measure(known_bench.bench(**how))


def test_one_document_cannot_be_predicted() -> None:
    with pytest.raises(UserError, match="learned on other documents: needs 2 or more, found 1"):
        residuals(TARGET, [TAIL], ["a"] * N)


def test_kinds_of_text_stand_by_themselves_too() -> None:
    """Of two kinds, one whose words say all and one whose words say nothing, each has its own row."""
    rows = np.arange(80)
    kinds, docs = np.where(rows % 2, "chat", "text"), rows // 4
    own = pd.DataFrame({"tail": "t", "words": ALL, "row": rows, "alone": 0.4, "words_alone": 0.1})
    own["both"] = np.where(kinds == "chat", 0.0, 0.4)
    said = pd.DataFrame({"row": rows, "sample": 0, "doc_id": docs, "kind": kinds, "mse": 0.4})
    found = {labels["words"]: q for labels, q in TailGain().rows(Measured(said, own, Baseline(1.0, 80, 20, "x")))}
    gained = {words: round(q["gained over the tail"].value, 6) for words, q in found.items()}
    assert gained == {ALL: 0.5, f"{ALL}, of chats": 1.0, f"{ALL}, of texts": 0.0}
