"""Do trackers get a run's numbers, and is one that is not installed one line?"""

import subprocess
import sys
from pathlib import Path

import pytest

from thinkaloud.errors import UserError
from thinkaloud.training import tracking


def test_no_tracker_takes_everything(tmp_path: Path) -> None:
    nothing = tracking.start(None, tmp_path, {})
    nothing.log({"loss": 1.0}, 1)
    nothing.finish()
    assert not list(tmp_path.iterdir())


def test_numbers_alone_are_sent() -> None:
    line = {"step": 3, "steps": 9, "loss": 0.5, "skipped": 1, "note": "text", "grad_norm": None}
    assert tracking.numbers(line) == {"loss": 0.5, "skipped": 1.0}


def test_a_tracker_of_ones_own_is_one_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracking, "TRACKERS", dict(tracking.TRACKERS))
    seen = []

    @tracking.tracker("mine")
    class Mine:
        def __init__(self, out: Path, config: object) -> None:
            seen.append((out, config))

        def log(self, metrics: object, step: int) -> None:
            seen.append((metrics, step))

        def finish(self) -> None:
            seen.append("finished")

    run = tracking.start("mine", tmp_path, {"lr": 1})
    run.log({"loss": 2.0}, 1)
    run.finish()
    assert seen == [(tmp_path, {"lr": 1}), ({"loss": 2.0}, 1), "finished"]


def test_what_is_not_there_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    with pytest.raises(UserError, match=r"--track wandb needs the package wandb: pip install 'thinkaloud\[track\]'"):
        tracking.start("wandb", tmp_path, {})
    with pytest.raises(UserError, match="no tracker paper: expected one of trackio, wandb, tensorboard"):
        tracking.start("paper", tmp_path, {})


def test_tensorboard_holds_the_curve(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = tracking.start("tensorboard", tmp_path, {})
    for step in (1, 2):
        run.log({"loss": step / 2}, step)
    run.finish()
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(1, 0.5), (2, 1.0)]


@pytest.mark.parametrize("name", ["wandb", "trackio"])
def test_trackers_write_without_a_network(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(name)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    code = (
        "from pathlib import Path; from thinkaloud.training import tracking; "
        f"run = tracking.start({name!r}, Path({str(tmp_path)!r}), {{'lr': 1}}); "
        "run.log({'loss': 0.5}, 1); run.finish()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    assert [path for path in tmp_path.rglob("*") if path.is_file()]
