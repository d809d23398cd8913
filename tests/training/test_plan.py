"""Learning rates are those measured, between them sensible; what a run will take is told beforehand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud.config.train import ARWarmStart, AVWarmStart
from thinkaloud.training.plan import MICRO_TOKENS, RATES, announcement, decide, default_lr, memory

AR, AV = ARWarmStart.of(data="d", out="o"), AVWarmStart.of(data="d", out="o")


@pytest.mark.parametrize(
    ("stage", "mode", "size", "lr"),
    [
        ("warmstart", "full", 7_672_064, 1e-3),
        ("warmstart", "full", 135_000_000, 3e-4),
        ("warmstart", "full", 7_000_000_000, 2e-5),
        ("warmstart", "full", 70_000_000_000, 2e-5),
        ("warmstart", "adapter", 135_000_000, 1e-3),
        ("warmstart", "adapter", 7_600_000_000, 1e-4),
        ("rl av", "full", 7_672_064, 1e-4),
        ("rl ar", "full", 135_000_000, 5e-5),
        ("rl ar", "adapter", 1_000_000, 8e-5),
    ],
)
def test_the_rates_are_those_measured(stage: str, mode: str, size: int, lr: float) -> None:
    assert default_lr(stage, mode, size) == pytest.approx(lr)


@given(stage=st.sampled_from(sorted(RATES)), sizes=st.lists(st.integers(1, 10**12), min_size=2, max_size=2))
def test_a_larger_model_learns_no_faster(stage: tuple[str, str], sizes: list[int]) -> None:
    small, large = (default_lr(*stage, size) for size in sorted(sizes))
    assert small >= large > 0


def test_between_two_sizes_it_is_their_geometric_mean() -> None:
    middle = round((7.7e6 * 1.35e8) ** 0.5)
    assert default_lr("warmstart", "full", middle) == pytest.approx((1e-3 * 3e-4) ** 0.5, rel=0.02)


def test_what_is_said_stands_and_the_rest_is_decided() -> None:
    open_ = decide(AR, 7_672_064, 256_000, "cpu")
    assert (open_.batch_size, open_.steps) == (256, 1000)
    assert (open_.lr, open_.final_lr_ratio, open_.warmup_steps) == (1e-3, 0.05, 50)
    assert open_.micro_tokens == MICRO_TOKENS["cpu"]
    few = decide(AR, 7_672_064, 960, "cuda")
    assert (few.batch_size, few.steps, few.warmup_steps) == (32, 30, 3)  # or a short run would never leave its warm-up
    assert decide(AR.but(epochs=3), 7_672_064, 10_000, "cpu").batch_size == 128
    said = AR.but(batch=8, lr=2e-3, warmup=0, micro_tokens=7)
    found = decide(said, 7_672_064, 960, "cuda")
    assert (found.batch_size, found.steps) == (8, 120)
    assert (found.lr, found.warmup_steps, found.micro_tokens) == (2e-3, 0, 7)


def test_a_half_that_reads_already_goes_on_more_slowly() -> None:
    assert decide(AV.but(start="pocket"), 7_672_064, 100, "cpu").lr == default_lr("rl av", "full", 7_672_064)


def test_what_it_takes_is_told_beforehand() -> None:
    plan = decide(AR, 7_672_064, 8_940, "cpu")
    first, second = announcement(AR, plan, 8_940, 7_672_064, 1.23e9)
    assert first == "8,940 rows, 280 steps of 32; 7.7M weights learn at 0.001 → 5e-05; about 1.2 GB of memory"
    assert second.startswith("expect ")
    begun = AR.but(start="pocket")
    assert len(announcement(begun, plan, 8_940, 7_672_064, 1.23e9)) == 1


def test_the_pocket_base_takes_no_more_than_two_gigabytes() -> None:
    assert memory(7_672_064, 7_672_064, 8, 256, 6144, MICRO_TOKENS["cpu"]) < 2e9
