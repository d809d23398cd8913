"""A recipe runs its steps in order, keeps what is done, and refuses what does not fit."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
from earlier import flat

from thinkaloud import cli
from thinkaloud.activations import read_corpus, split_of
from thinkaloud.cli import run
from thinkaloud.cli.recipe import follow, load
from thinkaloud.config.train import RL, ARWarmStart
from thinkaloud.errors import UserError

RECIPE = '''"""A run as small as it can be."""

from pathlib import Path

from thinkaloud.config.data import Explain, Extract
from thinkaloud.config.eval import Score
from thinkaloud.config.recipe import Recipe
from thinkaloud.config.train import ARWarmStart, AVWarmStart


def recipe():
    return Recipe(
        out=Path("pair"),
        extract=Extract(
            corpus="texts.jsonl", out=Path("data"), model="model", layer=2, positions=4, next_tokens=4, heldout=0.3
        ),
        explain=Explain(data=Path("data")),
        ar=ARWarmStart.of(data="data", out="ar", batch=16, warmup=1),
        av=AVWarmStart.of(data="data", out="av", ar="ar", batch=16, warmup=1, eval_texts=2, injection_scale=3.0),
        score=Score(data=Path("data"), limit=4, max_tokens=8),
    )
'''


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the recipe and what it reads; the working directory."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "recipe.py").write_text(RECIPE)
    tiny.model("llama", max_position_embeddings=2048).save_pretrained("model")
    tiny.tokenizer().save_pretrained("model")
    texts = [f"On day {i} the boats stayed in the harbour, for there was a storm at sea." for i in range(10)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert {split_of(document.id, 0.3) for document in read_corpus("texts.jsonl")} == {"train", "heldout"}
    return tmp_path


class Steps:
    """Verbs that note what they were asked to do; one of them may fail."""

    def __init__(self, failing: str | None = None) -> None:
        self.asked: list[str] = []
        self.failing = failing

    def verbs(self) -> dict[str, Any]:
        return {
            name: lambda arguments, name=name: self._do(name) for name in ("extract", "explain", "ar", "av", "score")
        }

    def _do(self, name: str) -> None:
        if name == self.failing:
            raise KeyboardInterrupt
        self.asked.append(name)


def test_the_whole_run_makes_a_pair_and_a_second_one_does_nothing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", "recipe.py"]) == 0
    assert "FVE" in capsys.readouterr().out
    assert cli.main(["read", "The boats", "--nla", "pair", "--positions=-1", "--max-tokens", "4", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["site"] == {"kind": "resid_post", "layer": 2}
    before = {path: path.stat().st_mtime_ns for path in (place / "pair").rglob("*") if path.is_file()}
    assert cli.main(["run", "recipe.py"]) == 0
    assert capsys.readouterr().out.count("done before") == 5
    assert {path: path.stat().st_mtime_ns for path in (place / "pair").rglob("*") if path.is_file()} == before


def test_a_stopped_run_goes_on_with_the_step_it_stopped_in(place: Path) -> None:
    first, second = Steps("av"), Steps()
    with pytest.raises(KeyboardInterrupt):
        follow(load(Path("recipe.py")), first.verbs())
    follow(load(Path("recipe.py")), second.verbs())
    assert first.asked == ["extract", "explain", "ar"]
    assert second.asked == ["av", "score"]


def test_values_are_changed_on_the_command_line(place: Path) -> None:
    recipe = run.parse(["recipe.py", "--out", "mine", "--ar.lr", "1e-3", "--extract.layer", "1"])
    assert recipe is not None
    steps = dict(recipe.steps())
    assert steps["extract"].layer == 1
    assert steps["extract"].out == Path("mine/data")
    assert steps["ar"].optim.lr == 1e-3
    assert steps["score"].nla == "mine"


def test_a_second_run_of_reinforcement_learning_goes_on_from_the_first(place: Path) -> None:
    recipe = load(Path("recipe.py"))
    first = RL.of(nla="", data="data", out="rl", steps=2)
    both = replace(recipe, train=first, refine=replace(first, out="refined"))
    steps = dict(both.steps())
    assert (steps["train"].nla, steps["refine"].nla, steps["score"].nla) == ("pair", "pair/rl", "pair/refined")
    assert both.pair == Path("pair/refined")
    assert recipe.pair == Path("pair")


def test_a_step_done_otherwise_is_refused_before_anything_runs(place: Path) -> None:
    follow(load(Path("recipe.py")), Steps().verbs())
    changed = run.parse(["recipe.py", "--ar.lr", "1e-3"])
    assert changed is not None
    again = Steps()
    with pytest.raises(UserError, match=r"pair was begun with ar.optim.lr = None, now it is 0.001"):
        follow(changed, again.verbs())
    assert again.asked == []


def test_a_step_done_under_earlier_names_is_done(place: Path) -> None:
    train = RL.of(nla="", data="data", out="rl", steps=2, mismatch_every=9)
    recipe = replace(load(Path("recipe.py")), train=train)
    asked: list[Any] = []
    verbs = {name: asked.append for name, _ in recipe.steps()}
    follow(recipe, verbs)
    ledger = Path("pair/recipe.json")
    done = json.loads(ledger.read_text())
    done["train"] = flat(RL.of(**done["train"])) | {"advantage": "group", "reward": "mse", "micro_tokens": 32768}
    assert done["train"]["parity_every"] == 9
    done["ar"] = flat(ARWarmStart.of(**done["ar"]))
    ledger.write_text(json.dumps(done))
    asked.clear()
    follow(recipe, verbs)
    assert not asked
    with pytest.raises(UserError, match=r"pair was begun with train.reward.terms = \[\], now it is \['unquoted'\]"):
        follow(replace(recipe, train=train.but(terms=("unquoted",))), verbs)


def test_a_step_done_on_another_device_is_done(place: Path) -> None:
    follow(load(Path("recipe.py")), Steps().verbs())
    moved = run.parse(["recipe.py", "--av.device", "cpu", "--explain.concurrency", "2", "--explain.ask.tries", "3"])
    assert moved is not None
    again = Steps()
    follow(moved, again.verbs())
    assert again.asked == []


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("def recipe(:\n", "recipe.py, line 1: "),
        ("x = 1\n", "recipe.py has no function recipe()"),
        ("def recipe():\n    return 1\n", "must return a Recipe, found int"),
        (RECIPE.replace('batch=16, warmup=1)', "batch=0)"), "batch_size must be 1 or more, found 0"),
        (RECIPE.replace("Explain(", "Explain(dry_run=True, "), "a recipe has no dry run: thinkaloud explain --dry-run"),
    ],
)  # fmt: skip
def test_a_file_that_is_no_recipe_is_one_line(
    place: Path, text: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "recipe.py").write_text(text)
    assert cli.main(["run", "recipe.py"]) == 2
    err = capsys.readouterr().err
    assert line in err
    assert len(err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["missing.py"], "no recipe missing.py"),
        (["texts.jsonl"], "texts.jsonl is not a Python file"),
        (["--out", "x"], "the recipe comes first"),
    ],
)
def test_a_wrong_call_is_one_line(
    place: Path, arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["run", *arguments]) == 2
    assert line in capsys.readouterr().err


def test_a_broken_ledger_is_one_line(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (place / "pair").mkdir()
    (place / "pair" / "recipe.json").write_text("{")
    assert cli.main(["run", "recipe.py"]) == 2
    assert "recipe.json is not JSON" in capsys.readouterr().err


def test_help_needs_no_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["run", "--help"]) == 0
    assert capsys.readouterr().out.startswith("usage: thinkaloud run RECIPE.py")
