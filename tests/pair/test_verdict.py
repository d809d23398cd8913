"""Figures that say nothing are called so, and what rows bring is told from what was measured."""

from dataclasses import replace

import pytest
import tiny

from thinkaloud.pair.verdict import REACHED, expected, judge, recorded

SHUFFLED = "heldout_fve_shuffled_pairs"


@pytest.mark.parametrize(
    ("role", "figures", "words"),
    [
        (
            "ar",
            {"heldout_fve": -0.87, SHUFFLED: -0.99},
            "AR on written text: FVE -0.87, shuffled pairs -0.99: worse than",
        ),
        ("ar", {"heldout_fve": 0.0, SHUFFLED: -0.99}, "worse than always answering the mean of all directions"),
        ("av", {"heldout_fve": -0.93}, "AV → AR: FVE -0.93: worse than always answering the mean of all directions"),
        ("av", {"heldout_fve": 0.2, SHUFFLED: 0.19}, "no more of their own vector than of any other"),
        ("av", {"heldout_fve": -0.2, SHUFFLED: -0.19}, "no more of their own vector than of any other"),
        ("av", {"heldout_fve": 0.4, SHUFFLED: -0.9, "closed": 0.1}, "only 10 % of the explanations close"),
        ("av", {"heldout_ce_gap": 0.01}, "helps by 0.01 nats a token: it does not use the vector"),
    ],
)
def test_what_reads_nothing_is_told_with_what_to_do(role: str, figures: dict[str, float], words: str) -> None:
    found = judge(role, figures, 2_000)
    assert found is not None
    assert not found.reads
    assert words in str(found)
    assert "Give it more rows than 2,000" in found.advice
    assert "--lr" in found.advice
    first = next(reached for reached in REACHED["pocket"] if role in reached)
    assert f"{first['rows']:,} rows {first[role]:.2f}" in found.advice


@pytest.mark.parametrize(
    ("role", "figures", "words"),
    [
        ("ar", {"heldout_fve": 0.85, SHUFFLED: -0.98}, "AR on written text: FVE 0.85, shuffled pairs -0.98: it reads"),
        (
            "av",
            {"heldout_fve": 0.45, SHUFFLED: -0.98, "closed": 0.99},
            "AV → AR: FVE 0.45, shuffled pairs -0.98: it reads",
        ),
        ("av", {"heldout_ce_gap": 1.04}, "AV: the right vector helps by 1.04 nats a token"),
    ],
)
def test_what_reads_is_told_without_advice(role: str, figures: dict[str, float], words: str) -> None:
    found = judge(role, figures)
    assert found is not None
    assert found.reads
    assert str(found).startswith(words)
    assert found.advice == ""


def test_a_little_is_told_as_a_little() -> None:
    found = judge("ar", {"heldout_fve": 0.12, SHUFFLED: -0.5})
    assert found is not None
    assert found.reads
    assert "it reads a little" in found.words
    assert found.advice


@pytest.mark.parametrize("figures", [{}, {"heldout_fve": None}, {"heldout_fve": float("nan")}, {"heldout_fve": "high"}])
def test_without_figures_nothing_is_said(figures: dict) -> None:
    assert judge("ar", figures) is None


def test_what_is_expected_lies_between_what_was_measured() -> None:
    (few, low), (many, high) = [(one["rows"], one["ar"]) for one in REACHED["pocket"] if "ar" in one][-2:]
    between = round((few * many) ** 0.5)  # half way in the logarithm
    assert f"about {(low + high) / 2:.1f} on written text" in expected(between, "ar")
    assert f"{few:,} rows {low:.2f}, {many:,} rows {high:.2f}" in expected(between, "ar")
    assert f"about {high:.1f} on" in expected(100 * many, "ar")
    assert f"135M with {REACHED['smollm2']['rows']:,} {REACHED['smollm2']['av']:.2f}" in expected(between, "av")
    assert "expect nothing from its own words yet: from scratch, 8M weights reached with 117,000" in expected(100, "av")
    rows = [reached["rows"] for reached in REACHED["pocket"]]
    assert rows == sorted(rows)


def test_a_contract_says_what_its_warm_start_reached_until_reinforcement_learning() -> None:
    contract = tiny.reconstructor().contract
    assert recorded(contract) is None
    made = replace(contract, stage="warmstart", provenance={"rows": 7, "heldout": {"heldout_fve": -0.5}})
    found = recorded(made)
    assert found is not None
    assert not found.reads
    assert "than 7" in found.advice
    assert recorded(replace(made, stage="rl")) is None
