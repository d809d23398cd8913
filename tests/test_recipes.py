"""Every recipe is a whole, valid run that a machine without torch can check."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tiny

from thinkaloud.cli.recipe import done_of, follow, load
from thinkaloud.cli.run import verbs
from thinkaloud.pair.nla import NLA
from thinkaloud.site import Site

RECIPES = sorted((Path(__file__).parent.parent / "recipes").glob("*.py"))


def test_there_are_recipes() -> None:
    assert {path.stem for path in RECIPES} >= {"pocket", "smollm2", "qwen2_5_7b", "gemma3_12b"}


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


@pytest.mark.slow
@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_is_followed_whole_at_a_tiny_shape(path: Path, tmp_path: Path) -> None:
    tiny.closing_verbalizer().model.save_pretrained(tmp_path / "model")
    tiny.tokenizer().save_pretrained(tmp_path / "model")
    texts = [f"On day {i} the boats stayed in the harbour, for there was a storm at sea." for i in range(24)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    recipe, small = load(path), {"warmup": 1, "adapter_rank": 4, "device": "cpu", "compile": False}
    short = {**small, "steps": 2, "prompts": 2, "group": 2, "max_tokens": 16, "eval_every": 1, "eval_rows": 4}
    loose = {"stop_closed": 0.0, "stop_drop": 1e9, "stop_repetition": 1.0}
    corpus = {"corpus": str(tmp_path / "texts.jsonl"), "model": str(tmp_path / "model"), "layer": 2, "heldout": 0.3}
    recipe = replace(
        recipe,
        out=tmp_path / "run",
        extract=replace(recipe.extract, **corpus, min_position=4, window=64, device="cpu"),
        explain=replace(recipe.explain, workers=1),
        ar=recipe.ar.but(**small, batch=16, rows=16),
        av=recipe.av.but(**small, batch=16, rows=16, eval_texts=2),
        score=replace(recipe.score, limit=4, max_tokens=8, device="cpu"),
        **{name: run.but(**short, **loose) for name in ("train", "refine") if (run := getattr(recipe, name))},
    )
    follow(recipe, verbs())
    assert NLA.from_pretrained(str(recipe.pair)).site == Site("resid_post", 2)
    assert done_of(recipe) == [name for name, _ in recipe.steps()]
