"""Experiment trackers: the metrics of a run in trackio, Weights & Biases or TensorBoard, beside its metrics.jsonl.

A tracker is a function of the run's folder and configuration, registered by name; it returns what takes metrics. The
run's name is its folder's, so that a resumed run goes on under the same one.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from thinkaloud.errors import UserError
from thinkaloud.registry import Registry

PROJECT = "thinkaloud"
PACKAGES = ("trackio", "wandb", "tensorboard")


class Tracker(Protocol):
    def log(self, metrics: Mapping[str, float], step: int) -> None:
        """Record numbers by name at an optimizer step."""
        ...

    def finish(self) -> None:
        """Write what is held back; called once, also after an error."""
        ...


tracker: Registry[Callable[[Path, Mapping[str, Any]], Tracker]] = Registry("tracker")
"""Trackers by name: what starts one with the folder and the configuration of a run."""


@contextmanager
def tracked(
    name: str | None, out: Path, config: Mapping[str, Any], watch: Callable[[dict[str, Any]], None]
) -> Iterator[Callable[[dict[str, Any]], None]]:
    """What sees a run's metrics lines in place of `watch`: that, and the tracker called `name`, if any.

    The tracker starts with the first line, so that a run that is refused leaves nothing behind. UserError if there is
    no such tracker, or its package is not installed.
    """
    if name is None:
        yield watch
        return
    start = tracker.find(name)
    if name in PACKAGES and find_spec(name) is None:
        raise UserError(f"--report-to {name} needs the package {name}: pip install 'thinkaloud[track]'")
    begun: list[Tracker] = []

    def see(metrics: dict[str, Any]) -> None:
        watch(metrics)
        if found := numbers(metrics):
            if not begun:
                begun.append(start(out, config))
            begun[0].log(found, metrics["step"])

    try:
        yield see
    finally:
        for one in begun:
            one.finish()


def numbers(metrics: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a metrics line; trackers take nothing else."""
    kept = {name: value for name, value in metrics.items() if name not in ("step", "steps")}
    return {name: float(value) for name, value in kept.items() if isinstance(value, int | float)}


class _Run:
    """A tracker over a run object that has `log` and `finish` itself, as trackio's and wandb's have."""

    run: Any

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        self.run.log(dict(metrics), step=step)

    def finish(self) -> None:
        self.run.finish()


@tracker
class _Trackio(_Run):
    name = "trackio"

    def __init__(self, out: Path, config: Mapping[str, Any]) -> None:
        self.run = import_module("trackio").init(
            PROJECT, name=_name(out), config=dict(config), resume="allow", embed=False
        )


@tracker
class _WandB(_Run):
    name = "wandb"

    def __init__(self, out: Path, config: Mapping[str, Any]) -> None:
        whole = str(out.resolve()).encode()
        self.run = import_module("wandb").init(
            project=PROJECT,
            name=_name(out),
            id=hashlib.sha256(whole).hexdigest()[:16],
            resume="allow",
            config=dict(config),
            dir=str(out),
        )


@tracker
class _TensorBoard:
    name = "tensorboard"

    def __init__(self, out: Path, config: Mapping[str, Any]) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(out / "tensorboard"))

    def log(self, metrics: Mapping[str, float], step: int) -> None:
        for name, value in metrics.items():
            self.writer.add_scalar(name, value, step)

    def finish(self) -> None:
        self.writer.close()


def _name(out: Path) -> str:
    """A run's name: its folder and the one around it."""
    return "/".join(out.resolve().parts[-2:])
