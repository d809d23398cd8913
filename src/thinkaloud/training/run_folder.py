"""A run's folder: its state, its logs, what it was begun with, and whether a run may go on in it."""

import hashlib
import json
import re
from collections.abc import Collection
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from thinkaloud import ledger
from thinkaloud.atomic import json_lines, read_mapping, sha256_of, write_text
from thinkaloud.config.nested import Nested

C = TypeVar("C", bound=Nested)
CONFIG, METRICS, SAMPLES, STATUS = "config.json", "metrics.jsonl", "samples.jsonl", "STATUS"


def status(out: Path) -> str:
    """The state a run folder says it is in, one word; empty if it has none."""
    path = out / STATUS
    return re.split(r"\W", path.read_text(encoding="utf-8"), maxsplit=1)[0] if path.is_file() else ""


def begun_with(out: Path) -> dict[str, Any]:
    """What a run was begun with; UserError where `out` holds no run."""
    return read_mapping(out / CONFIG, f"{out} holds no run: there is no {CONFIG} in it")


def as_begun(out: Path, config: C, free: Collection[str]) -> C:
    """The configuration that the run in `out` was begun with; `config` says the same, leaves it open, or says it of the
    options `free`, which are as it says. UserError where it says something else.
    """
    begun, given = begun_with(out)["config"], config.to_dict()
    ledger.check(out, {"role": begun.get("role", "rl")}, {"role": given.get("role", "rl")})
    before = type(config).of(**begun)
    ledger.check(out, ledger.plain(before.to_dict()), given, [*free, *config.left_open()])
    return before.but(**{name: attrgetter(name)(config) for name in free})


def vectors_digest(data: str) -> str:
    """What an extraction is without its explanations: a hash of the manifest, which holds those of the shards."""
    from thinkaloud.activations import read_manifest  # brings torch, which a list of runs does without

    read_manifest(data)
    return sha256_of(Path(data) / "manifest.json")


def digest(data: str) -> str:
    """What an extraction and its explanations are, whole: a hash over the manifest and the explanations' files."""
    from thinkaloud.activations import read_manifest

    read_manifest(data)  # refuses a folder that is no extraction, in words
    files = [Path(data) / "manifest.json", *sorted(Path(data).glob("explanations-*.parquet"))]
    return hashlib.sha256("".join(sha256_of(file) for file in files).encode()).hexdigest()


def forget_after(path: Path, step: int) -> None:
    """Drop log lines of steps that a resumed run will do again."""
    if path.exists():
        write_text(path, "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in log(path, step)))


def log(path: Path, step: int | None = None) -> list[dict[str, Any]]:
    """The lines of a log, up to those of `step`; one that a kill cut off is left out."""
    lines = json_lines(path) if path.exists() else []
    return [line for line in lines if step is None or line["step"] <= step]


def append(path: Path, lines: list[dict[str, Any]]) -> None:
    with open(path, "a", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
