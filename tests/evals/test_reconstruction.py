"""An evaluation scores what it names, leaves out what is not there, and bounds it by documents."""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import tiny
import torch

from thinkaloud.activations import Activations
from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.evals.explained import evaluation, explained
from thinkaloud.evals.reconstruction import Line, evaluate
from thinkaloud.explanation import Explanation
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.scores import text_mse
from thinkaloud.site import Site

N = 12
BASELINE = Baseline(0.9, 100, 10, "heldout")


@pytest.fixture(scope="module")
def nla() -> NLA:
    return NLA(tiny.verbalizer(), tiny.reconstructor(), name="tiny")


def stored(explanations: Sequence[str | None] | None = None, docs: int = 4) -> Activations:
    columns = {"doc_id": [f"doc-{i % docs}" for i in range(N)], "position": list(range(N))}
    if explanations is not None:
        columns["explanation"] = explanations
    return Activations(tiny.vectors(N), pa.table(columns), Site("resid_post", 2))


def test_the_pairs_own_line_is_what_its_parts_give(nla: NLA) -> None:
    data = stored()
    found = evaluate(explained(nla, data, BASELINE, max_tokens=6))
    texts = [row[0].text for row in nla.explain(data.vectors, max_tokens=6)]
    cos = torch.nn.functional.cosine_similarity(nla.reconstruct(texts), data.vectors)
    own = found.lines[0]
    assert (own.name, own.n, own.n_docs) == ("AV → AR", N, 4)
    assert own.fve == pytest.approx(1 - float((2 - 2 * cos).mean()) / 0.9, abs=1e-5)
    assert own.low <= own.fve <= own.high
    assert found.tokens == 6
    assert found.closed == 0


def test_written_explanations_are_scored_where_they_are(nla: NLA) -> None:
    names = [line.name for line in evaluate(explained(nla, stored(), BASELINE, max_tokens=2)).lines]
    assert names == [
        "AV → AR",
        "AV → AR, shuffled pairs",
        "nearest vector of another document",
        "always the mean vector",
    ]
    written = ["A word.", None, "Another.", None, "A third."] + [None] * (N - 5)
    lines = {line.name: line for line in evaluate(explained(nla, stored(written), BASELINE, max_tokens=2)).lines}
    rows = [0, 2, 4]
    cos = torch.nn.functional.cosine_similarity(
        nla.reconstruct(["A word.", "Another.", "A third."]), tiny.vectors(N)[rows]
    )
    line = lines["written explanation → AR"]
    assert (line.n, line.n_docs) == (3, 2)
    assert line.cos == pytest.approx(float(cos.mean()), abs=1e-5)
    assert lines["written explanation → AR, shuffled pairs"].n == 3
    none = [line.name for line in evaluate(explained(nla, stored([None] * N), BASELINE, max_tokens=2)).lines]
    assert none == names


def test_samples_count_as_rows_of_their_document(nla: NLA) -> None:
    found = evaluate(explained(nla, stored(), BASELINE, samples=3, temperature=1.0, max_tokens=2))
    assert (found.lines[0].n, found.lines[0].n_docs) == (3 * N, 4)


class Remembers:
    """A pair whose explanations and rebuilt vectors say which vector they are of: text i rebuilds vector i exactly."""

    name, site = "remembers", Site("resid_post", 2)

    def __init__(self, vectors: torch.Tensor) -> None:
        self.vectors = vectors

    def explain(self, vectors: torch.Tensor, n: int, *_: object) -> list[list[Explanation]]:
        return [[Explanation(str(i), "", (), (), "closed")] * n for i in range(len(vectors))]

    def reconstruct(self, texts: Sequence[str]) -> torch.Tensor:
        return self.vectors[[int(text) for text in texts]]


def shuffled_cosines(docs: Sequence[str], samples: int) -> Line:
    """The shuffled line of vectors at right angles: its cosine is the share of texts that met their own vector."""
    vectors = torch.eye(8)[: len(docs)]
    table = pa.table({"doc_id": docs, "position": range(len(docs)), "explanation": [str(i) for i in range(len(docs))]})
    data = Activations(vectors, table, Site("resid_post", 2))
    pair: Any = Remembers(vectors)
    found = evaluate(explained(pair, data, BASELINE, samples=samples, temperature=1.0))
    assert found.lines[0].cos == pytest.approx(1.0)
    assert [line.name for line in found.lines][:4:2] == ["AV → AR", "written explanation → AR"]
    return found.lines[1]


def test_no_sample_meets_its_own_vector() -> None:
    line = shuffled_cosines(["a", "a", "a"], samples=4)
    assert (line.name, line.n, line.cos) == ("AV → AR, shuffled pairs", 12, 0.0)


def test_shuffled_pairs_are_of_other_documents_where_there_are_others() -> None:
    docs = ["a", "a", "b", "b"]
    pair: Any = Remembers(torch.eye(2).repeat_interleave(2, dim=0))  # one direction a document
    data = Activations(pair.vectors, pa.table({"doc_id": docs, "position": range(4)}), Site("resid_post", 2))
    assert evaluate(explained(pair, data, BASELINE, samples=5, temperature=1.0)).lines[1].cos == 0.0


def test_one_vector_has_no_shuffled_control() -> None:
    line = shuffled_cosines(["a"], samples=8)
    assert line.name == "AV → AR, shuffled pairs (needs 2 vectors)"
    assert math.isnan(line.fve)


def test_one_document_has_no_interval_and_no_neighbour(nla: NLA) -> None:
    found = evaluate(explained(nla, stored(docs=1), BASELINE, max_tokens=2))
    assert math.isnan(found.lines[0].low)
    assert "nearest vector of another document" not in [line.name for line in found.lines]
    assert found.to_dict()["lines"][0]["low"] is None


def test_the_mean_vector_has_fve_0(nla: NLA) -> None:
    mean = evaluate(explained(nla, stored(), BASELINE, max_tokens=2)).lines[-1]
    assert (mean.fve, mean.mse) == (0.0, 0.9)
    assert np.isnan(mean.cos)


def test_vectors_of_another_site_are_refused(nla: NLA) -> None:
    with pytest.raises(UserError, match="activations are of resid_post:1, the pair reads resid_post:2"):
        evaluate(explained(nla, replace(stored(), site=Site("resid_post", 1)), BASELINE))


def test_the_table_has_a_row_for_each_explanation(nla: NLA) -> None:
    data = stored()
    found = explained(nla, data, BASELINE, samples=2, temperature=1.0, max_tokens=4)
    assert found.column("row") == [i for i in range(N) for _ in range(2)]
    assert found.column("sample") == [0, 1] * N
    assert found.column("doc_id") == [data.column("doc_id")[i] for i in found.column("row")]
    texts = [one.text for row in nla.explain(data.vectors, 2, 1.0, 0, 4) for one in row]
    assert found.column("explanation") == texts
    errors = text_mse(nla.reconstruct, texts, found.target)
    assert found.column("mse") == pytest.approx(errors.tolist(), abs=1e-5)
    length = found.share(len)
    assert length.value == pytest.approx(np.mean([len(text) for text in texts]))
    assert length.clusters == 4


def test_every_evaluation_of_the_package_is_found_by_name(nla: NLA) -> None:
    found = explained(nla, stored(), BASELINE, max_tokens=4)
    assert {"reconstruction", "text_stats", "degenerate"} <= set(evaluation)
    shares = evaluation.find("degenerate")(found)
    assert sum(share.value for share in shares.values()) == pytest.approx(1)
    with pytest.raises(UserError, match="no evaluation 'degenerat': did you mean degenerate"):
        evaluation.find("degenerat")
