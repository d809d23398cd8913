"""A frame's columns, groups and estimates are those of its records."""

import numpy as np
import pytest

from thinkaloud.stats import estimate, mean
from thinkaloud.studies.frame import Frame

RECORDS = [
    {"doc": "b", "kind": "x", "n": 3, "value": 0.5, "list": ["p"]},
    {"doc": "a", "kind": "y", "n": 1, "value": None, "list": []},
    {"doc": "b", "kind": "x", "n": 2, "value": 1.5, "list": ["p", "q"]},
    {"doc": "c", "kind": "y", "n": 4, "value": 2.0, "list": ["r"]},
]


def test_missing_numbers_are_nan_and_lists_stay_lists() -> None:
    frame = Frame.of(RECORDS, "doc")
    assert len(frame) == 4
    assert np.isnan(frame["value"]).tolist() == [False, True, False, False]
    assert frame["n"].dtype.kind == "i"
    assert frame["list"].tolist() == [record["list"] for record in RECORDS]
    assert frame.distinct("doc") == 3


def test_groups_come_in_the_order_of_their_first_rows() -> None:
    frame = Frame.of(RECORDS, "doc")
    assert [(kind, own["n"].tolist()) for kind, own in frame.by("kind")] == [("x", [3, 2]), ("y", [1, 4])]
    assert frame.at(kind="y", n=4)["doc"].tolist() == ["c"]
    pairs = frame.assign(pair=zip(frame["doc"], frame["kind"], strict=True))
    assert [(pair, len(own)) for pair, own in pairs.by("pair")] == [(("b", "x"), 2), (("a", "y"), 1), (("c", "y"), 1)]


def test_estimates_resample_the_clusters_with_the_seed() -> None:
    frame = Frame.of(RECORDS, "doc", seed=3)
    assert frame.mean("n") == estimate(mean([3, 1, 2, 4]), ["b", "a", "b", "c"], seed=3)
    assert frame.mean(frame["n"] > 2).value == 0.5
    some = frame.known("value")
    assert some.mean("value").value == pytest.approx(4 / 3)
    assert (frame.mean("value").clusters, some.mean("value").clusters) == (3, 2)


def test_a_frame_without_rows_has_every_column_and_no_estimate() -> None:
    frame = Frame.of([], "doc")
    assert not len(frame.at(kind="x"))
    assert not list(frame.by("kind"))
    assert str(frame.mean("value")) == "–"
