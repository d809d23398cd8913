"""A warm start learns, keeps its log, and resumes after a kill at any moment, to the bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from earlier import flat
from safetensors.torch import load_file

from thinkaloud.activations import Activations, write_explanations
from thinkaloud.config.train import ARWarmStart, AVWarmStart
from thinkaloud.errors import UserError
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.training import checkpoint
from thinkaloud.training.data import load_rows
from thinkaloud.training.run_folder import status
from thinkaloud.training.sft import warm_start
from thinkaloud.training.tasks import ARTask, build

AV: dict[str, Any] = {"injection_scale": 3.0, "av_template": "Vector: {injection_char} Words:"}
AR: dict[str, Any] = {"ar_template": "{explanation}\nVector:", "lr": 5e-4}
SMALL: dict[str, Any] = {"batch": 8, "warmup": 2, "eval_every": 3, "eval_rows": 6, "save_every": 2, "store": "float32"}
LEARNING: dict[str, Any] = {"lr": 3e-3, "final_lr": 1e-4}

RUN = """
import json, sys
from thinkaloud.config.train import ARWarmStart, AVWarmStart
from thinkaloud.training.sft import warm_start
import torch
torch.set_num_threads(1)
config = json.loads(sys.argv[1])
warm_start({"av": AVWarmStart, "ar": ARWarmStart}[config["role"]].of(**config))
"""


def config(role: str, data: Path, out: Path, **changes: Any) -> AVWarmStart | ARWarmStart:
    shared = {"data": str(data), "out": str(out), **SMALL, **LEARNING}
    return AVWarmStart.of(**(shared | AV | changes)) if role == "av" else ARWarmStart.of(**(shared | AR | changes))


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def timeless(metrics: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k not in ("tokens_per_second", "seconds_eval")} for line in metrics]


@pytest.mark.parametrize(
    ("role", "changes"),
    [
        pytest.param("av", {}, id="av", marks=pytest.mark.slow),
        pytest.param("ar", {}, id="ar", marks=pytest.mark.slow),
        pytest.param("av", {"mode": "adapter", "adapter_rank": 4}, id="av-adapter", marks=pytest.mark.slow),
        pytest.param("ar", {"mode": "adapter", "adapter_rank": 4}, id="ar-adapter", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("one_thread")
def test_killed_and_resumed_equals_unkilled(data: Path, tmp_path: Path, role: str, changes: dict[str, Any]) -> None:
    """SIGKILL again and again, each time at another moment after a checkpoint, until the run is through."""
    whole = config(role, data, tmp_path / "whole", epochs=3, **changes)
    warm_start(whole)
    killed = config(role, data, tmp_path / "killed", epochs=3, **changes)
    arguments = [sys.executable, "-c", RUN, json.dumps(killed.to_dict())]
    kills = 0
    while status(tmp_path / "killed") != "finished":
        before = checkpoint.steps(tmp_path / "killed" / "checkpoints")
        process = subprocess.Popen(arguments, stderr=subprocess.PIPE)
        while process.poll() is None and checkpoint.steps(tmp_path / "killed" / "checkpoints") == before:
            time.sleep(0.005)
        if process.poll() is None and kills < 3:
            time.sleep(0.03 * kills)
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        errors = process.communicate()[1].decode()
        assert process.returncode in (0, -signal.SIGKILL), errors
    assert kills >= 1
    first, second = tmp_path / "whole", tmp_path / "killed"
    for name in ("metrics.jsonl", "samples.jsonl"):
        assert timeless(lines(first / name)) == timeless(lines(second / name))
    files = sorted(p.relative_to(first / "model") for p in (first / "model").rglob("*.safetensors"))
    assert files
    for file in files:
        assert (first / "model" / file).read_bytes() == (second / "model" / file).read_bytes(), file
    last = f"checkpoints/step-{checkpoint.steps(first / 'checkpoints')[-1]}"
    for name in ("weights", "optimizer", "generators"):
        assert (first / last / f"{name}.safetensors").read_bytes() == (
            second / last / f"{name}.safetensors"
        ).read_bytes()


GOLDEN = {
    "av": [5.16758, 4.51540, 4.12666, 3.94864, 3.89261, 3.88586],
    "ar": [1.49296, 1.14808, 1.04546, 1.02245, 0.99067, 0.98027],
}


@pytest.mark.parametrize("role", ["av", "ar"])
def test_a_short_run_goes_as_it_always_went(data: Path, tmp_path: Path, role: str) -> None:
    """The golden curve: held-out loss at steps 3, 6, … of a small run. Machines differ in the last digits."""
    model = warm_start(config(role, data, tmp_path / "run", epochs=2))
    metrics = lines(tmp_path / "run" / "metrics.jsonl")
    found = [line["heldout_ce" if role == "av" else "heldout_mse"] for line in metrics]
    assert found == pytest.approx(GOLDEN[role], rel=2e-3)
    assert metrics[-1]["loss"] < metrics[0]["loss"]
    assert all(line["skipped"] == 0 for line in metrics)
    control = "heldout_ce_shuffled_vectors" if role == "av" else "heldout_fve_shuffled_pairs"
    assert all(control in line for line in metrics)
    loaded = Verbalizer.from_pretrained(model) if role == "av" else Reconstructor.from_pretrained(model)
    assert loaded.contract.stage == "warmstart"
    assert loaded.contract.baseline is not None
    assert loaded.contract.baseline.split == "heldout"


def test_a_run_folder_is_as_documented(data: Path, tmp_path: Path) -> None:
    ar = warm_start(config("ar", data, tmp_path / "ar"))
    run = tmp_path / "av"
    made = config("av", data, run, ar=str(ar), eval_texts=2)
    assert warm_start(made) == run / "model"
    settings = json.loads((run / "config.json").read_text())
    assert settings["config"] == made.but(micro_tokens=4096).to_dict()
    assert set(settings) == {"config", "steps", "rows", "data", "model", "versions", "commit"}
    assert settings["versions"]["torch"] == torch.__version__
    assert (run / "STATUS").read_text() == "finished"
    assert checkpoint.steps(run / "checkpoints") == [6, 8]
    metrics, samples = lines(run / "metrics.jsonl"), lines(run / "samples.jsonl")
    assert [line["step"] for line in metrics] == sorted({*range(3, settings["steps"] + 1, 3), settings["steps"]})
    assert {"heldout_ce", "heldout_ce_gap", "heldout_fve", "heldout_fve_shuffled_pairs", "closed", "length"} <= set(
        metrics[-1]
    )
    assert {sample["step"] for sample in samples} == {line["step"] for line in metrics}
    assert set(samples[0]) == {"step", "prefix", "written", "read", "fve"}
    assert not [path.name for path in run.rglob(".*")]


def test_what_it_takes_is_said_before_and_how_long_after_some_steps(data: Path, tmp_path: Path) -> None:
    told: list[str] = []
    warm_start(config("ar", data, tmp_path / "run"), say=told.append)
    steps = json.loads((tmp_path / "run" / "config.json").read_text())["steps"]
    amount, expected, left = told
    assert f"{steps} steps of 8" in amount
    assert amount.endswith("GB of memory")
    assert expected.startswith("expect nothing on written text yet")
    assert left.endswith(" left, evaluations aside")
    assert " s a step: about " in left


def test_what_it_reached_is_in_its_contract(data: Path, tmp_path: Path) -> None:
    model = warm_start(config("ar", data, tmp_path / "run"))
    last = lines(tmp_path / "run" / "metrics.jsonl")[-1]
    made = Reconstructor.from_pretrained(model).contract.provenance
    assert made["rows"] == json.loads((tmp_path / "run" / "config.json").read_text())["rows"]
    assert made["heldout"] == pytest.approx({k: v for k, v in last.items() if k.startswith("heldout")}, abs=1e-4)


def test_a_folder_from_before_the_defaults_goes_on_with_its_own(data: Path, tmp_path: Path) -> None:
    """Numbers that once were defaults stand in the folder and win over what is left open; what is said must agree."""
    run = tmp_path / "run"
    with pytest.raises(Stopped):
        warm_start(config("ar", data, run, lr=2e-5, final_lr=2e-6, warmup=50, micro_tokens=32768), stop_at(3))
    settings = json.loads((run / "config.json").read_text())
    settings["config"] = flat(ARWarmStart.of(**settings["config"]))
    del settings["config"]["start"]
    (run / "config.json").write_text(json.dumps(settings))
    left_open: dict[str, Any] = dict.fromkeys(("lr", "final_lr", "warmup", "micro_tokens"))
    warm_start(config("ar", data, run, **left_open))
    assert all(line["lr"] <= 2e-5 for line in lines(run / "metrics.jsonl"))
    assert json.loads((run / "config.json").read_text()) == settings
    with pytest.raises(UserError, match=r"was begun with optim\.warmup_steps = 50, now it is 2"):
        warm_start(config("ar", data, run, **left_open | {"warmup": 2}))


@pytest.mark.usefixtures("one_thread")
def test_told_to_stop_it_saves_and_goes_on_to_the_same_model(data: Path, tmp_path: Path) -> None:
    whole = warm_start(config("ar", data, tmp_path / "whole"))
    made, steps = config("ar", data, tmp_path / "run"), iter(range(1, 99))
    assert warm_start(made, stop=lambda: next(steps) == 4) == tmp_path / "run"
    assert (tmp_path / "run" / "STATUS").read_text().startswith("stopped at 4 of ")
    assert checkpoint.steps(tmp_path / "run" / "checkpoints")[-1] == 4
    model = warm_start(made)
    assert timeless(lines(tmp_path / "run" / "metrics.jsonl")) == timeless(lines(tmp_path / "whole" / "metrics.jsonl"))
    for name in ("model.safetensors", "value_head.safetensors"):
        assert (model / name).read_bytes() == (whole / name).read_bytes()


def test_a_finished_run_is_not_run_again(data: Path, tmp_path: Path) -> None:
    made = config("ar", data, tmp_path / "run")
    model = warm_start(made)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert warm_start(made) == model
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()} == before


def test_another_configuration_is_refused_by_field(data: Path, tmp_path: Path) -> None:
    warm_start(config("ar", data, tmp_path / "run"))
    with pytest.raises(UserError, match=r"was begun with optim\.lr = 0\.0005, now it is 0\.002: choose another folder"):
        warm_start(config("ar", data, tmp_path / "run", lr=2e-3))
    warm_start(config("ar", data, tmp_path / "run", save_every=1))  # how often it saves is free
    warm_start(config("ar", data, tmp_path / "few", rows=12))
    with pytest.raises(UserError, match=r"was begun with rows = 12, now it is None"):
        warm_start(config("ar", data, tmp_path / "few"))


class Stopped(Exception):
    pass


def stop_at(step: int) -> Any:
    def watch(metrics: dict[str, Any]) -> None:
        if metrics["step"] >= step:
            raise Stopped

    return watch


def test_other_data_is_refused(data: Path, tmp_path: Path) -> None:
    copy = tmp_path / "data"
    copy.mkdir()
    for file in data.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    with pytest.raises(Stopped):
        warm_start(config("ar", copy, tmp_path / "run"), stop_at(3))
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | {"seed": 99}))
    with pytest.raises(UserError, match=r"run was begun with data = .*, now it is "):
        warm_start(config("ar", copy, tmp_path / "run"))


def test_other_explanations_are_refused(data: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(data, tmp_path / "data"))
    with pytest.raises(Stopped):
        warm_start(config("ar", copy, tmp_path / "run"), stop_at(3))
    words = Activations.load(copy).column("explanation")
    write_explanations(copy, 0, ["other words", *words[1:]], "scribe/1")
    with pytest.raises(UserError, match=r"run was begun with data = .*, now it is "):
        warm_start(config("ar", copy, tmp_path / "run"))


@pytest.mark.parametrize("mode", ["full", "adapter"])
def test_another_base_model_is_refused(data: Path, base: Path, tmp_path: Path, mode: str) -> None:
    copy = Path(shutil.copytree(base, tmp_path / "base"))
    made = config("ar", data, tmp_path / "run", model=str(copy), mode=mode, adapter_rank=4)
    with pytest.raises(Stopped):
        warm_start(made, stop_at(3))
    tiny.model("llama", seed=1, max_position_embeddings=1024).save_pretrained(copy)
    with pytest.raises(UserError, match=r"was begun with model.weights = '\w+', now it is '\w+'"):
        warm_start(made)
    shutil.rmtree(copy)
    shutil.copytree(base, copy)
    began = json.loads((tmp_path / "run/config.json").read_text())
    del began["model"]  # as a run from before it was noted
    (tmp_path / "run/config.json").write_text(json.dumps(began))
    warm_start(made)
    assert status(tmp_path / "run") == "finished"


def test_a_damaged_checkpoint_is_passed_over(data: Path, tmp_path: Path) -> None:
    made, seen = config("ar", data, tmp_path / "run"), []
    with pytest.raises(Stopped):
        warm_start(made, stop_at(6))
    assert checkpoint.steps(tmp_path / "run/checkpoints") == [2, 4]
    weights = tmp_path / "run/checkpoints/step-4/weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    warm_start(made, say=seen.append)
    [note] = [line for line in seen if "cannot be read" in line]
    assert note.startswith("the checkpoint of step 4 cannot be read (weights.safetensors: ")
    assert note.endswith("): going on from step 2")
    warm_start(config("ar", data, tmp_path / "other"))
    assert timeless(lines(tmp_path / "run/metrics.jsonl")) == timeless(lines(tmp_path / "other/metrics.jsonl"))


@pytest.mark.parametrize("role", ["av", "ar"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_there_is_no_dropout(data: Path, tmp_path: Path, role: str, family: str) -> None:
    """GPT-2 has modules for it, the others keep attention's as a number."""
    changes = {"n_positions": 1024} if family == "gpt2" else {"max_position_embeddings": 1024, "attention_dropout": 0.5}
    tiny.model(family, **changes).save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    plain, recomputed = (
        config(role, data, tmp_path / "run", model=str(tmp_path), checkpointing=c) for c in (False, True)
    )
    train, found = load_rows(data, "train", 0)
    held, _ = load_rows(data, "heldout", 0)
    assert found.manifest is not None
    tasks = [build(made, train, held, found.manifest) for made in (plain, recomputed)]
    assert tasks[1].module.training or any(module.training for module in tasks[1].module.modules())
    evaluated = [task.evaluate()[0] for task in tasks for _ in range(2)]
    losses = [task.loss([0, 1, 2]).item() for task in tasks for _ in range(2)]
    assert evaluated == [evaluated[0]] * 4
    assert losses == [losses[0]] * 4


def test_evaluations_are_in_eval_mode(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes, real = [], ARTask.evaluate

    def evaluate(self: ARTask) -> Any:
        modes.append({module.training for module in self.module.modules()})
        return real(self)

    monkeypatch.setattr(ARTask, "evaluate", evaluate)
    warm_start(config("ar", data, tmp_path / "run", checkpointing=True))
    assert modes == [{False}] * len(modes)
    assert len(modes) > 1


def test_a_non_finite_gradient_is_skipped_and_counted(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = ARTask.loss, [0]

    def loss(self: ARTask, rows: Any) -> Any:
        calls[0] += 1
        found = real(self, rows)
        return found * float("nan") if calls[0] == 2 else found

    monkeypatch.setattr(ARTask, "loss", loss)
    model = warm_start(config("ar", data, tmp_path / "run", eval_every=1))
    metrics = lines(tmp_path / "run" / "metrics.jsonl")
    assert [line["skipped"] for line in metrics][:3] == [0, 1, 1]
    assert metrics[1]["loss"] is None
    assert metrics[1]["grad_norm"] is None
    assert metrics[1]["heldout_mse"] == metrics[0]["heldout_mse"]  # nothing moved
    assert metrics[2]["heldout_mse"] != metrics[1]["heldout_mse"]
    weights = load_file(str(model / "model.safetensors"))
    assert all(torch.isfinite(weight).all() for weight in weights.values())


def test_a_run_of_nothing_but_non_finite_gradients_stops(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ARTask.loss
    monkeypatch.setattr(ARTask, "loss", lambda self, rows: real(self, rows) * float("inf"))
    with pytest.raises(UserError, match="21 of 21 steps had non-finite gradients: lower --lr"):
        warm_start(config("ar", data, tmp_path / "run", batch=1, eval_every=50, save_every=50))


def test_a_log_cut_in_the_middle_of_a_line_is_mended(data: Path, tmp_path: Path) -> None:
    made = config("ar", data, tmp_path / "run")
    with pytest.raises(Stopped):
        warm_start(made, stop_at(6))
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
        file.write('{"step": 5, "loss": 0.')
    warm_start(made)
    other = config("ar", data, tmp_path / "other")
    warm_start(other)
    assert timeless(lines(tmp_path / "run" / "metrics.jsonl")) == timeless(lines(tmp_path / "other" / "metrics.jsonl"))


def test_a_full_disk_leaves_the_last_checkpoint(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = checkpoint.save_file

    def full(tensors: Any, path: str) -> None:
        if "step-4" in path:
            raise OSError(28, "No space left on device")
        real(tensors, path)

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(UserError, match=r"no room to write .*step-4"):
        warm_start(config("ar", data, tmp_path / "run"))
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == ["step-2"]
    monkeypatch.setattr(checkpoint, "save_file", real)
    warm_start(config("ar", data, tmp_path / "run"))
    assert status(tmp_path / "run") == "finished"


def test_a_checkpoint_of_another_kind_of_run_is_refused(data: Path, tmp_path: Path) -> None:
    warm_start(config("ar", data, tmp_path / "full"))
    warm_start(config("ar", data, tmp_path / "adapter", mode="adapter", adapter_rank=4))
    module = torch.nn.ModuleDict({"backbone": Reconstructor.from_pretrained(tmp_path / "full" / "model").backbone})
    module.requires_grad_(True)
    folder = tmp_path / "adapter" / "checkpoints"
    with pytest.raises(UserError, match="holds other weights than this run trains"):
        checkpoint.load(folder, checkpoint.steps(folder)[-1], module, torch.optim.AdamW(module.parameters()))


MEMORY = """
import resource, sys
from thinkaloud.config.train import AVWarmStart
from thinkaloud.training.sft import warm_start
warm_start(AVWarmStart.of(data=sys.argv[1], out=sys.argv[2], rows=256, eval_rows=8))
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_a_step_on_the_pocket_base_stays_within_two_gigabytes(tmp_path: Path) -> None:
    """One step of 256 rows of about 75 tokens on 7.7M weights."""
    from thinkaloud.activations import extract_to, read_corpus
    from thinkaloud.config.data import Extract
    from thinkaloud.loading import load_causal_lm, load_tokenizer
    from thinkaloud.site import Site
    from thinkaloud.writers.heuristic import HeuristicWriter
    from thinkaloud.writers.write import write_all

    texts, base = tmp_path / "texts.jsonl", "pocket/base"
    said = "and on day {} the old boats stayed in the quiet harbour of {}, for there was a storm at sea. "
    texts.write_text("".join(json.dumps({"text": said.format(i, i) * 9}) + "\n" for i in range(60)))
    model, data = load_causal_lm(base), tmp_path / "data"
    config = Extract(str(texts), data, positions=6, min_position=9, next_tokens=4, heldout=0.1)
    extract_to(config, model, load_tokenizer(base), read_corpus(texts), Site("resid_post", 5), base)
    write_all(data, HeuristicWriter())
    arguments = [sys.executable, "-c", MEMORY, str(data), str(tmp_path / "run")]
    done = subprocess.run(arguments, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 2 * 2**20, f"{int(done.stdout) / 2**20:.1f} GiB"
