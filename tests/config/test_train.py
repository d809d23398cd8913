"""Training configurations are checked on construction, nested, read under earlier names, and free of torch."""

import json
import math
import subprocess
import sys
from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud.config.groups import Eval, Rollout
from thinkaloud.config.nested import Nested
from thinkaloud.config.train import RL, ARWarmStart, AVWarmStart, cosine_lr
from thinkaloud.errors import UserError

AV, AR = AVWarmStart.of(data="d", out="o"), ARWarmStart.of(data="d", out="o")


@pytest.mark.parametrize(
    ("config", "change", "message"),
    [
        (AV, {"batch": 0}, "batch_size must be 1 or more, found 0"),
        (AR, {"epochs": 0}, "epochs must be 1 or more, found 0"),
        (AR, {"rows": 0}, "rows must be 1 or more, found 0"),
        (AR, {"micro_tokens": 0}, "compute.micro_tokens must be 1 or more, found 0"),
        (AR, {"start": "pocket", "model": "m"}, "give start or model, not both"),
        (AV, {"warmup": -1}, "optim.warmup_steps must be 0 or more"),
        (AV, {"lr": 0.0}, "optim.lr must be a positive number, found 0.0"),
        (AV, {"optim.final_lr_ratio": 1.1}, "optim.final_lr_ratio must be from 0 to 1, found 1.1"),
        (AV, {"lr": math.nan}, "optim.lr must be a positive number, found nan"),
        (AV, {"clip": 0.0}, "optim.max_grad_norm must be a positive number, found 0.0"),
        (AV, {"weight_decay": -0.1}, "optim.weight_decay must be 0 or more, found -0.1"),
        (AV, {"av_template": "What is it?"}, "av_template must hold {injection_char}"),
        (AV, {"injection_scale": 0.0}, "injection_scale must be a positive number, found 0.0"),
        (AV, {"injection_scale": math.inf}, "injection_scale must be a positive number, found inf"),
        (AR, {"ar_template": "Vector:"}, "ar_template must hold {explanation}"),
    ],
)
def test_what_cannot_work_is_refused(config: AVWarmStart | ARWarmStart, change: dict, message: str) -> None:
    with pytest.raises(UserError) as error:
        config.but(**change)
    assert message in str(error.value)


def test_it_comes_without_torch() -> None:
    code = "import sys, thinkaloud.config.train; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_config_is_written_with_its_role() -> None:
    assert AV.to_dict()["role"] == "av"
    assert AR.to_dict() == {**AR.to_dict(), "role": "ar", "data": "d"}
    assert AVWarmStart.of(**json.loads(json.dumps(AV.to_dict()))) == AV


def test_a_run_of_reinforcement_learning_is_read_under_earlier_names() -> None:
    now = RL.of(nla="n", data="d", out="o", mismatch_every=3, mismatch_bound=0.1)
    assert RL.of(**now.to_dict()) == now
    before = {"nla": "n", "data": "d", "out": "o", "parity_every": 3, "parity_bound": 0.1, "reward": "mse"}
    assert RL.of(**before, advantage="group", kl=0.01, kl_form="k3", group=8, keep=2, track=None) == now
    assert RL.of(**before, kl_form="full").kl.estimator == "exact"
    assert RL.of(**before | {"reward": {"length": 0.5}}).reward.weights() == {"length": 0.5}


def test_a_warm_start_of_an_earlier_version_is_read() -> None:
    """Its last learning rate was a rate; it is a share of the peak now."""
    before = {"role": "av", "data": "d", "out": "o", "lr": 1e-3, "final_lr": 5e-5, "batch": 8, "eval_texts": 3}
    now = AVWarmStart.of(**before, store="int8", dtype="float32", checkpointing=True, warmup=None)
    assert (now.optim.final_lr_ratio, now.batch_size, now.eval.texts) == (0.05, 8, 3)
    assert (now.save.dtype, now.compute.dtype, now.compute.gradient_checkpointing) == ("int8", "float32", True)


def test_options_go_by_the_name_with_their_group_and_by_their_last_part() -> None:
    made = RL.of(nla="n", data="d", out="o", lr=1e-4, **{"eval.every": 7})
    assert (made.optim.lr, made.eval.every, made.eval.rows) == (1e-4, 7, 512)
    assert made.but(temperature=0.5, steps=3) == RL(
        nla="n", data="d", out="o", steps=3, optim=made.optim, eval=made.eval, rollout=Rollout(temperature=0.5)
    )
    changed = made.but(terms=("length=1",)).changed()
    assert changed == {
        "nla": "n", "data": "d", "out": "o", "optim.lr": 1e-4, "eval.every": 7, "reward.terms": ("length=1",)
    }  # fmt: skip
    with pytest.raises(TypeError, match="every"):
        RL.of(nla="n", data="d", out="o", every=3)  # of eval or of save?


def test_a_value_where_a_group_belongs_is_refused() -> None:
    with pytest.raises(UserError, match=r"kl must be a KL, found float: RL\.of takes short names"):
        RL(nla="n", data="d", out="o", kl=0.1)  # type: ignore[arg-type]
    with pytest.raises(UserError, match="eval must be a AVEval, found Eval"):
        AVWarmStart(data="d", out="o", eval=Eval())  # type: ignore[arg-type]
    with pytest.raises(UserError, match="final_lr 1e-05 is a share of lr now"):
        ARWarmStart.of(data="d", out="o", final_lr=1e-5)


@pytest.mark.parametrize("config", [RL, AVWarmStart, ARWarmStart])
def test_every_name_of_an_earlier_version_leads_to_an_option(config: type[Nested]) -> None:
    ours = {name: {option.name for option in fields(group)} for name, group in config.groups().items()}
    whole = {field.name for field in fields(config)}
    for name in config.EARLIER:
        group, _, option = config.full_name(name).partition(".")
        assert option in ours[group] if option else group in whole, name


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
