"""A step that runs out of memory, wherever it does, ends as if it had not, computed in smaller pieces."""

import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from short_run import Run, close, same_gradients
from torch import nn

from thinkaloud import families
from thinkaloud.errors import UserError
from thinkaloud.rollout.base import Sampling
from thinkaloud.training.memory import PieceSize
from thinkaloud.training.policy import Policy
from thinkaloud.training.rewards import Rollouts, reward_term


def ran_out() -> torch.OutOfMemoryError:
    return torch.OutOfMemoryError("CUDA out of memory")


def piece(size: int, least: int) -> tuple[PieceSize, list[str]]:
    notes: list[str] = []
    return PieceSize("micro_tokens", size, least, "lower --max-tokens", notes.append), notes


@pytest.mark.parametrize(("fits", "least", "tried"), [(9, 1, [64, 32, 16, 8]), (10, 10, [64, 32, 16, 10])])
def test_a_size_is_halved_until_it_fits_and_stays(fits: int, least: int, tried: list[int]) -> None:
    size, notes = piece(64, least)
    asked: list[int] = []

    def work(n: int) -> int:
        asked.append(n)
        if n > fits:
            raise ran_out()
        return n

    assert size.fit(work) == size.fit(work) == tried[-1]
    assert asked == [*tried, tried[-1]]
    assert notes == [f"out of memory: going on with micro_tokens {tried[-1]}"]


def test_where_nothing_fits_it_says_what_to_lower() -> None:
    size, _ = piece(64, 16)

    def work(n: int) -> None:
        raise ran_out()

    with pytest.raises(UserError, match=r"^out of memory even with micro_tokens 16: lower --max-tokens$"):
        size.fit(work)


def test_other_errors_are_not_tried_again() -> None:
    asked: list[int] = []

    def work(n: int) -> None:
        asked.append(n)
        raise ValueError(n)

    with pytest.raises(ValueError, match="64"):
        piece(64, 1)[0].fit(work)
    assert asked == [64]


def short_of_memory(model: Any, applies: Callable[[], bool], size: Callable[[torch.Tensor], int], limit: int) -> None:
    """Block 2 of `model` runs out of memory above `limit`, where this applies.

    When the model is next computed after that, nothing of the failed pass may be left.
    """
    blocks: Any = families.blocks(model)
    live: list[weakref.ref[torch.Tensor]] = []
    failed: list[bool] = []

    def first(_module: nn.Module, args: Any, kwargs: Any) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        if failed:
            assert not any(ref() is not None for ref in live), "the failed attempt is still held"
            live.clear()
            failed.clear()
        live.append(weakref.ref(hidden))

    def second(_module: nn.Module, args: Any, kwargs: Any) -> None:
        hidden = args[0] if args else kwargs["hidden_states"]
        live.append(weakref.ref(hidden))
        if applies() and size(hidden) > limit:
            failed.append(True)
            raise ran_out()

    blocks[0].register_forward_pre_hook(first, with_kwargs=True)
    blocks[2].register_forward_pre_hook(second, with_kwargs=True)


def tokens(hidden: torch.Tensor) -> int:
    return hidden.shape[0] * hidden.shape[1]


def rows(hidden: torch.Tensor) -> int:
    return hidden.shape[0]


def evaluating() -> bool:
    return not torch.is_grad_enabled() and not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("where", ["update", "score", "rollout"])
def test_a_step_ends_as_if_memory_had_sufficed(pair: Path, data: Path, tmp_path: Path, where: str) -> None:
    whole, tight = Run(pair, data, tmp_path / "whole"), Run(pair, data, tmp_path / "tight")
    av, ar = tight.run.policy.model, tight.run.reward_model.reconstructor.backbone
    if where == "rollout":
        short_of_memory(av, torch.is_inference_mode_enabled, rows, 8)
    else:
        short_of_memory(av if where == "update" else ar, torch.is_grad_enabled, tokens, 300)
    close(tight.step(), whole.step())
    note = "rollout.rows 8" if where == "rollout" else "micro_tokens 256"
    assert tight.notes() == [f"out of memory: going on with {note}"]
    assert not whole.notes()
    same_gradients(tight, whole)
    assert tight.optimizer_steps() == whole.optimizer_steps() == {1.0}
    tight.run._step(1)
    assert len(tight.notes()) == 1, "the halved size is remembered"


@pytest.mark.parametrize(
    "where", [*(pytest.param(name, marks=pytest.mark.slow) for name in ("rollout", "evaluate")), "reconstruct"]
)
def test_an_evaluation_ends_as_if_memory_had_sufficed(pair: Path, data: Path, tmp_path: Path, where: str) -> None:
    whole, tight = Run(pair, data, tmp_path / "whole"), Run(pair, data, tmp_path / "tight")
    av, ar = tight.run.policy.model, tight.run.reward_model.reconstructor.backbone
    if where == "rollout":
        short_of_memory(av, torch.is_inference_mode_enabled, rows, 5)
    elif where == "evaluate":
        short_of_memory(av, evaluating, tokens, 60)
    else:
        short_of_memory(ar, torch.is_inference_mode_enabled, tokens, 60)
    for run in (whole, tight):
        run.run._judge({"step": 0, "steps": 6})
    close(tight.seen[-1], whole.seen[-1])
    assert len(tight.notes()) == 1
    assert tight.run.state["best_step"] == 0


def test_what_does_not_fit_at_all_is_refused_in_words(pair: Path, data: Path, tmp_path: Path) -> None:
    tight = Run(pair, data, tmp_path / "tight")
    short_of_memory(tight.run.policy.model, torch.is_grad_enabled, tokens, 1)
    least = len(tight.run.policy.verbalizer.prompt_ids) + 16
    with pytest.raises(UserError, match=rf"^out of memory even with micro_tokens {least}: lower --max-tokens, set "):
        tight.step()


def test_a_step_of_the_optimizer_is_never_made_twice(
    pair: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sampler's copy of the weights is made when they have moved already: what fails there is not tried again."""

    def full(self: Policy) -> None:
        raise ran_out()

    monkeypatch.setattr(Policy, "refresh", full)
    run = Run(pair, data, tmp_path / "run")
    with pytest.raises(torch.OutOfMemoryError):
        run.step()
    assert run.optimizer_steps() == {1.0}


def test_further_terms_are_asked_once(pair: Path, data: Path, tmp_path: Path) -> None:
    asked: list[int] = []

    @reward_term("asked_once")
    def term(rollouts: Rollouts) -> list[float]:
        asked.append(len(rollouts.said))
        return [0.0] * len(rollouts.said)

    tight = Run(pair, data, tmp_path / "tight", reward=("reconstruction", "asked_once"))
    short_of_memory(tight.run.policy.model, torch.is_grad_enabled, tokens, 300)
    tight.step()
    assert tight.notes()
    assert asked == [24]


def test_how_many_rows_are_decoded_at_once_changes_no_token(pair: Path, data: Path, tmp_path: Path) -> None:
    run = Run(pair, data, tmp_path / "run").run
    sampling = Sampling(1.0, 16, seed=3)

    def ids(size: int) -> list[list[tuple[int, ...]]]:
        return [[one.token_ids for one in row] for row in run.policy.sample(run.vectors[:9], 4, sampling, size)]

    assert ids(512) == ids(8) == ids(4) == ids(1)
