"""Training with compiled blocks: the figures and gradients of plain blocks, and rollouts that run uncompiled."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from short_run import close

from thinkaloud.config.train import ARWarmStart, AVWarmStart
from thinkaloud.training import run_folder
from thinkaloud.training.sft import warm_start

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parents[1]
OPTIONS: dict[str, Any] = {"lr": 3e-3, "batch": 8, "warmup": 2, "eval_every": 4, "eval_rows": 6, "device": "cpu"}


@pytest.fixture(autouse=True)
def _fresh_compiler() -> Any:
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


@pytest.mark.parametrize("mode", [{}, {"mode": "adapter", "adapter_rank": 4}], ids=["whole", "adapter"])
@pytest.mark.parametrize("role", ["av", "ar"])
def test_a_warm_start_has_the_losses_of_plain_blocks(
    data: Path, tmp_path: Path, role: str, mode: dict[str, Any]
) -> None:
    found = []
    for compiled in (False, True):
        given = {"data": str(data), "out": str(tmp_path / str(compiled)), **OPTIONS, **mode, "compile": compiled}
        if role == "av":
            config = AVWarmStart.of(**given, injection_scale=3.0, av_template="Vector: {injection_char} Words:")
        else:
            config = ARWarmStart.of(**given, ar_template="{explanation}\nVector:")
        warm_start(config)
        found.append(run_folder.log(Path(config.out) / run_folder.METRICS))
    compiled, plain = found
    assert len(plain) == len(compiled) > 1
    for one, other in zip(compiled, plain, strict=True):
        close(
            {k: v for k, v in one.items() if k.startswith(("loss", "heldout", "grad"))},
            {k: v for k, v in other.items() if k.startswith(("loss", "heldout", "grad"))},
        )


STEP = """
import json, sys
from pathlib import Path
from short_run import Run, close, same_gradients
pair, data, out = map(Path, sys.argv[1:4])
changes = json.loads(sys.argv[4])
plain = Run(pair, data, out / "plain", **changes)
compiled = Run(pair, data, out / "compiled", **changes, compile=True)
close(compiled.step(), plain.step())
same_gradients(compiled, plain)
blocks = compiled.run.policy.model.get_submodule("model.layers" if not changes else "base_model.model.model.layers")
print(json.dumps({"compiled": blocks[0]._compiled_call_impl is not None}))
"""


@pytest.mark.parametrize("changes", [{}, {"mode": "adapter", "adapter_rank": 4}], ids=["whole", "adapter"])
def test_a_step_of_reinforcement_learning_is_that_of_plain_blocks(
    pair: Path, data: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    """In a process of its own: the checks of shapes that these tests put into every function cannot be compiled."""
    arguments = [str(pair), str(data), str(tmp_path), json.dumps(changes)]
    run = subprocess.run([sys.executable, "-c", STEP, *arguments], capture_output=True, text=True, cwd=TESTS)
    assert run.returncode == 0, run.stderr[-2000:]
    assert json.loads(run.stdout) == {"compiled": True}
