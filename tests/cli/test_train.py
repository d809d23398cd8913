"""`thinkaloud train` and `thinkaloud runs` say what there is to know and what to do next."""

import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import tiny
from terminal import THINKALOUD, Terminal

from thinkaloud import NLA, cli
from thinkaloud.activations import Activations
from thinkaloud.cli import progress, runs
from thinkaloud.cli.progress import Pace
from thinkaloud.cli.run import verbs
from thinkaloud.cli.stopping import told_to_stop
from thinkaloud.cli.train import evaluated, line, parse
from thinkaloud.config.train import RL, ARWarmStart
from thinkaloud.pair.formats import save
from thinkaloud.site import Site
from thinkaloud.training import checkpoint, run_folder

N = 36
SMALL = ["--steps", "2", "--prompts", "3", "--group", "2", "--max-tokens", "16", "--eval-rows", "6", "--device", "cpu"]
HELD = {"heldout_fve": 0.41, "heldout_fve_frozen": 0.33, "closed": 0.98, "length": 66.0, "repetition": 0.05}
HELD |= {"quoted": 0.2, "non_latin": 0.0, "heldout_kl": 0.12}
STEP = {
    "reward": -0.5,
    "train_closed": 0.99,
    "train_length": 70.0,
    "kl": 0.02,
    "entropy": 1.1,
    "tokens_per_second": 999,
}
STEP |= {"skipped_av": 1, "skipped_ar": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair whose AV closes what it says in `pair`, and activations in `data`."""
    root = tmp_path_factory.mktemp("train")
    av, ar = tiny.closing_verbalizer(), tiny.reconstructor()
    save(replace(av, contract=replace(av.contract, base_model=None)), root / "pair" / "av")
    save(ar, root / "pair" / "ar")
    columns = {
        "doc_id": [f"doc-{i // 3}" for i in range(N)],
        "position": list(range(N)),
        "split": ["heldout" if i // 3 % 3 == 0 else "train" for i in range(N)],
        "text": [f"Text {i}." for i in range(N)],
    }
    Activations(tiny.vectors(N), pa.table(columns), Site("resid_post", 2)).save(root / "data")
    return root


def begun(folder: Path, out: Path, *more: str) -> int:
    given = ["--nla", str(folder / "pair"), "--data", str(folder / "data"), "--out", str(out)]
    return cli.main(["train", *given, *SMALL, "--stop-closed", "0", "--stop-drop", "9", *more])


def test_a_run_says_what_it_reached_and_what_comes_next(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert begun(folder, out) == 0
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        f"{out}: {(out / 'STATUS').read_text()}",
        f"next: thinkaloud score --nla {out} --data {folder / 'data'}",
    ]
    assert [line.split("  ")[0] for line in said.err.splitlines()] == ["step 0/2", "step 2/2"]
    assert "FVE, live AR" in said.err
    assert NLA.from_pretrained(out).read
    assert cli.main(["train", "--resume", str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: finished; the pair is of step ")
    assert begun(folder, out) == 0, "the same command again"
    assert capsys.readouterr().out.startswith(f"{out}: finished; the pair is of step ")
    assert begun(folder, out, "--seed", "1") == 2
    assert capsys.readouterr().err.startswith(f"thinkaloud: {out} was begun with seed = 0, now it is 1: choose another")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--resume", "nowhere"], "nowhere holds no run: there is no config.json in it"),
        (["--nla", "pocket", "--data", "nowhere", "--out", "run"], "nowhere"),
        (
            ["--nla", "pocket", "--data", "x", "--out", "run", "--group", "1"],
            "rollout.group_size must be 2 or more, found 1",
        ),
    ],
)
def test_mistakes_are_one_line(
    arguments: list[str], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", *arguments]) == 2
    said = capsys.readouterr().err
    assert said.startswith("thinkaloud: ")
    assert line in said
    assert len(said.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_warm_start_is_not_resumed_here(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"config": {"role": "ar"}}))
    assert cli.main(["train", "--resume", str(tmp_path)]) == 2
    assert f"{tmp_path} is a warm start: run the same thinkaloud warmstart command again" in capsys.readouterr().err


def test_a_recipe_begins_a_run_and_goes_on_with_it(folder: Path, tmp_path: Path) -> None:
    config = parse(
        ["--nla", str(folder / "pair"), "--data", str(folder / "data"), "--out", str(tmp_path / "r"), *SMALL]
    )
    assert isinstance(config, RL)
    step = verbs()["train"]
    step(config.but(stop_closed=0.0))
    assert run_folder.status(tmp_path / "r") == "finished"
    step(config.but(stop_closed=0.0))


VIEW = """
import time
from thinkaloud.cli import progress
from thinkaloud.cli.train import evaluated, line
pace = progress.Pace(25)
step, held = {step!r}, {held!r}
with progress.log_view(pace, line, evaluated) as watch:
    time.sleep(1)
    watch({{"step": 0, "steps": 150, **held, "seconds_eval": 0.0}})
    time.sleep(1)
    watch({{"note": "out of memory: going on with micro_tokens 256"}})
    watch({{"step": 50, "steps": 150, **step}})
    time.sleep(1.5)
print("done")
"""


def test_the_live_view() -> None:
    with Terminal([sys.executable, "-c", VIEW.format(step=STEP, held=HELD)], 140) as terminal:
        assert terminal.finish() == 0
    said = terminal.text.replace("\r", "\n").splitlines()
    assert any("loading …" in part for part in said)
    assert any(part.startswith("step 0/150  FVE, live AR 0.41") for part in said), "evaluations stay"
    assert "out of memory: going on with micro_tokens 256" in said
    step = "step 50/150  reward -0.500, closed 99 %, 70 tokens, KL 0.020, entropy 1.10, 999 tokens/s, 1 updates skipped"
    assert any(re.search(rf"━ {re.escape(step)}, \d s left", part) for part in said)
    assert max(map(len, said)) <= 140


def test_a_pipe_gets_evaluations_and_notes_and_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress.log_view(Pace(25), line, evaluated) as watch:
        watch({"step": 3, "steps": 9, **STEP})
        watch({"note": "a note"})
        watch({"step": 4, "steps": 9, **STEP, **HELD})
        monkeypatch.setattr(progress, "EVERY", 0.0)
        watch({"step": 5, "steps": 9, **STEP})
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "a note"
    assert lines[1].startswith("step 4/9  FVE, live AR 0.41  FVE, frozen AR 0.33  closed 0.98")
    assert lines[2].startswith("step 5/9  reward -0.500, closed 99 %")
    assert lines[2].endswith(" left")
    assert len(lines) == 3


def test_ctrl_c_finishes_the_step_and_says_how_to_go_on(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "my run"
    given = ["--nla", str(folder / "pair"), "--data", str(folder / "data"), "--out", str(out), *SMALL]
    more = ["--steps", "2000", "--eval-every", "2000", "--save-every", "2000", "--stop-closed", "0"]
    with Terminal([*THINKALOUD, "train", *given, *more], 160) as terminal:
        terminal.until(r"step [1-9]\d*/2000  reward .*, [\d,]+ tokens/s.*, .* left")
        terminal.press("\x03")
        assert terminal.finish() == 130, terminal.text
        said = terminal.text
    assert "told to stop: the step is finished and saved first" in said
    assert "Traceback" not in said
    step = checkpoint.steps(out / "checkpoints")[-1]
    assert f"stopped at {step} of 2000" in said
    assert f"next: thinkaloud train --resume '{out}'" in said.replace("\n", "")
    assert (out / "STATUS").read_text() == f"stopped at {step} of 2000"


class _Interrupting(io.RawIOBase):
    """A standard error in the middle of whose first write Ctrl-C comes."""

    def __init__(self) -> None:
        self.got = b""

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        first, self.got = not self.got, self.got + bytes(data)
        if first:
            signal.raise_signal(signal.SIGINT)
        return len(data)


def test_ctrl_c_in_the_middle_of_a_line_of_progress_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = _Interrupting()
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(io.BufferedWriter(raw), write_through=True))
    pace = Pace(1)
    pace.see({"step": 1, "steps": 2})
    with told_to_stop(pace) as told:
        print("a step", file=sys.stderr, flush=True)
    assert told == [signal.SIGINT]
    assert raw.got.splitlines()[0] == b"a step"
    assert raw.got.splitlines()[1].startswith(b"told to stop: the step is finished and saved first")


def test_a_recipe_does_not_take_a_stopped_run_for_a_finished_one(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "r"
    given = ["--nla", str(folder / "pair"), "--data", str(folder / "data"), "--out", str(out), *SMALL]
    config = parse([*given, "--steps", "2000", "--eval-every", "2000", "--stop-closed", "0"])

    def tell() -> None:
        while not (out / "metrics.jsonl").is_file():
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=tell).start()
    with pytest.raises(KeyboardInterrupt):
        verbs()["train"](config)
    assert run_folder.status(out) == "stopped"


def test_runs_are_listed_with_the_command_to_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(name: str, config: dict[str, Any], log: list[dict[str, Any]], status: str, **more: Any) -> Path:
        out = tmp_path / name
        out.mkdir(parents=True)
        (out / "config.json").write_text(json.dumps({"config": config, **more}))
        (out / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in log) + '{"step": 9, "cut')
        (out / "STATUS").write_text(status)
        return out

    rl = write("b/rl run", {"nla": "pocket", "steps": 9}, [{"step": 0, **HELD}, {"step": 4}], "stopped at 4 of 9")
    warm = ARWarmStart.of(data="d", out="elsewhere", lr=3e-4).to_dict()
    ar = write("a/ar", warm, [{"step": 20, "heldout_fve": 0.7}], "running 20 of 40", steps=40)
    write("a/done", {"nla": "pocket", "steps": 2}, [{"step": 2, **HELD}], "finished; the pair is of step 2")
    write("a/model/config-of-a-model", {}, [], "")
    shutil.copytree(tmp_path / "a/done", tmp_path / "1/2/3/4/too-deep")
    assert cli.main(["runs", str(tmp_path)]) == 0
    page = capsys.readouterr().out
    assert f"next: thinkaloud train --resume '{rl}'" in page
    assert f"next: thinkaloud warmstart ar --data d --out {ar} --optim.lr 0.0003" in page
    assert page.count("next:") == 2
    assert cli.main(["runs", str(tmp_path), "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(run["folder"]).name for run in found] == ["ar", "done", "rl run"]
    assert [(run["step"], run["steps"]) for run in found] == [(20, 40), (2, 2), (4, 9)]
    assert [run["fve"] for run in found] == [0.7, 0.41, 0.41]
    assert found[1]["next"] == ""
    (rl / "STATUS").write_text("collapsed at 4 of 9: the held-out FVE fell; the pair is of step 0")
    monkeypatch.setenv("COLUMNS", "60")
    assert cli.main(["runs", str(tmp_path)]) == 0
    page = capsys.readouterr().out
    assert "…" not in page
    assert "the held-out FVE fell" in " ".join(page.split())
    assert max(len(line) for line in page.splitlines() if not line.startswith("next:")) <= 60
    (tmp_path / "empty").mkdir()
    assert cli.main(["runs", str(tmp_path / "empty")]) == 0
    assert capsys.readouterr().out == f"no runs in {tmp_path / 'empty'} (three folders down)\n"
    assert cli.main(["runs", str(tmp_path / "none")]) == 2


def test_a_run_that_nobody_understands_is_listed_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Listing runs no file that a run's configuration names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text("raise SystemExit('ran')")
    for name, more in {"file": {"injection": "mine.py"}, "odd": {"nonsense": 3}}.items():
        (tmp_path / name).mkdir()
        config = {"role": "av", "data": "d", "out": "o", **more}
        (tmp_path / name / "config.json").write_text(json.dumps({"config": config, "steps": 9}))
    assert cli.main(["runs", "--json"]) == 0
    found = [json.loads(line)["next"] for line in capsys.readouterr().out.splitlines()]
    assert found == ["thinkaloud warmstart av --data d --out file --injection mine.py", ""]


def test_options_that_were_changed_are_named_again() -> None:
    warm = ARWarmStart.of(data="d", out="o", batch=8, rows=5).to_dict()
    assert runs.go_on(Path("o"), warm) == "thinkaloud warmstart ar --data d --out o --batch-size 8 --rows 5"


@pytest.mark.slow
def test_two_processes_do_not_train_in_one_folder(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One trains; the other, new or resumed, is told who does; the kill of the first lets the other go on."""
    out = tmp_path / "run"
    given = ["--nla", str(folder / "pair"), "--data", str(folder / "data"), "--out", str(out), *SMALL[2:]]
    more = ["--steps", "20", "--stop-closed", "0", "--stop-drop", "9"]
    first = subprocess.Popen([sys.executable, "-m", "thinkaloud.cli", "train", *given, *more], stderr=subprocess.PIPE)
    while not run_folder.log(out / run_folder.METRICS):
        assert first.poll() is None, first.communicate()[1]
        time.sleep(0.005)
    os.kill(first.pid, signal.SIGSTOP)
    lines = run_folder.log(out / run_folder.METRICS)
    assert first.poll() is None
    assert lines[-1]["step"] < 20
    for again in (["train", *given, *more], ["train", "--resume", str(out)]):
        assert cli.main(again) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"thinkaloud: {out} is in use by process {first.pid} on {socket.gethostname()} since ")
        assert said.count("\n") == 1
    assert run_folder.log(out / run_folder.METRICS) == lines
    os.kill(first.pid, signal.SIGKILL)
    first.communicate()
    assert cli.main(["train", "--resume", str(out)]) == 0
    assert [line["step"] for line in run_folder.log(out / run_folder.METRICS)] == list(range(21))
