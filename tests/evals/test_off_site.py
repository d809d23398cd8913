"""Off its site: at the pair's own layer the figure is the pair's own, and every layer has its own vectors."""

import math

import known_bench
import pytest
import torch

from thinkaloud.activations import extract
from thinkaloud.baseline import Baseline
from thinkaloud.evals.off_site import OffSite
from thinkaloud.evals.rereading import at_layers
from thinkaloud.pair.scores import direction_mse
from thinkaloud.site import Site


def test_the_pairs_own_layer_has_its_own_fve() -> None:
    bench = known_bench.bench()
    known_bench.told(bench, bench.vectors + 0.5 * torch.randn(bench.vectors.shape))
    rows = known_bench.results(bench, OffSite())
    assert [row["layer"] for row in rows] == [0, 1, 2, 3]  # of a model of four
    assert [row["the pair's"] for row in rows] == [False, False, True, False]
    own = rows[2]
    assert own["V"] == pytest.approx(bench.baseline.v)
    mse = float(bench.mse(bench.texts, range(len(bench.data))).mean())
    assert own["FVE, the layer's vector"].value == pytest.approx(1 - mse / bench.baseline.v, abs=1e-5)
    assert own["FVE, the vector of the pair's layer"].value == own["FVE, the layer's vector"].value
    assert own["FVE of the layer's vector itself"].value == pytest.approx(1, abs=1e-5)


def test_a_pair_that_copies_gives_every_layer_its_own_vector() -> None:
    bench = known_bench.bench()
    for row in known_bench.results(bench, OffSite()):
        assert row["FVE, the layer's vector"].value == pytest.approx(1, abs=1e-4)
        as_it_is = row["FVE of the layer's vector itself"].value
        assert row["FVE, the vector of the pair's layer"].value == pytest.approx(as_it_is, abs=1e-4)
        assert (as_it_is < 0.99) == (row["layer"] != 2)
        site = Site("resid_post", row["layer"])
        texts = known_bench.documents()
        own = extract(bench.nla.model, texts, site, known_bench.EACH, bench.nla.model_tokenizer, min_position=4)
        assert row["V"] == pytest.approx(Baseline.of(own.vectors.numpy(), own.column("doc_id"), "").v, abs=1e-5)
        assert as_it_is == pytest.approx(
            1 - float(direction_mse(own.vectors, bench.vectors).mean()) / bench.baseline.v, abs=1e-4
        )


def test_vectors_of_several_layers_come_of_one_pass() -> None:
    bench = known_bench.bench()
    ids = bench.reread.ids
    for site, found in at_layers(bench.nla.model, [Site("resid_post", 0), Site("resid_post", 2)], ids).items():
        alone = extract(
            bench.nla.model, known_bench.documents(), site, known_bench.EACH, bench.nla.model_tokenizer, min_position=4
        )
        torch.testing.assert_close(found, alone.vectors, atol=1e-4, rtol=1e-4)


def test_vectors_that_are_all_one_have_no_fve() -> None:
    bench = known_bench.bench()
    found = known_bench.measured(bench, OffSite())
    found.own["v"] = 0.0
    assert all(math.isnan(row["FVE, the layer's vector"].value) for _, row in OffSite().rows(found))
