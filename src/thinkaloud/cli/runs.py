"""List runs: what each is, how far it is, what it reached, and the command to go on."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from thinkaloud.cli.common import command, put
from thinkaloud.errors import UserError

DEPTH = 3


@dataclass(frozen=True)
class Args:
    folder: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="[FOLDER]")] = Path()
    """Where to look: this folder, and three folders down."""
    json: bool = False
    """Print one JSON object a run."""


def main(args: Args) -> int:
    """Print a table, or JSON lines."""
    if not args.folder.is_dir():
        raise UserError(f"no folder {args.folder}")
    found = list(runs(args.folder))
    if args.json:
        for run in found:
            print(json.dumps(run))
        return 0
    if not found:
        print(f"no runs in {args.folder} (three folders down)")
        return 0
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("kind", "state", "step", "FVE", "frozen AR"):
        table.add_column(name, justify="right" if name in ("step", "FVE", "frozen AR") else "left", no_wrap=True)
    table.add_column("run", overflow="fold")
    for run in found:
        figures = ("" if run[name] is None else f"{run[name]:.3f}" for name in ("fve", "fve_frozen"))
        kind, state = run["kind"].split()[-1], (run["status"].split() or [""])[0].rstrip(";:")
        table.add_row(kind, state, f"{run['step']}/{run['steps']}", *figures, run["folder"])
    put(table)
    for run in found:
        if run["status"].startswith("collapsed"):
            put(f"{run['folder']}: {run['status']}")
        if run["next"]:
            print(f"next: {run['next']}")
    return 0


def runs(folder: Path, depth: int = DEPTH) -> Iterator[dict[str, Any]]:
    """The runs in a folder and below, by name; a folder that is a run is not looked into."""
    run = read(folder)
    if run is not None:
        yield run
    elif depth:
        for inner in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
            yield from runs(inner, depth - 1)


def read(folder: Path) -> dict[str, Any] | None:
    """The run in this folder, if it is one; `fve` is the last held-out figure of its log, by the live AR."""
    from thinkaloud.training import run_folder

    if not (folder / run_folder.CONFIG).is_file():
        return None
    try:
        begun = run_folder.begun_with(folder)
    except (UserError, OSError):
        return None
    config = begun.get("config")
    if not isinstance(config, dict) or not ("role" in config or "nla" in config):
        return None
    log = run_folder.log(folder / run_folder.METRICS)
    path = folder / run_folder.STATUS
    status = path.read_text(encoding="utf-8").strip() if path.is_file() else "begun"
    last = {name: value for line in log for name, value in line.items() if value is not None}
    return {
        "folder": str(folder),
        "kind": "rl" if "nla" in config else f"warm start {config['role']}",
        "status": status,
        "step": log[-1]["step"] if log else 0,
        "steps": config["steps"] if "nla" in config else begun["steps"],
        "fve": last.get("heldout_fve"),
        "fve_frozen": last.get("heldout_fve_frozen"),
        "next": "" if run_folder.status(folder) in ("finished", "collapsed") else go_on(folder, config),
    }


def go_on(folder: Path, config: dict[str, Any]) -> str:
    """The command that goes on with an unfinished run."""
    if "nla" in config:
        return command("train", "--resume", folder)
    from thinkaloud.config.train import ARWarmStart, AVWarmStart

    kind = AVWarmStart if config["role"] == "av" else ARWarmStart
    injection = {name: value for name, value in config.items() if name == "injection" and value != "replace"}
    plain = {name: value for name, value in config.items() if name != "injection"}  # it may name a file, not run here
    try:
        changed = kind.of(**plain).changed()
    except (UserError, TypeError):  # of another version, or written by hand
        return ""
    words: list[object] = []
    for name, value in {**changed, **injection, "out": folder}.items():
        words += [f"--{name.replace('_', '-')}", *([] if value is True else [value])]
    return command("warmstart", config["role"], *words)
