"""Cost: tokens are those of the explanations, time is measured around what is done, and the machine is named."""

import platform
import time
from typing import Any

import known_bench
import pytest

from thinkaloud.evals.cost import BATCH, Cost


def test_what_is_slow_is_measured_as_slow() -> None:
    bench = known_bench.bench()
    explain, read = bench.nla.explain, bench.nla.reconstructor.reconstruct
    slow: Any = lambda of, seconds: lambda *a, **k: time.sleep(seconds) or of(*a, **k)  # noqa: E731
    bench.nla.explain, bench.nla.reconstructor.reconstruct = slow(explain, 0.5), slow(read, 0.25)  # type: ignore[method-assign]
    found = {row["cost"]: row["value"] for row in known_bench.results(bench, Cost())}
    assert found["tokens an explanation"].value == 2
    assert found[f"seconds an explanation, {BATCH} at once"] >= 0.5 / BATCH
    assert found["tokens a second"] <= 2 * BATCH / 0.5
    assert found["texts a second that the AR reads"] <= BATCH / 0.25
    assert found["peak memory, GiB"] > 0.05
    assert platform.platform() in found["machine"]


def test_fewer_vectors_than_a_batch_are_all_there_is() -> None:
    bench = known_bench.bench(docs=1)
    (row,) = Cost().measure(bench)
    assert (row["explanations"], row["tokens"]) == (8, 16)
    assert row["explain_s"] == pytest.approx(0, abs=60)
