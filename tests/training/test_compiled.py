"""Training with compiled blocks: the figures and gradients of plain blocks, and rollouts that run uncompiled.

In processes of their own: the checks of shapes that tests put into every function cannot be compiled, and the compiler
takes setuptools' distutils alone, where a process of tests may have Python's own.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from short_run import close

from thinkaloud.training import run_folder

pytestmark = pytest.mark.slow
TESTS = Path(__file__).parents[1]
MODES = pytest.mark.parametrize("mode", [{}, {"mode": "adapter", "adapter_rank": 4}], ids=["whole", "adapter"])

WARM = """
import json, sys
from thinkaloud.config.train import ARWarmStart, AVWarmStart
from thinkaloud.training.sft import warm_start
kind = {"av": AVWarmStart, "ar": ARWarmStart}[sys.argv[1]]
for compiled in (False, True):
    warm_start(kind.of(**json.loads(sys.argv[2]), out=f"{sys.argv[3]}/{compiled}", compile=compiled))
"""
STEP = """
import json, sys
from pathlib import Path
from short_run import Run, close, same_gradients
from thinkaloud import families
pair, data, out = map(Path, sys.argv[1:4])
changes = json.loads(sys.argv[4])
plain = Run(pair, data, out / "plain", **changes)
compiled = Run(pair, data, out / "compiled", **changes, compile=True)
close(compiled.step(), plain.step())
same_gradients(compiled, plain)
print(json.dumps({"compiled": families.blocks(compiled.run.policy.model)[0]._compiled_call_impl is not None}))
"""


def run(script: str, *arguments: Any) -> str:
    """What a script prints in a process of its own."""
    given = [str(argument) for argument in arguments]
    done = subprocess.run([sys.executable, "-c", script, *given], capture_output=True, text=True, cwd=TESTS)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@MODES
@pytest.mark.parametrize("role", ["av", "ar"])
def test_a_warm_start_has_the_losses_of_plain_blocks(
    data: Path, tmp_path: Path, role: str, mode: dict[str, Any]
) -> None:
    options: dict[str, Any] = {"lr": 3e-3, "batch": 8, "warmup": 2, "eval_every": 4, "eval_rows": 6, "device": "cpu"}
    templates = {"injection_scale": 3.0, "av_template": "Vector: {injection_char} Words:"}
    options |= templates if role == "av" else {"ar_template": "{explanation}\nVector:"}
    run(WARM, role, json.dumps({"data": str(data), **options, **mode}), tmp_path)
    plain, compiled = (run_folder.log(tmp_path / name / run_folder.METRICS) for name in ("False", "True"))
    assert len(plain) == len(compiled) > 1
    for lines in zip(compiled, plain, strict=True):
        close(*({k: v for k, v in line.items() if k.startswith(("loss", "heldout", "grad"))} for line in lines))


@MODES
def test_a_step_of_reinforcement_learning_is_that_of_plain_blocks(
    pair: Path, data: Path, tmp_path: Path, mode: dict[str, Any]
) -> None:
    assert json.loads(run(STEP, pair, data, tmp_path, json.dumps(mode))) == {"compiled": True}
