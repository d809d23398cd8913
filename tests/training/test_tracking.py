"""Trackers get a run's numbers; one that is not installed is refused in one line."""

import subprocess
import sys
from pathlib import Path

import pytest
import tiny

from thinkaloud.config.train import ARWarmStart
from thinkaloud.errors import UserError
from thinkaloud.training import tracking
from thinkaloud.training.run_folder import log
from thinkaloud.training.sft import warm_start


def test_numbers_alone_are_sent() -> None:
    line = {"step": 3, "steps": 9, "loss": 0.5, "skipped": 1, "note": "text", "grad_norm": None}
    assert tracking.numbers(line) == {"loss": 0.5, "skipped": 1.0}


def test_a_tracker_of_ones_own_is_one_function(tmp_path: Path) -> None:
    seen = []

    @tracking.tracker
    class Mine:
        name = "mine"

        def __init__(self, out: Path, config: object) -> None:
            seen.append((out, config))

        def log(self, metrics: object, step: int) -> None:
            seen.append((metrics, step))

        def finish(self) -> None:
            seen.append("finished")

    lines: list[object] = []
    with tracking.tracked("mine", tmp_path, {"lr": 1}, lines.append) as watch:
        watch({"step": 0, "steps": 2})
        assert seen == [], "it starts with the first numbers"
        watch({"step": 1, "steps": 2, "loss": 2.0})
    assert seen == [(tmp_path, {"lr": 1}), ({"loss": 2.0}, 1), "finished"]
    assert len(lines) == 2


def test_what_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "find_spec", lambda name: None)
    for name, line in {
        "wandb": r"--report-to wandb needs the package wandb: pip install 'thinkaloud\[track\]'",
        "paper": "no tracker 'paper': expected one of trackio, wandb, tensorboard",
    }.items():
        with pytest.raises(UserError, match=line), tracking.tracked(name, tmp_path, {}, print):
            pass
    with tracking.tracked(None, tmp_path, {}, print) as watch:
        assert watch is print


def test_tensorboard_holds_the_curve_of_a_warm_start(data: Path, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    where = {"data": str(data), "out": str(tmp_path / "run"), "device": "cpu"}
    made = ARWarmStart.of(**where, ar_template=tiny.AR_TEMPLATE, batch=6, track="tensorboard")
    warm_start(made)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard"))
    events.Reload()
    lines = log(tmp_path / "run" / "metrics.jsonl")
    found = [(event.step, pytest.approx(event.value)) for event in events.Scalars("loss")]
    assert [(line["step"], line["loss"]) for line in lines] == found
    assert warm_start(made.but(track=None)), "a tracker is no part of what a run is"


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_trackers_write_without_a_network(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    code = (
        "from pathlib import Path; from thinkaloud.training import tracking; "
        f"run = tracking.tracker[{name!r}](Path({str(tmp_path)!r}), {{'lr': 1}}); "
        "run.log({'loss': 0.5}, 1); run.finish()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert [path for path in tmp_path.rglob("*") if path.is_file()]
