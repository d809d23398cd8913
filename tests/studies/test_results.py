"""Results come back from their file as they were, and every claim gets a verdict by the rule."""

import math
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thinkaloud.stats import Estimate, mean, pooled
from thinkaloud.studies.config import study as STUDIES
from thinkaloud.studies.results import FILE, Read, Results
from thinkaloud.studies.verdicts import (
    DIRECTION,
    FAILS,
    HOLDS,
    NOT_SHOWN,
    OPEN,
    Finding,
    claims,
    holm,
    judged,
    worst,
)

nan = math.nan


def read(results: Results, folder: Path) -> Read:
    results.write(folder)
    return Read(folder)


def test_tables_come_back_cell_by_cell(tmp_path: Path) -> None:
    found = Results("answers")
    cells = {
        "estimate": Estimate(0.5, 0.25, 0.75, 90, 30, "beta", 0.03, "a note"),
        "unknown": Estimate(nan, nan, nan, 0, 0),
        "count": np.int64(7),
        "number": np.float32(0.25),
        "word": "<b>ü",
        "yes": np.bool_(True),
        "nothing": None,
    }
    found.row("t", {"place": "border", "k": np.int64(3)}, cells)
    found.row("t", {"place": "answer", "k": 4}, {"count": 8})
    assert found.value("n", 12) == 12
    back = read(found, tmp_path)
    first, second = back["t"]
    assert list(first) == ["place", "k", *cells]
    assert str(first.pop("unknown")) == "–"
    del cells["unknown"]
    assert first == {"place": "border", "k": 3, **cells}
    assert type(first["count"]) is int
    assert second == {"place": "answer", "k": 4, "count": 8}
    assert (back.values, back["other"]) == ({"n": 12}, [])


def test_a_row_of_labels_alone_keeps_its_place(tmp_path: Path) -> None:
    found = Results("answers")
    for place, numbers in (("a", {"n": 1}), ("b", {}), ("c", {"n": 3})):
        found.row("t", {"place": place}, numbers)
    assert read(found, tmp_path)["t"] == [{"place": "a", "n": 1}, {"place": "b"}, {"place": "c", "n": 3}]


def test_groups_are_estimated_over_their_clusters_in_the_order_of_their_first_rows(tmp_path: Path) -> None:
    rows = pd.DataFrame({"doc": list("aabbcc"), "kind": list("yxyxyx"), "x": [1.0, 2, 3, 4, 5, nan]})
    found = Results("survey", cluster="doc", seed=3)
    quantities = {"rows": len, "mean": lambda g: mean(g["x"]), "column": "x"}
    found.by("kinds", rows, {"the kind": "kind"}, quantities, part="all")
    back = read(found, tmp_path)["kinds"]
    assert [(row["part"], row["the kind"], row["rows"]) for row in back] == [("all", "y", 3), ("all", "x", 3)]
    assert [(row["mean"].value, row["mean"].clusters) for row in back] == [(3.0, 3), (3.0, 2)]
    assert [row["column"] for row in back] == [row["mean"] for row in back]
    table = pd.read_parquet(tmp_path / FILE)
    assert set(table["study"]) == {"survey"}
    assert table["value"].dtype == float


def finding(value: float, low: float, high: float, p: float, clusters: int = 30, **claim: Any) -> Finding:
    return Finding(replace(claims()["A1"], **claim), Estimate(value, low, high, 99, clusters, p=p))


@pytest.mark.parametrize(
    ("one", "verdict"),
    [
        (finding(0.3, 0.1, 0.5, 0.001), HOLDS),
        (finding(0.3, 0.1, 0.5, 0.001, published=0.4), HOLDS),
        (finding(0.3, 0.1, 0.5, 0.001, published=0.9), DIRECTION),
        (finding(0.3, 0.1, 0.5, 0.001, published=0.05), DIRECTION),
        (finding(-0.3, -0.5, -0.1, 0.001), FAILS),
        (finding(0.3, 0.1, 0.5, 0.001, direction=-1), FAILS),
        (finding(0.1, -0.2, 0.4, 0.5), OPEN),
        (finding(0.1, -0.2, 0.4, 0.5, published=0.3), OPEN),
        (finding(0.1, -0.2, 0.4, 0.5, published=0.9), FAILS),
        (finding(0.3, 0.1, 0.5, 0.1, published=0.05), OPEN),
        (finding(-0.3, -0.5, 0.1, 0.1, published=-0.05, direction=-1), OPEN),
        (finding(-0.1, -0.4, 0.2, 0.5, published=-0.9, direction=-1), FAILS),
        (finding(1.2, 1.1, 1.3, 0.001, null=1.0, published=1.3), HOLDS),
        (finding(0.0, 0.0, 0.1, nan, direction=0, published=0.0), OPEN),
        (finding(0.0, 0.0, 0.1, nan, direction=0, published=0.0, margin=0.1), HOLDS),
        (finding(1.0, 0.8, 1.1, 0.5, direction=0, null=1.0, published=1.0, margin=0.1), OPEN),
        (finding(0.05, 0.01, 0.09, 0.01, direction=0, published=0.0, margin=0.1), HOLDS),
        (finding(0.15, 0.05, 0.2, 0.01, direction=0, published=0.0, margin=0.1), OPEN),
        (finding(-0.3, -0.5, -0.2, 0.01, direction=0, published=0.0, margin=0.1), FAILS),
        (finding(0.3, 0.1, 0.5, 0.01, direction=0), HOLDS),
        (finding(0.3, 0.1, 0.5, 0.07, direction=0), OPEN),
        (finding(0.3, 0.1, 0.5, 0.07, direction=0, published=0.4), OPEN),
        (finding(0.3, 0.1, 0.5, 0.01, direction=0, published=0.4), HOLDS),
        (finding(0.1, 0.05, 0.2, nan, direction=0, published=0.0), FAILS),
        (finding(0.1, -0.5, 0.9, 0.9, direction=0, published=0.8), OPEN),
        (finding(0.3, 0.1, 0.5, 0.001, clusters=19), NOT_SHOWN),
        (finding(nan, nan, nan, nan), NOT_SHOWN),
        (finding(0.3, nan, nan, nan), NOT_SHOWN),
        (Finding(claims()["A1"], why="no wrong problems"), NOT_SHOWN),
    ],
)
def test_the_rule(one: Finding, verdict: str) -> None:
    ((found, _, why),) = judged([one])
    assert found == verdict
    assert bool(why) == (verdict == NOT_SHOWN)


def test_groups_on_opposite_sides_leave_a_claim_open() -> None:
    whole = Estimate(0.1, 0.05, 0.2, 99, 30, p=0.001)
    one = Finding(claims()["A4"], pooled(whole, {"a": whole, "b": Estimate(-0.3, -0.5, -0.1, 99, 30)}))
    ((verdict, _, why),) = judged([one])
    assert (verdict, why) == (OPEN, "not pooled: above zero in a, below in b")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (None, ""),
        (Estimate(0.3, nan, nan, 9, 1, note="no interval: from one document or problem"), "no interval: from one"),
        (Estimate(0.3, nan, nan, 9, 1), "no interval"),
        (Estimate(nan, nan, nan, 0, 0), "nothing of the kind was found here"),
        (Estimate(0.3, 0.1, 0.5, 9, 3), "from 3 on a side, fewer than 20"),
    ],
)
def test_a_remark_stands_after_the_reason_why_nothing_is_shown(found: Estimate | None, reason: str) -> None:
    why = Finding(claims()["A1"], found, why="the remark").unknown
    assert why.startswith(reason)
    assert why.endswith("; the remark" if reason else "the remark")


def test_many_tests_of_a_study_are_corrected_and_those_that_cannot_tell_do_not_count() -> None:
    one = finding(0.3, 0.01, 0.5, 0.04)
    assert judged([one])[0][0] == HOLDS
    assert [verdict for verdict, _, _ in judged([one, finding(0.2, -0.1, 0.5, 0.2)])] == [OPEN, OPEN]
    assert judged([one, finding(0.2, 0.1, 0.5, 0.2, clusters=3)])[0][0] == HOLDS
    assert holm([0.01, nan, 0.04, 0.03]) == pytest.approx([0.03, nan, 0.06, 0.06], nan_ok=True)


def test_an_estimate_without_a_p_cannot_tell_of_a_direction() -> None:
    with pytest.raises(ValueError, match=r"A1 .* has no p: estimate it with null=0"):
        judged([finding(0.3, 0.1, 0.5, nan)])


@pytest.mark.parametrize(
    ("parts", "verdict"),
    [
        ([HOLDS, HOLDS], HOLDS),
        ([HOLDS, DIRECTION], DIRECTION),
        ([HOLDS, OPEN, DIRECTION], OPEN),
        ([HOLDS, OPEN, FAILS], FAILS),
        ([HOLDS, NOT_SHOWN], NOT_SHOWN),
        ([OPEN, NOT_SHOWN], NOT_SHOWN),
        ([FAILS, NOT_SHOWN], FAILS),
        ([], NOT_SHOWN),
    ],
)
def test_a_claim_is_as_good_as_its_worst_part(parts: list[str], verdict: str) -> None:
    assert worst((part, False) for part in parts) == verdict


def test_only_an_optional_part_is_passed_over_where_it_is_not_shown(tmp_path: Path) -> None:
    found, good = Results("answers"), Estimate(0.2, 0.1, 0.3, 99, 30, p=0.001)
    for claim, optional in (("A2", False), ("A4", True)):
        found.test(claim, good, part="one")
        found.test(claim, part="other", why="none there", optional=optional)
    back = {claim["id"]: claim["verdict"] for claim in read(found, tmp_path).claims()}
    assert (back["A2"], back["A4"]) == (NOT_SHOWN, HOLDS)
    assert worst([(HOLDS, False), (FAILS, True)]) == FAILS
    assert worst([(NOT_SHOWN, True)]) == NOT_SHOWN


def test_every_claim_of_a_study_has_a_row_tested_or_not(tmp_path: Path) -> None:
    found = Results("answers")
    found.test("A9", Estimate(1.25, 1.1, 1.4, 99, 30, p=0.002))
    found.test("A2", Estimate(0.2, 0.1, 0.3, 99, 30, p=0.002), part="border")
    found.test("A2", part="answer", why="M's answer is never read")
    back = {claim["id"]: claim for claim in read(found, tmp_path).claims()}
    assert list(back) == [claim.id for claim in claims().values() if claim.study == "answers"]
    assert back["A9"]["verdict"] == HOLDS
    assert back["A9"]["parts"][0]["published"] == 1.3
    assert back["A9"]["parts"][0]["p_holm"] == pytest.approx(0.004)
    assert [(part["part"], part["verdict"], part["why"]) for part in back["A2"]["parts"]] == [
        ("border", HOLDS, ""),
        ("answer", NOT_SHOWN, "M's answer is never read"),
    ]
    assert back["A4"]["parts"] == [
        {"part": "", "found": None, "null": 0, "direction": 1, "published": None, "p_holm": None}
        | {"margin": 0, "optional": False}
        | {"verdict": NOT_SHOWN, "why": "not tested"}
    ]


def test_claims_are_of_studies_that_exist_or_say_why_none_tests_them() -> None:
    assert len(claims()) >= 12 + 6 + 6
    assert [name for name in claims() if name[0] == "A"] == [f"A{i + 1}" for i in range(12)]
    for claim in claims().values():
        assert (claim.study in STUDIES) != bool(claim.why), claim.id
        assert claim.direction in (-1, 0, 1)
        assert claim.margin > 0 or claim.direction or claim.published != claim.null, "no difference needs a margin"


def test_the_table_of_claims_has_every_claim_for_every_model(tmp_path: Path) -> None:
    spec = spec_from_file_location("draw_claims", Path(__file__).parents[2] / "docs" / "draw_claims.py")
    assert spec is not None
    assert spec.loader is not None
    drawing = module_from_spec(spec)
    spec.loader.exec_module(drawing)
    for model, low in (("one", 1.1), ("two", 0.9)):
        found = Results("answers")
        found.test("A9", Estimate(1.25, low, 1.4, 99, 30, p=0.5 if low < 1 else 0.001))
        for part in ("border", "answer"):
            found.test("A2", Estimate(0.2, 0.1, 0.3, 99, 30, p=0.001), part=part)
        found.test("A10", Estimate(0.2, 0.1, 0.3, 99, 30, p=0.001), part="border")
        found.test("A10", part="answer", why="never there")
        (tmp_path / model / "answers").mkdir(parents=True)
        found.write(tmp_path / model / "answers")
    page = drawing.drawn(f"Before.\n{drawing.BEGIN}\nold\n{drawing.END}\nAfter.", tmp_path)
    rows = {line.split(".")[0].strip("| "): line for line in page.splitlines() if line.startswith("|")}
    assert set(claims()) <= set(rows)
    assert "[holds](one/answers/index.html#claims) | [open](two/answers/index.html#claims) |" in rows["A9"]
    assert "[holds](one/answers/index.html#claims) (2 of 2)" in rows["A2"]
    assert rows["A10"].endswith("[not shown](two/answers/index.html#claims) (1 of 2): never there |")
    assert rows["A3"].endswith("[not shown](two/answers/index.html#claims): not tested |")
    assert rows["C5"].endswith(f"| not shown: {claims()['C5'].why} | not shown: {claims()['C5'].why} |")
    assert page.startswith("Before.\n")
    assert page.endswith("After.")
    assert "\nold\n" not in page
