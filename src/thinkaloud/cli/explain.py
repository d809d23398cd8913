"""Write an explanation for every stored activation; shards that have theirs are kept, so a killed run goes on."""

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from thinkaloud.cli.common import check_data, command
from thinkaloud.cli.progress import progress
from thinkaloud.config.data import Explain as Args
from thinkaloud.errors import UserError

if TYPE_CHECKING:
    from thinkaloud.writers.asked import Asked
    from thinkaloud.writers.base import Chat
    from thinkaloud.writers.prompted import PromptedWriter

CHARS_A_TOKEN = 4  # of English, about


def main(args: Args) -> None:
    check_data(args.data)
    import pyarrow.parquet as pq

    from thinkaloud.activations import read_manifest
    from thinkaloud.writers import CachedWriter
    from thinkaloud.writers.base import models
    from thinkaloud.writers.base import writer as writers
    from thinkaloud.writers.write import write_all

    kind, _, model = args.writer.partition(":")
    rows = read_manifest(args.data)["counts"]["rows"]
    left, about = rows - sum(pq.read_metadata(path).num_rows for path in explained(args.data)), []
    if kind in models:
        written, about = by_model(args, models[kind], model, left)
        if args.dry_run:
            print(*about, sep="\n")
            return
    elif args.dry_run or args.ask != Args.ask:
        raise UserError(f"the writer {args.writer} is no language model: leave the options of one out")
    else:
        chosen = writers.find(args.writer)()
        cached = CachedWriter(chosen, args.cache) if args.cache else nullcontext(chosen)
        with cached as writer, progress("explaining", left) as watch:
            written = write_all(args.data, writer, args.workers, watch)
    others = f", kept {rows - left:,}" if rows > left else ""
    print(f"wrote {written:,} explanations{others} in {args.data}", *about, sep="\n")
    out = args.data.parent / "pair" / "ar"
    print(f"next: {command('warmstart', 'ar', '--data', args.data, '--out', out)}")


def by_model(args: Args, kind: Any, model: str, rows: int) -> tuple[int, list[str]]:
    """Have a language model write; returns how many explanations it wrote, and what is to be said of it.

    In a dry run nothing is asked nor written, but what would be is said.
    """
    from thinkaloud.writers.asked import Asked
    from thinkaloud.writers.cache import Cache
    from thinkaloud.writers.prompted import PromptedWriter
    from thinkaloud.writers.write import contexts, unexplained, write_all

    if not model:
        raise UserError(f"{args.writer.rstrip(':')} needs a model: --writer {args.writer.rstrip(':')}:MODEL")
    if args.workers > 1:
        raise UserError("a language model is asked by one process: use --ask.concurrency in place of --workers")
    with Cache(cache(args)) as kept_in:
        asked = Asked(kind(model, args.ask), args.ask, kept_in)
        writer = PromptedWriter(asked, args.ask)
        shards = unexplained(args.data, writer.sees_next)

        def chats() -> Iterator["Chat"]:
            return (writer.chat(context) for shard in shards for context in contexts(args.data, shard))

        if args.dry_run:
            return 0, foreseen(args, asked, rows, chats())
        if args.ask.batch:
            with progress("waiting for batches", None, "answers") as seen:
                asked.fill(chats, seen)
        with progress("explaining", rows) as writer.watch:
            written = write_all(args.data, writer) - writer.lost.total()
    return written, told(args, asked, writer)


def told(args: Args, asked: "Asked", writer: "PromptedWriter") -> list[str]:
    """What is said of a run: rows without an explanation by the reason, and what it took."""
    lines = []
    if lost := writer.lost.total():
        reasons = ", ".join(f"{n:,} {reason}" for reason, n in writer.lost.most_common())
        lines.append(f"{lost:,} rows have no explanation ({reasons}): warm starts leave them out")
    took = f"{asked.usage.input:,} tokens in, {asked.usage.output:,} out"
    lines.append(f"{asked.asked:,} requests to {asked.name}: {took}; all answers are kept in {cache(args)}")
    return lines


def foreseen(args: Args, asked: "Asked", rows: int, chats: Iterator["Chat"]) -> list[str]:
    """What a run would ask: requests, tokens by a rule of thumb, a price where prices are given, and one request."""
    from thinkaloud.writers.prompted import LINE_TOKENS, LINES

    requests = chars = pending = 0
    example = None
    for key, chat in asked.missing(chats):
        requests, pending = requests + 1, pending + asked.cache.is_pending(key)
        chars += sum(len(message["content"]) for message in chat)
        example = example or asked.model.request(chat)
    read, out = chars // CHARS_A_TOKEN, requests * LINES * LINE_TOKENS
    waiting = f", {pending:,} of them in batches under way" if pending else ""
    lines = [f"{rows:,} rows without an explanation; {rows - requests:,} need no request: asked before, or alike"]
    lines += [f"{requests:,} requests to {asked.name}{waiting}"]
    lines += [f"about {read:,} tokens in and {out:,} out, at most {requests * args.ask.max_tokens:,}"]
    if args.ask.price_in is not None and args.ask.price_out is not None:
        price = (read * args.ask.price_in + out * args.ask.price_out) / 1e6
        lines += [f"about {price:,.2f} at {args.ask.price_in:g} and {args.ask.price_out:g} a million tokens"]
    if example:
        lines += ["one request:", json.dumps(example, indent=1, ensure_ascii=False)]
    return lines


def cache(args: Args) -> Path:
    """Where the answers of a language model are kept."""
    return args.cache or args.data / "asked.sqlite"


def kept(args: Args) -> str:
    """What an interrupt leaves."""
    shards, answers = len(list(args.data.glob("shard-*.parquet"))), ""
    if ":" in args.writer and cache(args).is_file():
        answers = f", all answers so far in {cache(args)}"
    return f"the explanations of {len(explained(args.data))} of {shards} shards are kept in {args.data}{answers}"


def explained(data: Path) -> list[Path]:
    """The files of explanations that are there."""
    return sorted(data.glob("explanations-*.parquet"))
