"""Training on a GPU, in bfloat16 over float32 weights or adapters, learns, resumes, and samples what it trains."""

import gc
import json
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from short_run import Run, close, same_gradients

from thinkaloud import NLA, families
from thinkaloud.config.train import RL, AVWarmStart
from thinkaloud.pair.formats import save
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.training import run_folder
from thinkaloud.training.rl import resume, train
from thinkaloud.training.sft import warm_start

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(
    "changes",
    [{}, {"mode": "adapter", "adapter_rank": 4, "kl_form": "full"}, {"checkpointing": True, "dtype": "float32"}],
    ids=["full", "adapter", "float32"],
)
def test_a_run_is_stopped_and_goes_on(pair: Path, data: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    config = RL.of(
        nla=str(pair), data=str(data), out=str(tmp_path / "run"), steps=12, prompts=8, group=8, max_tokens=16, lr=3e-3,
        ar_lr=3e-3, warmup=1, eval_every=6, eval_rows=12, save_every=3, mismatch_every=3, store="float32",
        stop_drop=9.0, stop_closed=0.0, stop_repetition=1.0, device="cuda", **changes,
    )  # fmt: skip
    seen: list[dict[str, Any]] = []
    train(config, watch=seen.append, stop=lambda: seen[-1]["step"] == 5)
    assert run_folder.status(tmp_path / "run") == "stopped"
    out = resume(tmp_path / "run")
    lines = run_folder.log(out / run_folder.METRICS)
    assert [line["step"] for line in lines] == list(range(13))
    mismatches = [line["mismatch"] for line in lines if "mismatch" in line]
    assert len(mismatches) == 4
    assert max(mismatches) < (1e-4 if config.compute.dtype == "float32" else 0.02), json.dumps(mismatches)
    rewards = [line["reward"] for line in lines[1:]]
    assert sum(rewards[-4:]) > sum(rewards[:4])
    assert NLA.from_pretrained(out).verbalizer.contract.stage == "rl"


@pytest.mark.parametrize("mode", ["full", "adapter"])
def test_a_warm_start_explains_while_it_learns(data: Path, tmp_path: Path, mode: Any) -> None:
    """Its rollouts are graphs over weights that autocast casts; what it says at first fills its context."""
    stack = families.truncated(tiny.model("llama", seed=1, max_position_embeddings=2048), 2)
    ar = Reconstructor(stack, tiny.head(), tiny.tokenizer(), tiny.ar_contract())
    save(ar, tmp_path / "ar")
    config = AVWarmStart.of(
        data=str(data), out=str(tmp_path / "av"), mode=mode, adapter_rank=4, batch=8, lr=3e-3, warmup=2, eval_every=2,
        eval_rows=6, eval_texts=6, ar=str(tmp_path / "ar"), injection_scale=3.0, device="cuda", store="float32",
        av_template="Vector: {injection_char} Words:",
    )  # fmt: skip
    warm_start(config)
    lines = run_folder.log(tmp_path / "av" / run_folder.METRICS)
    held = [line for line in lines if "heldout_fve" in line]
    assert len(held) > 1
    assert all(-20 < line["heldout_fve"] < 1 for line in held)


@pytest.mark.parametrize(
    ("sizes", "halved"),
    [
        ({"micro_tokens": 1 << 20}, "micro_tokens"),
        ({"micro_tokens": 2048, "rollout_rows": 4096, "max_tokens": 48}, "rollout.rows"),
    ],
)
def test_memory_that_runs_out(pair: Path, data: Path, tmp_path: Path, sizes: dict[str, Any], halved: str) -> None:
    """A real failure: the allocator is given two fifths of what a step takes beyond what the pair itself takes."""
    given = {"device": "cuda", "dtype": "float32", "prompts": 48, "group": 64, **sizes}
    whole, tight = (Run(pair, data, tmp_path / name, **given) for name in ("whole", "tight"))
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    wanted = whole.step()
    taken = torch.cuda.max_memory_allocated() - before
    assert taken > 64 << 20, "so much that how the allocator rounds does not count"
    assert not whole.notes()
    del whole.run
    gc.collect()
    torch.cuda.empty_cache()
    room = torch.cuda.memory_reserved() + 2 * taken // 5
    torch.cuda.set_per_process_memory_fraction(room / torch.cuda.get_device_properties(0).total_memory)
    try:
        close(tight.step(), wanted)
        same_gradients(tight, whole)
        tight.run._step(1)
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    first, *more = tight.notes()  # where the cache of rollouts stays in place, the other size may be halved after it
    assert first.startswith(f"out of memory: going on with {halved} ")
    assert all(note.startswith("out of memory: going on with ") for note in more)
    assert tight.optimizer_steps() == {2.0}, "one a step"
