"""A step replayed as a graph draws what the same step drew before, whatever rows and lengths it was made for.

CUDA_VISIBLE_DEVICES=0 python -m pytest -m gpu tests/rollout tests/training
"""

from typing import Any

import pytest
import tiny
import torch

from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.rollout.base import Sampling
from thinkaloud.rollout.lockstep import Lockstep

pytestmark = pytest.mark.gpu


def on_gpu(name: str, dtype: torch.dtype = torch.float32, **changes: Any) -> Verbalizer:
    """An AV one of whose many end tokens comes up after a few steps, so that rows end at different ones."""
    av = tiny.verbalizer(name, **changes)
    av.model.generation_config.eos_token_id = list(range(20))
    av.model.to("cuda", dtype)
    return av


def plain(av: Verbalizer, rows: int) -> Lockstep:
    """The engine as it runs on a CPU: no graphs, and the rows looked at after each step."""
    engine = Lockstep(av.model, av.tokenizer, rows)
    engine.on_gpu, engine.stride = False, 1
    return engine


@pytest.mark.parametrize("how", ["replace", "add"])
@pytest.mark.parametrize("name", sorted(tiny.CONFIGS))
def test_graphs_draw_what_plain_steps_draw(name: str, how: str) -> None:
    av = on_gpu(name, injection=how)
    engine, prompt = Lockstep(av.model, av.tokenizer, rows=24), av.prompt(tiny.vectors(25))
    for temperature, seed in ((1.0, 4), (0.0, 4), (0.6, 5), (1.0, 6)):
        sampling = Sampling(temperature, 70, seed)
        found = engine.generate(prompt, 2, sampling)
        wanted = plain(av, 24).generate(prompt, 2, sampling)
        assert len({len(one.token_ids) for row in wanted for one in row}) > 5 or temperature == 0
        for row, other in zip(found, wanted, strict=True):
            for one, same in zip(row, other, strict=True):
                assert one.token_ids == same.token_ids
                assert one.logprobs == pytest.approx(same.logprobs, abs=1e-4)


def test_graphs_go_on_behind_prefixes() -> None:
    av = on_gpu("qwen2")
    engine, prompt, sampling = Lockstep(av.model, av.tokenizer, rows=8), av.prompt(tiny.vectors(6)), Sampling(1.0, 50)
    whole = engine.generate(prompt, 2, sampling)
    prefixes = [
        [list(one.token_ids[: min(7 * i, len(one.token_ids) - 1)]) for one in row] for i, row in enumerate(whole)
    ]
    again = engine.generate(prompt, 2, sampling, prefixes)
    assert [[one.token_ids for one in row] for row in again] == [[one.token_ids for one in row] for row in whole]


def test_new_weights_are_used_by_graphs_that_are_kept() -> None:
    old, new = on_gpu("llama"), on_gpu("llama", seed=1)
    engine, vectors, sampling = Lockstep(old.model, old.tokenizer), tiny.vectors(4), Sampling(1.0, 15)
    before = engine.generate(old.prompt(vectors), 2, sampling)
    with torch.no_grad():
        for parameter, source in zip(old.model.parameters(), new.model.parameters(), strict=True):
            parameter.copy_(source)
    after = engine.generate(old.prompt(vectors), 2, sampling)
    wanted = plain(new, 256).generate(new.prompt(vectors), 2, sampling)
    assert [[one.token_ids for one in row] for row in after] == [[one.token_ids for one in row] for row in wanted]
    assert after != before
