"""A folder takes only the run that was begun in it."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud import ledger
from thinkaloud.errors import UserError

VALUES = st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.integers())
ENTRIES = st.recursive(VALUES, lambda inner: st.dictionaries(st.text(min_size=1), inner), max_leaves=12)


@given(entries=st.dictionaries(st.text(min_size=1), ENTRIES))
def test_the_same_entries_never_differ(entries: dict[str, Any]) -> None:
    assert ledger.first_difference(json.loads(json.dumps(entries)), entries) is None


def test_a_run_goes_on_as_it_was_written_down() -> None:
    before = ledger.plain({"seed": 0, "data": {"hash": "ab"}, "path": Path("x"), "range": (1, 2)})
    ledger.check(Path("run"), before, {"seed": 0, "data": {"hash": "ab"}, "path": "x", "range": [1, 2]})


@pytest.mark.parametrize(
    ("now", "line"),
    [
        ({"seed": 1, "lr": 2}, "was begun with seed = 0, now it is 1"),
        ({"lr": 1, "model": {"weights": "cd"}}, "was begun with model.weights = 'ab', now it is 'cd'"),
        ({"model": None}, "was begun with model = {'weights': 'ab'}, now it is None"),
        ({"model": {"weights": "c" * 64}}, "now it is 'ccccccccccccccccccccccc…:"),
    ],
)
def test_another_run_is_refused_by_the_first_field_that_differs(now: Any, line: str) -> None:
    with pytest.raises(UserError) as refusal:
        ledger.check(Path("run"), {"seed": 0, "lr": 1, "model": {"weights": "ab"}}, now)
    assert line in str(refusal.value)


def test_what_is_free_and_what_only_one_side_knows_may_differ() -> None:
    now = {"config": {"device": "cuda", "seed": 0, "new option": 5}}
    ledger.check(Path("run"), {"config": {"device": "cpu", "seed": 0}, "old": 1}, now, free=["config.device"])


@pytest.mark.parametrize("text", ["{", "[1]", "\udcff"])
def test_a_broken_ledger_is_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "ledger.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=r"ledger\.json (is not JSON|must hold a mapping)"):
        ledger.read(path)
