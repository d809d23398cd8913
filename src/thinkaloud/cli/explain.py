"""Write an explanation for every stored activation; shards that have theirs are kept, so a killed run goes on."""

import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from thinkaloud.errors import UserError


@dataclass(frozen=True)
class Args:
    data: Path
    """Folder of an extraction that kept next tokens (`thinkaloud extract --next-tokens 6`)."""
    writer: Literal["heuristic"] = "heuristic"
    """Who writes: heuristic goes by rules and needs no service."""
    cache: Path | None = None
    """A SQLite file that remembers what was written, across runs and data sets."""
    workers: int = 1
    """Processes to write with."""


def main(args: Args) -> None:
    from rich.console import Console
    from rich.progress import Progress

    from thinkaloud.activations import read_manifest
    from thinkaloud.writers import CachedWriter, HeuristicWriter
    from thinkaloud.writers.write import write_all

    if args.workers < 1:
        raise UserError(f"workers must be 1 or more, found {args.workers}")
    if args.cache is not None and args.workers > 1:
        raise UserError("a cache is kept by one process: use --workers 1 with --cache")
    rows = read_manifest(args.data)["counts"]["rows"]
    cached = CachedWriter(HeuristicWriter(), args.cache) if args.cache else nullcontext(HeuristicWriter())
    with cached as writer, Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task("explanations", total=rows)
        written = write_all(args.data, writer, args.workers, lambda n: progress.advance(task, n))
    kept = f", kept {rows - written:,}" if rows > written else ""
    print(f"wrote {written:,} explanations{kept} in {args.data}")
    print(f"next: thinkaloud warmstart ar --data {args.data} --out PAIR/ar")
