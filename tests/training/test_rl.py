"""Reinforcement learning improves a pair, resumes after a kill to the bit, and refuses what cannot work."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import small_disk
import tiny
from earlier import flat
from huggingface_hub import constants

from thinkaloud import NLA
from thinkaloud.activations import Activations
from thinkaloud.config.train import RL
from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation
from thinkaloud.families import truncated
from thinkaloud.pair.formats import adapters, save
from thinkaloud.training import checkpoint, rl, run_folder
from thinkaloud.training.policy import Policy
from thinkaloud.training.rl import resume, step_seed, train
from thinkaloud.training.rl_setup import save_pair
from thinkaloud.writers import HeuristicWriter
from thinkaloud.writers.write import write_all

RUN = """
import json, sys, torch
from thinkaloud.config.train import RL
from thinkaloud.training.rl import resume, train
from thinkaloud.training.run_folder import CONFIG
from pathlib import Path
torch.set_num_threads(1)
config = RL.of(**json.loads(sys.argv[1]))
resume(config.out) if (Path(config.out) / CONFIG).exists() else train(config)
"""


def config(pair: Path, data: Path, out: Path, **changes: Any) -> RL:
    small = {
        "steps": 6,
        "prompts": 6,
        "group": 4,
        "max_tokens": 16,
        "lr": 3e-3,
        "ar_lr": 3e-3,
        "warmup": 1,
        "eval_every": 3,
        "eval_rows": 12,
        "save_every": 2,
        "mismatch_every": 2,
        "store": "float32",
        "stop_drop": 9.0,
        "stop_closed": 0.0,
        "stop_repetition": 1.0,
        "device": "cpu",
    }
    return RL.of(**{"nla": str(pair), "data": str(data), "out": str(out), **small, **changes})


def log(out: Path) -> list[dict[str, Any]]:
    return run_folder.log(out / run_folder.METRICS)


def timeless(lines: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    clocks = ("seconds", "seconds_rollout", "seconds_eval", "tokens_per_second")
    return [{name: value for name, value in line.items() if name not in clocks} for line in lines]


@pytest.mark.usefixtures("one_thread")
def test_a_run_learns_and_its_folder_is_a_pair(pair: Path, data: Path, tmp_path: Path) -> None:
    seen: list[dict[str, Any]] = []
    out = train(config(pair, data, tmp_path / "run", steps=30, eval_every=15), watch=seen.append)
    lines = log(out)
    assert timeless(lines) == timeless(seen)
    assert [line["step"] for line in lines] == list(range(31))
    rewards = [line["reward"] for line in lines[1:]]
    assert sum(rewards[-5:]) / 5 > sum(rewards[:5]) / 5 + 0.1
    held = [line for line in lines if "heldout_fve" in line]
    assert [line["step"] for line in held] == [0, 15, 30]
    assert held[-1]["heldout_fve"] > held[0]["heldout_fve"]
    assert held[0]["heldout_fve"] == held[0]["heldout_fve_frozen"], "before the first step the AR is the frozen one"
    assert held[0]["heldout_kl"] == pytest.approx(0, abs=1e-6)
    assert held[-1]["heldout_kl"] > 0
    best = max(held, key=lambda line: line["selection_fve_frozen"])["step"]
    assert (out / run_folder.STATUS).read_text() == f"finished; the pair is of step {best}"
    nla = NLA.from_pretrained(out)
    assert nla.verbalizer.contract.stage == nla.reconstructor.contract.stage == "rl"
    assert nla.verbalizer.contract.provenance["rl"] == {"of": str(pair), "step": best}
    weights = checkpoint.load_file(str(out / f"checkpoints/step-{best}/weights.safetensors"))
    assert nla.verbalizer.model.lm_head.weight.equal(weights["av.lm_head.weight"])
    samples = run_folder.log(out / run_folder.SAMPLES)
    assert {line["step"] for line in samples} == {0, 15, 30}
    assert all({"prefix", "read", "finish", "fve", "fve_frozen"} < line.keys() for line in samples)


@pytest.mark.usefixtures("one_thread")
def test_an_ar_that_reads_written_texts_too_does_not_forget_them(pair: Path, data: Path, tmp_path: Path) -> None:
    def last(out: str, **changes: Any) -> dict[str, Any]:
        return log(train(config(pair, data, tmp_path / out, steps=12, eval_every=12, **changes)))[-1]

    with_them, without = last("with", ar_written=1.0), last("without", ar_written=1e-9)
    assert with_them["heldout_fve_written"] > without["heldout_fve_written"] + 0.02
    assert with_them["mse_written"] < without["mse_written"]


def test_texts_that_the_ar_learns_from_may_not_change(pair: Path, data: Path, tmp_path: Path) -> None:
    mine = tmp_path / "data"
    shutil.copytree(data, mine)
    begun = config(pair, mine, tmp_path / "run", steps=2, ar_written=0.5)
    train(begun, stop=lambda: True)
    (mine / "explanations-00000.parquet").unlink()
    with pytest.raises(UserError, match="has no explanations yet"):
        train(begun.but(out=str(tmp_path / "another")))
    write_all(mine, HeuristicWriter(["topic"]))
    with pytest.raises(UserError, match=r"begun with data.digest = "):
        train(begun)


GOLDEN = {
    "reward": [-1.89343, -1.90904, -1.82923, -1.91201, -1.69166, -1.4305],
    "kl": [0.0, 0.09228, 0.22892, 0.23218, 0.18898, 0.13509],
    "heldout_fve": [-2.36269, -2.13232, -1.11736],
}


@pytest.mark.usefixtures("one_thread")
def test_a_short_run_goes_as_it_always_went(pair: Path, data: Path, tmp_path: Path) -> None:
    """The golden curves. Machines differ in the last digits, and in what is sampled where two tokens are as likely."""
    lines = log(train(config(pair, data, tmp_path / "run", lr=1e-3, ar_lr=1e-3)))
    found = {name: [line[name] for line in lines if name in line] for name in GOLDEN}
    assert found == {name: pytest.approx(values, rel=5e-3, abs=1e-5) for name, values in GOLDEN.items()}


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="full"),
        pytest.param({"mode": "adapter", "adapter_rank": 4, "kl_form": "full"}, id="adapter", marks=pytest.mark.slow),
        pytest.param({"reward": "log_mse", "checkpointing": True}, id="checkpointing", marks=pytest.mark.slow),
        pytest.param({"ar_written": 0.5}, id="written", marks=pytest.mark.slow),
    ],
)
@pytest.mark.usefixtures("one_thread")
def test_killed_and_resumed_equals_unkilled(pair: Path, data: Path, tmp_path: Path, changes: dict[str, Any]) -> None:
    """SIGKILL again and again, at any moment after a checkpoint and before the next, until the run is through."""
    whole = train(config(pair, data, tmp_path / "whole", **changes))
    killed = config(pair, data, tmp_path / "killed", **changes)
    arguments = [sys.executable, "-c", RUN, json.dumps(killed.to_dict())]
    kills, folder = 0, Path(killed.out) / "checkpoints"
    while run_folder.status(Path(killed.out)) != "finished":
        before = checkpoint.steps(folder)
        process = subprocess.Popen(arguments, stderr=subprocess.PIPE)
        while process.poll() is None and checkpoint.steps(folder) == before:
            time.sleep(0.005)
        if process.poll() is None and kills < 3:
            time.sleep(0.04 * kills)
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        errors = process.communicate()[1].decode()
        assert process.returncode in (0, -signal.SIGKILL), errors
    assert kills >= 1
    for name in (run_folder.METRICS, run_folder.SAMPLES):
        assert timeless(run_folder.log(whole / name)) == timeless(run_folder.log(Path(killed.out) / name))
    files = sorted(p.relative_to(whole) for p in whole.rglob("*.safetensors"))
    assert len(files) >= 5
    for file in files:
        assert (whole / file).read_bytes() == (Path(killed.out) / file).read_bytes(), file


@pytest.mark.slow
def test_told_to_stop_it_saves_and_goes_on(pair: Path, data: Path, tmp_path: Path) -> None:
    """SIGTERM to the command: the step is finished and saved, the exit code is 0, and --resume needs nothing else."""
    made = config(pair, data, tmp_path / "run", steps=400, eval_every=400, save_every=400)
    options = [word for name, value in made.changed().items() for word in (f"--{name}", str(value))]
    command = [sys.executable, "-m", "thinkaloud.cli", "train"]
    process = subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(log(tmp_path / "run")) < 4:
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    said, errors = process.communicate()
    assert process.returncode == 0, errors
    steps = checkpoint.steps(tmp_path / "run/checkpoints")
    assert f"stopped at {steps[-1]} of 400" in said
    assert f"next: thinkaloud train --resume {tmp_path / 'run'}" in said
    assert steps[-1] >= 3
    listed = subprocess.run([*command[:-1], "runs", str(tmp_path)], capture_output=True, text=True, check=True).stdout
    assert f"next: thinkaloud train --resume {tmp_path / 'run'}" in listed


def test_a_pair_keeps_the_baseline_that_it_has(pair: Path, data: Path, tmp_path: Path) -> None:
    given = config(pair, data, tmp_path / "run")
    of_data = Activations.load(data, split="heldout").baseline("heldout")
    nla = NLA.from_pretrained(pair)
    save_pair(nla.verbalizer, nla.reconstructor, given, of_data, 3)
    first = NLA.from_pretrained(tmp_path / "run")
    assert first.verbalizer.contract.baseline == first.reconstructor.contract.baseline == of_data
    save_pair(first.verbalizer, first.reconstructor, given, replace(of_data, v=0.5), 3)
    again = NLA.from_pretrained(tmp_path / "run")
    assert again.verbalizer.contract.baseline == again.reconstructor.contract.baseline == of_data


def test_it_refuses_another_pair_or_other_data(pair: Path, data: Path, tmp_path: Path) -> None:
    mine, texts = tmp_path / "pair", tmp_path / "data"
    shutil.copytree(pair, mine)
    shutil.copytree(data, texts)
    out = train(config(mine, texts, tmp_path / "run", steps=2), stop=lambda: True)
    assert run_folder.status(out) == "stopped"
    with pytest.raises(UserError, match=r"run was begun with steps = 2, now it is 3: choose another folder"):
        train(config(mine, texts, out, steps=3))
    meta = mine / "av/nla_meta.yaml"
    before = meta.read_text()
    meta.write_text(before.replace("injection_scale: 3.0", "injection_scale: 4.0"))
    with pytest.raises(UserError, match=r"begun with av.extraction.injection_scale = 3.0, now it is 4.0"):
        resume(out)
    meta.write_text(before)
    weights = mine / "ar/value_head.safetensors"
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-4] + b"\0\0\0\1")
    with pytest.raises(UserError, match=r"begun with ar.weights = "):
        resume(out)
    weights.write_bytes(whole)
    manifest = json.loads((texts / "manifest.json").read_text())
    (texts / "manifest.json").write_text(json.dumps(manifest | {"corpus": "another"}))
    with pytest.raises(UserError, match=r"begun with data.corpus = 'texts\.txt', now it is 'another'"):
        resume(out)
    (texts / "manifest.json").write_text(json.dumps(manifest | {"shards": {}}))
    with pytest.raises(UserError, match=r"begun with data.digest = "):
        resume(out)


@pytest.mark.parametrize("then", [run_folder.vectors_digest, run_folder.digest], ids=["now", "as it once was noted"])
def test_explanations_may_be_written_while_a_run_rests(pair: Path, data: Path, tmp_path: Path, then: Any) -> None:
    texts = tmp_path / "data"
    shutil.copytree(data, texts)
    out = train(config(pair, texts, tmp_path / "run", steps=2), stop=lambda: True)
    begun = json.loads((out / run_folder.CONFIG).read_text())
    begun["data"]["digest"] = then(str(texts))
    (out / run_folder.CONFIG).write_text(json.dumps(begun))
    if then is run_folder.vectors_digest:
        (texts / "explanations-00000.parquet").unlink()
        write_all(texts, HeuristicWriter())
        (texts / "explanations-00000.parquet").unlink()
    assert run_folder.status(resume(out)) == "finished"


@pytest.mark.usefixtures("one_thread")
def test_the_same_configuration_goes_on_and_may_keep_more(pair: Path, data: Path, tmp_path: Path) -> None:
    whole = train(config(pair, data, tmp_path / "whole"))
    made = config(pair, data, tmp_path / "run")
    assert run_folder.status(train(made, stop=lambda: True)) == "stopped"
    out = train(made.but(save_every=1, keep=9))
    assert timeless(log(out)) == timeless(log(whole))
    assert checkpoint.steps(out / "checkpoints") == list(range(made.steps + 1))
    assert train(made) == out, "a finished run is left as it is"


def test_a_run_from_before_bases_and_revisions_were_noted_goes_on(pair: Path, data: Path, tmp_path: Path) -> None:
    out = train(config(pair, data, tmp_path / "run", steps=2), stop=lambda: True)
    begun = json.loads((out / run_folder.CONFIG).read_text())
    del begun["bases"], begun["revisions"]
    (out / run_folder.CONFIG).write_text(json.dumps(begun))
    assert run_folder.status(resume(out)) == "finished"


@pytest.mark.usefixtures("one_thread")
def test_adapters_go_on_over_the_base_they_were_begun_with(
    tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub's branch moves on while a run rests: it goes on with the commit it had; other weights are refused."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    place, old, new = tmp_path / "cache" / "models--some--base", "1" * 40, "2" * 40
    av, stack = tiny.closing_verbalizer(), tiny.closing_verbalizer().model
    for commit, factor in ((old, 1.0), (new, 1.1)):
        model = tiny.closing_verbalizer().model
        model.model.embed_tokens.weight.mul_(factor)
        model.save_pretrained(place / "snapshots" / commit)
        tiny.tokenizer().save_pretrained(place / "snapshots" / commit)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(old)
    named = {"base_model": "some/base"}
    av = replace(av, model=adapters.fresh(av.model, 4, 4), contract=replace(av.contract, **named))
    save(av, tmp_path / "pair" / "av")
    ar = tiny.reconstructor()
    backbone = adapters.fresh(truncated(stack, 2), 4, 4)
    ar = replace(ar, backbone=backbone, contract=replace(ar.contract, **named))
    save(ar, tmp_path / "pair" / "ar")
    found = Activations.load(data)
    vectors = replace(found, manifest={}).save(tmp_path / "data")  # does not say which model it is of
    whole = train(config(tmp_path / "pair", vectors, tmp_path / "whole", steps=2))
    out = train(config(tmp_path / "pair", vectors, tmp_path / "run", steps=2), stop=lambda: True)
    assert json.loads((out / run_folder.CONFIG).read_text())["revisions"] == {"av_base": old, "ar_base": old}
    (place / "refs" / "main").write_text(new)
    rested = tmp_path / "rested"
    shutil.copytree(out, rested)
    resume(out)
    assert timeless(log(out)) == timeless(log(whole))
    weights = place / "snapshots" / old / "model.safetensors"
    weights.write_bytes((place / "snapshots" / new / "model.safetensors").read_bytes())
    with pytest.raises(UserError, match=r"rested was begun with bases.av_base = '\w+', now it is '\w+'"):
        resume(rested)


@pytest.mark.usefixtures("one_thread")
def test_logs_with_odd_line_ends_and_torn_lines_are_read(pair: Path, data: Path, tmp_path: Path) -> None:
    whole = train(config(pair, data, tmp_path / "whole"))
    out = train(config(pair, data, tmp_path / "run"), stop=lambda: True)
    odd = {"step": 0, "read": "\u2028, \u2029, \u0085, \x1c and \x00 in a row"}
    run_folder.append(out / run_folder.SAMPLES, [odd])
    for name in (run_folder.METRICS, run_folder.SAMPLES):
        with (out / name).open("a") as file:
            file.write('{"step": 2, "in": {"it": 1}')
    resume(out)
    assert timeless(log(out)) == timeless(log(whole))
    samples = run_folder.log(out / run_folder.SAMPLES)
    assert odd in samples
    assert [line for line in samples if line != odd] == run_folder.log(whole / run_folder.SAMPLES)


@pytest.mark.slow
def test_a_collapse_is_not_forgotten_by_a_kill(pair: Path, data: Path, tmp_path: Path) -> None:
    """Killed when the collapse is decided and saved and the pair is not yet written."""
    made = config(pair, data, tmp_path / "run", stop_closed=1.01)
    die = "import os; from thinkaloud.training import rl; rl._Run._finish = lambda *_: os.kill(os.getpid(), 9)\n"
    done = subprocess.run([sys.executable, "-c", die + RUN, json.dumps(made.to_dict())], capture_output=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert run_folder.status(tmp_path / "run") == "running"
    out = resume(tmp_path / "run")
    assert (out / run_folder.STATUS).read_text().startswith("collapsed at 3 of 6: only ")
    assert [line["step"] for line in log(out)] == [0, 1, 2, 3]
    NLA.from_pretrained(out)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


DAMAGE: dict[str, Any] = {
    "weights cut": lambda folder: cut(folder / "weights.safetensors"),
    "optimizer cut": lambda folder: cut(folder / "optimizer.safetensors"),
    "empty": lambda folder: (folder / "weights.safetensors").write_bytes(b""),
    "no generators": lambda folder: (folder / "generators.safetensors").unlink(),
    "state cut": lambda folder: (folder / "state.json").write_text('{"step": 3, "best'),
}


def third() -> Any:
    """Stops a run after its third step."""
    steps = iter(range(1, 100))
    return lambda: next(steps) == 3


@pytest.mark.usefixtures("one_thread")
def test_a_damaged_checkpoint_is_passed_over(pair: Path, data: Path, tmp_path: Path) -> None:
    settings = {"steps": 4, "save_every": 1, "eval_every": 4}
    whole = train(config(pair, data, tmp_path / "whole", **settings))
    stopped = train(config(pair, data, tmp_path / "stopped", **settings), stop=third())
    for i, (what, harm) in enumerate(DAMAGE.items()):
        out, seen = tmp_path / str(i), []
        shutil.copytree(stopped, out)
        harm(out / "checkpoints/step-3")
        resume(out, watch=seen.append)
        [note] = [line["note"] for line in seen if "note" in line]
        assert re.fullmatch(r"the checkpoint of step 3 cannot be read \(.+\): going on from step 2", note), what
        assert timeless(log(out)) == timeless(log(whole)), what
        assert checkpoint.steps(out / "checkpoints") == checkpoint.steps(whole / "checkpoints")


def test_without_a_whole_checkpoint_nothing_is_lost_and_nothing_begun(pair: Path, data: Path, tmp_path: Path) -> None:
    out = train(config(pair, data, tmp_path / "run", steps=4, save_every=1), stop=third())
    before = checkpoint.steps(out / "checkpoints")
    for step in before:
        cut(out / f"checkpoints/step-{step}/weights.safetensors")
    with pytest.raises(UserError, match=r"no checkpoint in .* can be read \(weights\.safetensors: .*\): begin another"):
        resume(out)
    assert checkpoint.steps(out / "checkpoints") == before


def test_a_damaged_best_checkpoint_leaves_the_last(
    pair: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures, right = iter([0.5, 0.1, 0.1, 0.1]), rl.validate

    def judged(*arguments: Any) -> Any:
        chosen, logged, table = right(*arguments)
        return {**chosen, "fve_frozen": next(figures)}, logged, table

    monkeypatch.setattr(rl, "validate", judged)
    out = train(config(pair, data, tmp_path / "run", steps=4, save_every=1, eval_every=2), stop=third())
    cut(out / "checkpoints/step-0/weights.safetensors")
    seen: list[dict[str, Any]] = []
    resume(out, watch=seen.append)
    assert (out / run_folder.STATUS).read_text() == "finished; the pair is of step 4"
    assert ["step 4 instead" in line["note"] for line in seen if "note" in line] == [True]


def test_a_finished_run_is_left_as_it_is(pair: Path, data: Path, tmp_path: Path) -> None:
    out = train(config(pair, data, tmp_path / "run", steps=1))
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert resume(out) == out
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before


def test_rollouts_that_disagree_are_refused(
    pair: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Policy.sample

    def wrong(self: Policy, *arguments: Any) -> list[list[Explanation]]:
        out = right(self, *arguments)
        for row in out:
            for one in row:
                object.__setattr__(one, "logprobs", tuple(value - 0.01 for value in one.logprobs))
        return out

    monkeypatch.setattr(Policy, "sample", wrong)
    line = r"rollout–trainer log-probability mismatch: .* differ by 0.01 nats on average \(bound 0.001\)"
    with pytest.raises(UserError, match=line):
        train(config(pair, data, tmp_path / "run"))
    train(config(pair, data, tmp_path / "other", mismatch_bound=0.02, steps=1))


def test_when_nothing_closes_it_stops_with_the_reason(pair: Path, data: Path, tmp_path: Path) -> None:
    mute = tmp_path / "pair"
    shutil.copytree(pair, mute)
    state = checkpoint.load_file(str(mute / "av/model.safetensors"))
    state["lm_head.weight"][NLA.from_pretrained(pair).tokenizer.get_vocab()["anation>"], 1] = -50.0
    checkpoint.save_file(state, str(mute / "av/model.safetensors"), metadata={"format": "pt"})
    with pytest.raises(
        UserError, match=r"none of 24 explanations can be .*: \d+ reached the cap of 16 tokens, \d+ ended"
    ):
        train(config(mute, data, tmp_path / "run"))
    assert len(log(tmp_path / "run")) == 1


def test_it_stops_when_the_words_fall_apart(pair: Path, data: Path, tmp_path: Path) -> None:
    out = train(config(pair, data, tmp_path / "run", stop_closed=1.01))
    status = (out / run_folder.STATUS).read_text()
    assert status.startswith("collapsed at 3 of 6: only ")
    assert "of the held-out explanations close; the pair is of step" in status
    assert resume(out) == out
    NLA.from_pretrained(out)


def test_a_text_that_the_ar_refuses_has_failed(pair: Path, data: Path, tmp_path: Path) -> None:
    """It ends in a special token that takes the line break behind it, so that the AR's prompt has another end."""
    mine = tmp_path / "pair"
    shutil.copytree(pair, mine)
    for part in ("av", "ar"):
        file = mine / part / "tokenizer.json"
        tokenizer = json.loads(file.read_text())
        token = next(token for token in tokenizer["added_tokens"] if token["content"] == tiny.USER)
        token["rstrip"] = True
        file.write_text(json.dumps(tokenizer))
    state = checkpoint.load_file(str(mine / "av/model.safetensors"))
    state["lm_head.weight"][token["id"], 0] = 1.0
    checkpoint.save_file(state, str(mine / "av/model.safetensors"), metadata={"format": "pt"})
    out = train(config(mine, data, tmp_path / "run", steps=3, max_tokens=24, lr=1e-4))
    lines = log(out)
    refused = [line["train_refused"] for line in lines[1:]]
    assert max(refused) > 0
    assert all(0 <= share < line["train_closed"] for share, line in zip(refused, lines[1:], strict=True))
    assert all(line["refused"] <= line["closed"] for line in lines if "heldout_fve" in line)


def test_a_run_of_an_earlier_version_goes_on_and_chooses_anew(pair: Path, data: Path, tmp_path: Path) -> None:
    """Its best step was the best on rows that were reported; its options had other names."""
    out = train(config(pair, data, tmp_path / "run"), stop=lambda: True)
    begun = json.loads((out / run_folder.CONFIG).read_text())
    begun["config"] = flat(RL.of(**begun["config"])) | {"reward": "mse", "advantage": "group"}
    assert {"parity_every", "parity_bound", "group", "kl_form"} <= set(begun["config"])
    begun["terms"] = []
    (out / run_folder.CONFIG).write_text(json.dumps(begun))
    state = out / f"checkpoints/step-{checkpoint.steps(out / 'checkpoints')[-1]}/state.json"
    old = json.loads(state.read_text())
    del old["selection"]
    state.write_text(json.dumps({**old, "best": 0.99, "best_step": 0}))
    resume(out)
    later = [line for line in log(out) if line["step"] > 0 and "heldout_fve" in line]
    best = max(later, key=lambda line: line["selection_fve_frozen"])["step"]
    assert (out / run_folder.STATUS).read_text() == f"finished; the pair is of step {best}"


def test_every_seed_is_measured_on_the_same_rows(pair: Path, data: Path, tmp_path: Path) -> None:
    first, second = (
        rl._Run(rl.prepare(config(pair, data, tmp_path / str(seed), seed=seed)), print, lambda: False)
        for seed in (0, 1)
    )
    assert first.held.prefixes == second.held.prefixes
    assert first.selection.prefixes == second.selection.prefixes
    assert not set(first.held.prefixes) & set(first.selection.prefixes)


@pytest.mark.slow
@small_disk.needed
def test_a_full_disk_at_a_checkpoint_leaves_the_last_good_one(pair: Path, data: Path, tmp_path: Path) -> None:
    """Room for two checkpoints and not for a third; with room again, the run goes on to its end."""
    settings = {"steps": 4, "save_every": 1, "eval_every": 4, "keep": 3}
    whole = train(config(pair, data, tmp_path / "whole", **settings))
    size = sum(path.stat().st_size for path in (whole / "checkpoints/step-4").iterdir())
    disk = tmp_path / "disk"
    made = config(pair, data, disk / "run", **settings)
    code = f"""
import json, shutil, torch
from pathlib import Path
from thinkaloud.cli import guarded
from thinkaloud.training import checkpoint
from thinkaloud.config.train import RL
from thinkaloud.training.rl import train
torch.set_num_threads(1)
print("code", guarded(lambda: train(RL.of(**json.loads({json.dumps(json.dumps(made.to_dict()))}))) and 0))
found = checkpoint.steps(Path({str(disk)!r}) / "run/checkpoints")
print("steps", found, sorted(p.name for p in Path({str(disk)!r}, "run/checkpoints").iterdir()))
shutil.copytree({str(disk)!r}, {str(tmp_path / "rescued")!r})
"""
    done = small_disk.run_on(disk, f"{int(2.6 * size) // 1024}k", code)
    assert "code 2" in done.stdout, done.stderr
    assert "thinkaloud: no room to write" in done.stderr
    assert re.search(r"steps \[0, 1(, 2)?\] \['step-0', 'step-1'(, 'step-2')?\]", done.stdout), "nothing half written"
    rescued = resume(tmp_path / "rescued/run")
    assert run_folder.status(rescued) == "finished"


def test_gradients_that_are_not_finite_are_skipped_and_counted(
    pair: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Policy.update

    def broken(self: Policy, *arguments: Any) -> Any:
        stats = right(self, *arguments)
        next(p for p in self.model.parameters() if p.grad is not None).grad[0] = float("nan")  # type: ignore[index]
        return stats

    monkeypatch.setattr(Policy, "update", broken)
    out = train(config(pair, data, tmp_path / "run", steps=2))
    assert (log(out)[-1]["skipped_av"], log(out)[-1]["skipped_ar"]) == (2, 0)
    start, end = NLA.from_pretrained(pair), NLA.from_pretrained(out)
    assert start.verbalizer.model.lm_head.weight.equal(end.verbalizer.model.lm_head.weight)
    weights = checkpoint.load_file(str(out / "checkpoints/step-2/weights.safetensors"))
    assert not weights["ar.head.weight"].equal(start.reconstructor.head.weight), "the AR learnt on"


def test_a_clock_that_jumps_back_changes_nothing(
    pair: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(10**9, 0, -1000))
    monkeypatch.setattr(time, "time", lambda: float(next(now)))
    out = train(config(pair, data, tmp_path / "run", steps=2))
    assert all(line["seconds"] > 0 for line in log(out)[1:])


def test_the_best_step_is_kept(pair: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The figure with the frozen AR says which step the pair is of: on other documents than those reported."""
    figures = iter([0.1, 0.5, 0.3, 0.2, 0.1])
    right = rl.validate

    def judged(*arguments: Any) -> Any:
        chosen, logged, table = right(*arguments)
        value = next(figures)
        return {**chosen, "fve_frozen": value}, {**logged, "heldout_fve_frozen": 1 - value}, table

    monkeypatch.setattr(rl, "validate", judged)
    out = train(config(pair, data, tmp_path / "run", steps=8, eval_every=2, save_every=1))
    assert checkpoint.steps(out / "checkpoints") == [2, 7, 8]
    assert (out / run_folder.STATUS).read_text() == "finished; the pair is of step 2"


def test_seeds_of_steps_differ() -> None:
    assert len({step_seed(seed, step) for seed in range(5) for step in range(50)}) == 250


def changed(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            lambda p, d: changed(d / "manifest.json", site={"kind": "resid_post", "layer": 1}),
            "activations of resid_post:1",
        ),
        (lambda p, d: changed(d / "manifest.json", d_model=64), "vectors 64 wide, the pair reads 32"),
        (lambda p, d: changed(d / "manifest.json", model={"name": "another/model"}), "activations of another/model"),
        (lambda p, d: changed(d / "manifest.json", counts={"splits": {"train": {"rows": 3}}}), "has no heldout rows"),
        (
            lambda p, d: (p / "av/nla_meta.yaml").write_text(
                (p / "av/nla_meta.yaml").read_text().replace("injection_scale: 3.0", "injection_scale: null")
            ),
            "an AV contract needs extraction.injection_scale",
        ),
        (
            lambda p, d: (p / "av/nla_meta.yaml").write_text(
                (p / "av/nla_meta.yaml")
                .read_text()
                .replace("layer: 2", "layer: 1")
                .replace("layer_index: 2", "layer_index: 1")
            ),
            "not a pair",
        ),
    ],
    ids=["layer", "width", "model", "split", "scale", "pair"],
)
def test_what_does_not_belong_together(pair: Path, data: Path, tmp_path: Path, change: Any, line: str) -> None:
    mine, texts = tmp_path / "pair", tmp_path / "data"
    shutil.copytree(pair, mine)
    shutil.copytree(data, texts)
    change(mine, texts)
    with pytest.raises(UserError, match=line):
        train(config(mine, texts, tmp_path / "run"))
    assert not (tmp_path / "run").exists(), "nothing is half begun"


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_vectors_that_cannot_be_read_leave_nothing(pair: Path, data: Path, tmp_path: Path, split: str) -> None:
    texts, mine = tmp_path / "data", tmp_path / "mine"
    shutil.copytree(data, texts)
    mine.mkdir()
    (mine / "notes.txt").write_text("mine")
    table = pq.read_table(texts / "shard-00000.parquet")
    row = [i for i, found in enumerate(table["split"].to_pylist()) if found == split][3]
    bits = table["vector"].to_pylist()
    bits[row] = bits[row][:8] + b"\xc0\x7f" + bits[row][10:]  # a bfloat16 NaN
    vectors = pa.array(bits, table.schema.field("vector").type)
    pq.write_table(
        table.set_column(table.column_names.index("vector"), "vector", vectors), texts / "shard-00000.parquet"
    )
    for out in (tmp_path / "run", mine):
        with pytest.raises(UserError, match="vector 3 holds NaN or infinity: 1 of"):
            train(config(pair, texts, out, eval_rows=1000))
    assert not (tmp_path / "run").exists()
    assert [path.name for path in mine.iterdir()] == ["notes.txt"]
    train(config(pair, data, mine, steps=1))


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"group": 1}, "rollout.group_size must be 2 or more, found 1"),
        ({"steps": 0}, "steps must be 1 or more, found 0"),
        ({"lr": 0.0}, "optim.lr must be a positive number, found 0.0"),
        ({"kl": -1.0}, "kl.coef must be 0 or more, found -1.0"),
        ({"ar_written": -1.0}, "optim.ar_written must be 0 or more, found -1.0"),
        ({"ar_written": 0.5, "ar_lr": 0.0}, "ar_written 0.5 needs an AR that learns: ar_lr is 0"),
        ({"temperature": float("inf")}, "rollout.temperature must be a positive number, found inf"),
        ({"max_tokens": 4}, "max_tokens 4 is below the shortest explanation that closes"),
        ({"max_tokens": 5000}, "max_tokens 5000 do not fit behind the prompt"),
        ({"nla": "nowhere"}, "nowhere"),
    ],
)
def test_settings_that_cannot_work(pair: Path, data: Path, tmp_path: Path, changes: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        train(config(pair, data, tmp_path / "run", **changes))
