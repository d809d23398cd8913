"""Is a training run checked on construction, without torch, and does the learning rate go as it says?"""

import math
import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud.config.train import RL, ARWarmStart, AVWarmStart, cosine_lr
from thinkaloud.errors import UserError

AV, AR = AVWarmStart(data="d", out="o"), ARWarmStart(data="d", out="o")


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (AV, {"batch": 0}, "batch must be 1 or more, found 0"),
        (AR, {"epochs": 0}, "epochs must be 1 or more, found 0"),
        (AR, {"rows": 0}, "rows must be 1 or more, found 0"),
        (AR, {"micro_tokens": 0}, "micro_tokens must be 1 or more, found 0"),
        (AR, {"start": "pocket", "model": "m"}, "give start or model, not both"),
        (AV, {"warmup": -1}, "warmup must be 0 or more"),
        (AV, {"lr": 0.0, "final_lr": 0.0}, "expected 0 ≤ final_lr ≤ lr and lr > 0, found lr 0.0"),
        (AV, {"lr": 1e-5, "final_lr": 1e-4}, "expected 0 ≤ final_lr ≤ lr"),
        (AV, {"lr": math.nan}, "expected 0 ≤ final_lr ≤ lr"),
        (AV, {"clip": 0.0}, "clip must be a positive number, found 0.0"),
        (AV, {"weight_decay": -0.1}, "weight_decay must be 0 or more, found -0.1"),
        (AV, {"av_template": "What is it?"}, "av_template must hold {injection_char}"),
        (AV, {"injection_scale": 0.0}, "injection_scale must be a positive number, found 0.0"),
        (AV, {"injection_scale": math.inf}, "injection_scale must be a positive number, found inf"),
        (AR, {"ar_template": "Vector:"}, "ar_template must hold {explanation}"),
    ],
)
def test_what_cannot_work_is_refused(config: AVWarmStart | ARWarmStart, change: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        replace(config, **change)
    assert message in str(error.value)


def test_it_comes_without_torch() -> None:
    code = "import sys, thinkaloud.config.train; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_config_is_written_with_its_role() -> None:
    assert AV.to_dict()["role"] == "av"
    assert AR.to_dict() == {**AR.to_dict(), "role": "ar", "data": "d", "lr": None}
    assert AVWarmStart(**{k: v for k, v in AV.to_dict().items() if k != "role"}) == AV


def test_a_run_of_reinforcement_learning_is_read_under_earlier_names() -> None:
    now = RL(nla="n", data="d", out="o", mismatch_every=3, mismatch_bound=0.1)
    assert RL.from_dict(now.to_dict()) == now
    before = {**now.to_dict(), "parity_every": 3, "parity_bound": 0.1}
    del before["mismatch_every"], before["mismatch_bound"]
    assert RL.from_dict(before) == now


def test_the_learning_rate_at_its_corners() -> None:
    at = [cosine_lr(step, 101, 1.0, 0.1, 10) for step in range(101)]
    assert at[0] == pytest.approx(0.1)
    assert at[9] == at[10] == pytest.approx(1.0)
    assert at[55] == pytest.approx(0.55)
    assert at[100] == pytest.approx(0.1)


@given(steps=st.integers(1, 300), warmup=st.integers(0, 400), share=st.floats(0, 1))
def test_the_learning_rate_stays_within_its_bounds(steps: int, warmup: int, share: float) -> None:
    at = [cosine_lr(step, steps, 2.0, 2.0 * share, warmup) for step in range(steps)]
    assert all(0 < lr <= 2.0 or (lr == 0.0 and share == 0) for lr in at)
    rising, falling = at[: min(warmup, steps)], at[warmup:]
    assert rising == sorted(rising)
    assert falling == sorted(falling, reverse=True)
