"""Terms of the reward are what their formulas say, are chosen by name and weight, and may come from any file."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from short_run import Run
from torch import Tensor

from thinkaloud.cli.train import parse
from thinkaloud.config.train import RL
from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation
from thinkaloud.training import rewards, run_folder
from thinkaloud.training.rewards import Rollouts, capped_mse, chosen, reward_term, total
from thinkaloud.training.rl import resume, train
from thinkaloud.training.rl_setup import from_anywhere

NAN = float("nan")


def config(**changes: Any) -> RL:
    return RL.of(**{"nla": "", "data": "", "out": "", "max_tokens": 16} | changes)


def rollouts(
    mse: Tensor, valid: Tensor, lengths: list[int] | None = None, text: str = "so", **changes: Any
) -> Rollouts:
    n = len(mse)
    said = [
        Explanation(text, text, (7,) * tokens, (0.0,) * tokens, "closed" if right else "eos")
        for tokens, right in zip(lengths or [3] * n, valid.tolist(), strict=True)
    ]
    return Rollouts(said, valid, tiny.vectors(n), mse, [], config(**changes), lambda other: mse)


def value(name: str, given: Rollouts) -> Tensor:
    [(_, term)] = chosen({name: 1.0})
    return torch.as_tensor(term.of(given))


def close(found: Tensor, wanted: list[float]) -> None:
    torch.testing.assert_close(found, torch.tensor(wanted), atol=1e-5, rtol=0)


def test_a_reward_is_minus_the_error_or_its_logarithm() -> None:
    given = rollouts(torch.tensor([0.5, 1.0, 0.1]), torch.tensor([True, True, False]))
    close(value("reconstruction", given), [-0.5, -1.0, -2.0])
    close(value("log_reconstruction", given), [math.log(2), 0.0, -math.log(2)])
    perfect = rollouts(torch.zeros(1), torch.tensor([True]))
    close(value("log_reconstruction", perfect), [-math.log(1e-6)])


@pytest.mark.parametrize("name", ["reconstruction", "log_reconstruction", "unquoted"])
def test_what_failed_counts_as_failed_whatever_was_measured(name: str) -> None:
    closed = torch.tensor([True, False, False, True, False])
    wanted = value(name, rollouts(torch.full((5,), 0.3), closed, fail_mse=1.5))
    measured = torch.tensor([0.3, NAN, torch.inf, 0.3, 0.0])
    assert torch.equal(value(name, rollouts(measured, closed, fail_mse=1.5)), wanted)
    assert set(wanted.tolist()) == {wanted[0].item(), wanted[1].item()}
    assert wanted[1] < wanted[0]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 4, width=32), st.booleans()), min_size=1, max_size=9),
    st.floats(0.25, 4, width=32),
)
def test_what_failed_never_earns_more_than_what_closed(drawn: list[tuple[float, bool]], fail_mse: float) -> None:
    mse, valid = torch.tensor([value for value, _ in drawn]), torch.tensor([right for _, right in drawn])
    found = capped_mse(mse, valid, fail_mse)
    close(found[~valid], [fail_mse] * int((~valid).sum()))
    assert (found[valid] <= fail_mse + 1e-6).all()
    better = valid & (mse < fail_mse)
    assert torch.equal(found[better], mse[better])


@pytest.mark.parametrize(("free", "wanted"), [(0, [-1, -5, -16, -10]), (5, [0, 0, -11, -5]), (99, [0, 0, 0, 0])])
def test_length_costs_beyond_what_is_free_and_what_failed_the_whole_cap(free: int, wanted: list[float]) -> None:
    valid = torch.tensor([True, True, False, True])
    given = rollouts(torch.ones(4), valid, [1, 5, 2, 10], length_free=free)
    close(value("length", given), [float(one) for one in wanted])


def test_repetition_counts_items_named_again_and_stretches_said_over() -> None:
    given = rollouts(torch.ones(1), torch.tensor([True]), text="about the sea, his sea and Laura\nso so so")
    close(value("repetition", given), [-2.0])


def test_a_quotation_earns_nothing_where_it_is_masked(pair: Path, data: Path, tmp_path: Path) -> None:
    """The AR reads the text without what is quoted, whatever stands there."""
    run = Run(pair, data, tmp_path / "run").run
    targets, n = run.vectors[:2], 2
    ar = run.reward_model.reconstructor

    def of(texts: list[str]) -> Tensor:
        said = [Explanation(text, text, (7,), (0.0,), "closed") for text in texts]
        given = Rollouts(
            said, torch.ones(n, dtype=torch.bool), targets, torch.ones(n), [], run.config,
            lambda other: run._mse_of(other, targets),
        )  # fmt: skip
        return value("unquoted", given)

    found = of(['ends on "sea"', "a “storm” at night"])
    assert torch.equal(found, of(['ends on "harbour"', "a “b c” at night"]))
    rebuilt = ar.reconstruct(['ends on "…"', 'a "…" at night'])
    wanted = (2 - 2 * torch.cosine_similarity(rebuilt, targets)).clamp_max(2.0)
    torch.testing.assert_close(found, -wanted, atol=1e-5, rtol=0)


def test_the_ar_of_the_start_may_pay_and_words_may_be_dropped(pair: Path, data: Path, tmp_path: Path) -> None:
    """By the AR itself, read anew: as it was when it has learnt since, and of the texts that are left."""
    run = Run(pair, data, tmp_path / "run").run
    ar, targets = run.reward_model.reconstructor, run.vectors[:2]
    texts = ["ends on sea and then some other words that are said", "a storm at night, and the old captain is asleep"]
    said = [Explanation(text, text, (7,), (0.0,), "closed") for text in texts]

    def error(texts: list[str]) -> Tensor:
        return -(2 - 2 * torch.cosine_similarity(ar.reconstruct(texts), targets)).clamp_max(2.0)

    before = error(texts)
    with torch.no_grad():
        ar.head.weight += torch.randn(ar.head.weight.shape, generator=torch.Generator().manual_seed(0))
    given = Rollouts(
        said, torch.ones(2, dtype=torch.bool), targets, torch.ones(2), [], run.config,
        lambda other, frozen=False: run._mse_of(other, targets, frozen),
    )  # fmt: skip
    torch.testing.assert_close(value("frozen", given), before, atol=1e-5, rtol=0)
    assert not torch.allclose(before, error(texts), atol=1e-2)
    thinned = list(map(rewards._thinned, texts))
    torch.testing.assert_close(value("dropped", given), error(thinned), atol=1e-5, rtol=0)
    assert thinned == list(map(rewards._thinned, texts))
    for text, short in zip(texts, thinned, strict=True):
        left = iter(text.split())
        assert all(word in left for word in short.split()), "the words that are left, in their order"
    assert rewards._thinned("word") == "word"
    long = " ".join(map(str, range(4000)))
    assert 0.72 < len(rewards._thinned(long).split()) / 4000 < 0.78


def test_the_reward_is_the_weighted_sum_and_every_term_is_in_the_log() -> None:
    valid = torch.tensor([True, False, True])
    given = rollouts(torch.tensor([0.1, 1.9, 3.9]), valid, [15, 3, 2], length_penalty=0.01)
    found, means = total(chosen(given.config.reward.weights()), given)
    close(found, [-0.25, -2.16, -2.02])
    assert means == pytest.approx({"reward/reconstruction": -4.1 / 3, "reward/length": -11.0})


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {"reconstruction": 1.0}),
        ({"reward": "mse"}, {"reconstruction": 1.0}),
        ({"reward": "log_mse"}, {"log_reconstruction": 1.0}),
        ({"reward": ("reconstruction=0.5", "unquoted=0.5")}, {"reconstruction": 0.5, "unquoted": 0.5}),
        ({"reward": {"reconstruction": 1, "a.py:b": 0.1}}, {"reconstruction": 1.0, "a.py:b": 0.1}),
        (
            {"length_penalty": 0.001, "repetition_penalty": 3.0},
            {"reconstruction": 1.0, "length": 0.001, "repetition": 3.0},
        ),
    ],
)
def test_a_reward_is_chosen_by_name_and_weight(given: dict[str, Any], wanted: dict[str, float]) -> None:
    made = config(**given)
    assert made.reward.weights() == wanted
    assert RL.of(**json.loads(json.dumps(made.to_dict()))) == made


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"reward": ("length=much",)}, "reward.terms must be NAME or NAME=WEIGHT, found length=much"),
        ({"reward": ("mse=nan",)}, "reward.terms must be NAME or NAME=WEIGHT, found mse=nan"),
        ({"reward": ("mse", "reconstruction=2")}, "the reward term reconstruction is given twice"),
        ({"reward": ("mse", "length=1"), "length_penalty": 0.1}, "the reward term length is given twice"),
    ],
)
def test_a_reward_that_cannot_be_meant(given: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        config(**given)


def test_on_the_command_line_terms_are_repeated() -> None:
    words = ["--nla", "n", "--data", "d", "--out", "o"]
    found = parse([*words, "--reward", "reconstruction=1", "--reward", "length=0.001", "--reward", "repetition=0.3"])
    assert isinstance(found, RL)
    assert found.reward.weights() == {"reconstruction": 1.0, "length": 0.001, "repetition": 0.3}
    assert parse([*words, "--reward", "log_mse"]) == RL.of(nla="n", data="d", out="o", reward=("log_mse",))


def test_a_term_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no reward term 'brevity': expected one of reconstruction, "):
        chosen({"brevity": 1.0})
    with pytest.raises(
        UserError, match=r"no file .*nowhere\.py: a reward term is a name, or a Python file that registers one"
    ):
        chosen({f"{tmp_path / 'nowhere.py'}:brevity": 1.0})
    with pytest.raises(UserError, match="there is a reward term length already"):
        reward_term("length")(lambda rollouts: [])


def test_a_file_with_the_name_of_a_module_is_refused(tmp_path: Path) -> None:
    (tmp_path / "random.py").write_text(TERM)
    with pytest.raises(UserError, match=r"random\.py has the name of a module of Python's own"):
        chosen({f"{tmp_path / 'random.py'}:has_f": 1.0})


@pytest.mark.parametrize("term", ["mine.py", "mine.py=0.5", "mine.py:has_f", "mine.py:has_f=2", "length=1"])
def test_files_of_terms_are_kept_by_their_whole_path(
    term: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (kept,) = from_anywhere(RL.of(nla="n", data="d", out="o", reward=(term,))).reward.terms
    assert kept == (str(tmp_path / term) if term.startswith("mine") else term)


def test_a_term_that_gives_too_little() -> None:
    one = rollouts(torch.ones(2), torch.tensor([True, True]))
    with pytest.raises(UserError, match=r"the reward term short gave \(1,\): expected 2 finite numbers"):
        total([(1.0, rewards.Term("short", lambda given: [0.0], False))], one)
    with pytest.raises(UserError, match="the reward term odd gave NaN or infinity"):
        total([(1.0, rewards.Term("odd", lambda given: [0.0, NAN], False))], one)


TERM = """
from thinkaloud.training.rewards import Rollouts, reward_term

@reward_term("has_f", contexts=True)
def has_f(rollouts: Rollouts) -> list[float]:
    assert len(rollouts.contexts) == len(rollouts.vectors) == len(rollouts.said)
    assert all("On" in context for context in rollouts.contexts)
    return [float("f" in one.text) for one in rollouts.said]
"""


def test_a_term_from_a_file_of_ones_own_is_learned(
    pair: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine.py").write_text(TERM)
    monkeypatch.chdir(tmp_path)
    made = RL.of(
        nla=str(pair), data=str(data), out=str(tmp_path / "run"), reward=("reconstruction=0.5", "mine.py:has_f=2"),
        steps=30, prompts=6, group=4, max_tokens=24, lr=1e-3, ar_lr=0.0, warmup=1, kl=0.0, eval_every=30, eval_rows=12,
        stop_drop=9.0, stop_closed=0.0, stop_repetition=1.0, device="cpu", store="float32",
    )  # fmt: skip
    for stop_after in (8, 7):
        steps = iter(range(1, 99))
        out = train(made, stop=lambda steps=steps, last=stop_after: next(steps) == last)  # the same command goes on
    monkeypatch.chdir(pair)
    resume(out)  # from wherever, without being told again
    lines = run_folder.log(out / run_folder.METRICS)[1:]
    assert [line["step"] for line in lines] == list(range(1, 31))
    values = [line["reward/has_f"] for line in lines]
    assert sum(values[-5:]) / 5 > sum(values[:5]) / 5 + 0.2, "the AV learns what is paid for"
    for line in lines:
        assert line["reward"] == pytest.approx(0.5 * line["reward/reconstruction"] + 2 * line["reward/has_f"], abs=1e-5)
