"""The explanations of a whole extraction, shard by shard."""

from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import repeat
from multiprocessing import get_context
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from thinkaloud.activations import read_manifest, write_explanations
from thinkaloud.activations.store import explanations_path, read_shard, shard_path
from thinkaloud.errors import UserError
from thinkaloud.writers.base import Context, Writer

COLUMNS = ("text", "token", "chat", "next_tokens", "next_probs")


def write_all(
    directory: str | Path,
    writer: Writer,
    workers: int = 1,
    watch: Callable[[int], None] = lambda rows: None,
) -> int:
    """Write `explanations-N.parquet` beside every shard that has none yet; returns the rows written.

    `writer` is picklable where `workers` > 1. UserError if the extraction kept no next tokens, which a writer sees
    unless it says otherwise by an attribute `sees_next`.
    """
    missing, written = unexplained(directory, getattr(writer, "sees_next", True)), 0
    with ExitStack() as stack:
        each = map
        if workers > 1:
            # Workers start afresh: a fork would copy the threads' locks of the parent.
            pool = ProcessPoolExecutor(workers, mp_context=get_context("spawn"))
            stack.callback(pool.shutdown, cancel_futures=True)
            each = pool.map
        for count in each(partial(write_one, directory, writer), missing):
            written += count
            watch(count)
    return written


def unexplained(directory: str | Path, sees_next: bool = True) -> list[int]:
    """The shards that have no explanations yet; UserError where the next tokens that a writer sees were not kept."""
    shards = range(read_manifest(directory)["n_shards"])
    if sees_next and shards and "next_tokens" not in pq.read_schema(shard_path(directory, 0)).names:
        raise UserError(
            f"{directory} kept no next tokens: run thinkaloud extract with --next-tokens 6 into a new folder"
        )
    return [shard for shard in shards if not explanations_path(directory, shard).is_file()]


def write_one(directory: str | Path, writer: Writer, shard: int) -> int:
    """Write the explanations of one shard; returns its rows."""
    texts = writer.write(contexts(directory, shard))
    # Where there is no text the writer's name says that one was asked for.
    write_explanations(directory, shard, texts, [writer.name] * len(texts))
    return len(texts)


def contexts(directory: str | Path, shard: int) -> list[Context]:
    """What a writer sees of a shard's rows."""
    stored = pq.read_schema(shard_path(directory, shard)).names
    return contexts_of(read_shard(directory, shard, [name for name in COLUMNS if name in stored]))


def contexts_of(table: pa.Table) -> list[Context]:
    """What a writer sees of each row of a table; without M's next tokens where it has none."""
    columns = {name for name in table.column_names if table[name].null_count < len(table)}
    if missing := {"text", "token"} - columns:
        raise UserError(f"a writer needs the columns text and token, found no {min(missing)}: extract again")
    nexts = repeat(())
    if {"next_tokens", "next_probs"} <= columns:
        pairs = zip(table["next_tokens"].to_pylist(), table["next_probs"].to_pylist(), strict=True)
        nexts = (tuple(zip(tokens, probs, strict=True)) for tokens, probs in pairs)
    chats = table["chat"].to_pylist() if "chat" in columns else repeat(False)
    return list(map(Context, table["text"].to_pylist(), table["token"].to_pylist(), nexts, chats))
