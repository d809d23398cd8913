"""Is every recipe a whole, valid run that a machine without torch can check?"""

import subprocess
import sys
from pathlib import Path

import pytest

from thinkaloud.cli.recipe import load

RECIPES = sorted((Path(__file__).parent.parent / "recipes").glob("*.py"))


def test_there_are_recipes() -> None:
    assert {path.stem for path in RECIPES} >= {"pocket", "qwen2_5_7b", "gemma3_12b"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_checked_without_torch(path: Path) -> None:
    code = f"from thinkaloud.cli.recipe import load; load(__import__('pathlib').Path({str(path)!r}))"
    code += "; import sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_the_steps_of_a_recipe_fit_together(path: Path) -> None:
    steps = dict(load(path).steps())
    assert [name for name in steps if name not in ("train", "refine")] == ["extract", "explain", "ar", "av", "score"]
    data = steps["extract"].out
    assert {Path(step.data) for name, step in steps.items() if name != "extract"} == {data}
    assert steps["av"].ar == steps["ar"].out
    assert {Path(steps[name].out).name: Path(steps[name].out).parent for name in ("ar", "av")} == dict.fromkeys(
        ("ar", "av"), Path(steps["train"].nla if "train" in steps else steps["score"].nla)
    )
    trained = [steps[name] for name in ("train", "refine") if name in steps]
    assert [step.nla for step in (*trained, steps["score"])][1:] == [step.out for step in trained]
    assert steps["extract"].next_tokens > 0, "the writer by rule needs the model's own next tokens"
