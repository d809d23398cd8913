"""Splice: a copy changes nothing, the mean recovers nothing, and the divergence is that of two whole passes of M."""

import known_bench
import pytest
import tiny
import torch

from thinkaloud import hooks
from thinkaloud.errors import UserError
from thinkaloud.evals.splice import MEAN, NOISE, RECONSTRUCTION, SAME, Splice, at_cosine, divergence
from thinkaloud.site import Site


def test_a_copy_recovers_everything() -> None:
    same, copy, noise, mean = known_bench.results(known_bench.bench(), Splice())
    assert [row["in the vector's place"] for row in (same, copy, noise, mean)] == [SAME, RECONSTRUCTION, NOISE, MEAN]
    for row in (same, copy, noise):  # noise of no error is no noise
        assert row["KL at the position"].value == pytest.approx(0, abs=1e-5)
        assert row["recovered, to the mean vector"].value == pytest.approx(1, abs=1e-3)
    assert mean["KL at the position"].value > 0.01
    assert mean["KL after it"].value > 0
    assert same["positions"] > 20


def test_the_mean_recovers_nothing() -> None:
    bench = known_bench.bench()
    unit = torch.nn.functional.normalize(bench.vectors, dim=-1)
    known_bench.told(bench, 5 * unit.mean(dim=0).expand_as(bench.vectors))
    rows = {row["in the vector's place"]: row for row in known_bench.results(bench, Splice())}
    assert rows[RECONSTRUCTION]["recovered, to the mean vector"].value == pytest.approx(0, abs=1e-6)
    assert rows[SAME]["recovered, to the mean vector"].value == pytest.approx(1, abs=1e-3)


def test_a_failed_explanation_puts_the_mean_in() -> None:
    bench = known_bench.bench()
    bench.nla.reconstructor.of.clear()  # type: ignore[attr-defined]
    rows = {row["in the vector's place"]: row for row in known_bench.results(bench, Splice())}
    assert rows[RECONSTRUCTION]["recovered, to the mean vector"].value == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3_text"])
def test_divergence_is_that_of_whole_passes(name: str) -> None:
    model, site, ids, after = tiny.model(name), Site("resid_post", 1), [256, 5, 9, 3, 20], [7, 8, 30]
    vectors = tiny.vectors(2)
    whole = torch.tensor([ids + after])
    with torch.no_grad():
        plain = model(input_ids=whole).logits.log_softmax(-1)
        for vector, found in zip(vectors, divergence(model, site, ids, after, vectors), strict=True):
            with hooks.replace(model, site, vector, (0, len(ids) - 1)):
                other = model(input_ids=whole).logits.log_softmax(-1)
            kl = (plain.exp() * (plain - other)).sum(-1)[0, len(ids) - 1 :]
            torch.testing.assert_close(found, kl, atol=1e-5, rtol=1e-3)


def test_noise_has_the_cosine_asked_for() -> None:
    vectors, cos = tiny.vectors(20), torch.linspace(-1, 1, 20)
    found = torch.nn.functional.cosine_similarity(at_cosine(vectors, cos), vectors)
    torch.testing.assert_close(found, cos, atol=1e-5, rtol=0)


def test_vectors_that_m_does_not_give_are_refused_in_a_line() -> None:
    one = known_bench.bench()
    with pytest.raises(UserError, match=r"0 of 48 agree, best cosine 0\.\d+; give longer texts of the model"):
        Splice().measure(known_bench.bench(data=type(one.data)(tiny.vectors(48), one.data.table, one.data.site)))
