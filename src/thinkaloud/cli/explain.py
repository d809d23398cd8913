"""Write an explanation for every stored activation; shards that have theirs are kept, so a killed run goes on."""

from contextlib import nullcontext
from pathlib import Path

from thinkaloud.cli.common import check_data, command
from thinkaloud.cli.progress import progress
from thinkaloud.config.data import Explain as Args


def main(args: Args) -> None:
    check_data(args.data)
    import pyarrow.parquet as pq

    from thinkaloud.activations import read_manifest
    from thinkaloud.writers import CachedWriter
    from thinkaloud.writers.base import writer as writers
    from thinkaloud.writers.write import write_all

    rows = read_manifest(args.data)["counts"]["rows"]
    chosen = writers.find(args.writer)()
    cached = CachedWriter(chosen, args.cache) if args.cache else nullcontext(chosen)
    before = sum(pq.read_metadata(path).num_rows for path in explained(args.data))
    with cached as writer, progress("explaining", rows - before) as watch:
        written = write_all(args.data, writer, args.workers, watch)
    others = f", kept {rows - written:,}" if rows > written else ""
    print(f"wrote {written:,} explanations{others} in {args.data}")
    out = args.data.parent / "pair" / "ar"
    print(f"next: {command('warmstart', 'ar', '--data', args.data, '--out', out)}")


def kept(args: Args) -> str:
    """What an interrupt leaves."""
    shards = len(list(args.data.glob("shard-*.parquet")))
    return f"the explanations of {len(explained(args.data))} of {shards} shards are kept in {args.data}"


def explained(data: Path) -> list[Path]:
    """The files of explanations that are there."""
    return sorted(data.glob("explanations-*.parquet"))
