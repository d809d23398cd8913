"""How do texts become activations? In memory for a few; for a corpus in a folder of shards that a killed run resumes.

While the device reads one shard, a thread tokenises the next and another writes the last.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import pyarrow as pa
from torch import nn

from thinkaloud import families, loading
from thinkaloud.activations import store
from thinkaloud.activations.corpus import Corpus, Document, split_of
from thinkaloud.activations.forward import Pass, default_batch_tokens
from thinkaloud.activations.manifest import build_manifest
from thinkaloud.activations.positions import allowed_positions, choose_positions, parse_positions, special_ids
from thinkaloud.activations.progress import Progress
from thinkaloud.activations.settings import ExtractOptions, abandon, begin, settings_of
from thinkaloud.activations.shards import Prepared, ShardMaker, rows_table, with_next
from thinkaloud.activations.store import Activations
from thinkaloud.activations.tokens import Reader, Window, encode
from thinkaloud.errors import UserError
from thinkaloud.site import Site

T = TypeVar("T")


def extract(
    model: nn.Module | str | Path,
    texts: Sequence[str | Sequence[dict[str, Any]]],
    site: Site,
    positions: str | int | Sequence[int] = "all",
    tokenizer: Any = None,
    *,
    seed: int = 0,
    min_position: int = 0,
    next_tokens: int = 0,
    batch_tokens: int | None = None,
) -> Activations:
    """The vectors of `texts` (strings or lists of messages) at `site`.

    `positions`: "all", "last", "0,-1", "50:" or a list of indices, or a whole number n for n tokens a text, chosen by
    `seed` from `min_position` on and never special tokens. With `next_tokens` k, the table also holds the k tokens that
    the model itself finds likeliest next, and their probabilities. Vectors are float32 [n, d], unscaled. UserError for
    a text that is empty or longer than the model's context.

    >>> extract("pocket/base", ["The old captain looked at the sea"], Site("resid_post", 5), positions="0,-1")
    Activations(2 vectors of d 256 at resid_post:5, of 1 document)
    """
    if not isinstance(model, nn.Module):
        tokenizer = tokenizer if tokenizer is not None else loading.load_tokenizer(model)
        whole = loading.load_causal_lm(model) if next_tokens else loading.load_backbone(model, site.layer)
        model = cast(nn.Module, whole)
    if tokenizer is None:
        raise UserError("extract needs a tokenizer beside a model that is already loaded: pass tokenizer=")
    if isinstance(texts, str):
        raise UserError("texts must be a list of texts or chats, found one text: put it in a list")
    documents = [
        Document(f"text-{i}", text=t) if isinstance(t, str) else Document(f"text-{i}", messages=tuple(t))
        for i, t in enumerate(texts)
    ]
    context, special = families.context_length(model), special_ids(tokenizer)
    windows: list[Window] = []
    for i, ids in enumerate(encode(tokenizer, documents)):
        if ids is None:
            raise UserError(f"the chat template refuses text {i}: check the order of the roles")
        if not ids or documents[i].text == "":
            raise UserError(f"text {i} is empty: nothing to read")
        if len(ids) > context:
            raise UserError(f"text {i} has {len(ids)} tokens, the model's context is {context}: shorten it")
        windows.append(Window(documents[i].id, 0, ids, chat=documents[i].messages is not None))
    if isinstance(positions, int) and not isinstance(positions, bool):
        places = [
            choose_positions(seed, w.doc_id, allowed_positions(w.ids, special, min_position), positions)
            for w in windows
        ]
    else:
        places = [parse_positions(positions, len(w.ids)) for w in windows]
    run, reader = Pass(model, site, next_tokens), Reader(tokenizer)
    picked = run([w.ids for w in windows], places, batch_tokens or default_batch_tokens(run.device))()
    table = with_next(rows_table(windows, places, reader, split_of), picked, reader)
    vectors = picked.vectors.float()
    table = table.set_column(table.column_names.index("norm"), "norm", pa.array(store.norms_of(vectors)))
    return Activations(vectors, table, site)


def extract_to(
    out_dir: str | Path,
    model: nn.Module,
    tokenizer: Any,
    corpus: Corpus,
    site: Site,
    options: ExtractOptions,
    model_name: str,
    worker: int = 0,
    workers: int = 1,
) -> dict[str, Any] | None:
    """Write the activations of `corpus` into `out_dir`; returns the manifest, or None while other workers' shards miss.

    Shard s holds documents s·shard_docs and on, and belongs to worker s mod `workers`. A finished shard is kept, so a
    killed run goes on; the files are the same for any number of workers. A folder begun with other settings is refused.
    """
    if not 0 <= worker < workers:
        raise UserError(f"worker must be 0 to {workers - 1} of {workers} workers, found {worker}")
    directory, context = Path(out_dir), families.context_length(model)
    if options.window is not None and options.window > context:
        raise UserError(f"a window of {options.window} tokens is beyond the model's context of {context}")
    run = Pass(model, site, options.next_tokens)
    options = replace(options, batch_tokens=options.batch_tokens or default_batch_tokens(run.device))
    settings = settings_of(model, tokenizer, model_name, site, corpus.name, options)
    begin(directory, settings, worker, workers)
    try:
        return _extract_begun(directory, run, tokenizer, corpus, options, settings, worker, workers)
    except Exception:
        if workers == 1:  # another worker may be at its first shard
            abandon(directory)
        raise


def _extract_begun(
    directory: Path,
    run: Pass,
    tokenizer: Any,
    corpus: Corpus,
    options: ExtractOptions,
    settings: Mapping[str, Any],
    worker: int,
    workers: int,
) -> dict[str, Any] | None:
    maker = ShardMaker(directory, tokenizer, options, families.context_length(run.model), worker)
    n_shards = 0

    def mine() -> Iterator[Prepared]:
        nonlocal n_shards
        for shard, documents in enumerate(_groups(islice(iter(corpus), options.limit), options.shard_docs)):
            n_shards = shard + 1
            if shard % workers == worker and not maker.is_done(shard, documents):
                yield maker.prepare(shard, documents)

    with ThreadPoolExecutor(1) as writing, Progress("extract", corpus, options.limit) as progress:
        written: Future[None] | None = None
        for prepared in _ahead(mine()):
            result = run([w.ids for w in prepared.windows], prepared.places, options.batch_tokens or 1)
            if written is not None:
                written.result()
            written = writing.submit(maker.write, prepared, result)
            progress.add(documents=prepared.counts["documents"], tokens=prepared.counts["tokens"])
        if written is not None:
            written.result()
    if n_shards == 0:
        raise UserError(
            f"no readable document in {corpus.name}" + (f" ({corpus.first_problem})" if corpus.first_problem else "")
        )
    if store.shard_path(directory, n_shards).exists():
        raise UserError(
            f"{directory} holds more shards than {corpus.name} makes: the corpus has changed; use another folder"
        )
    if not all(store.shard_path(directory, s).is_file() for s in range(n_shards)):
        return None
    return build_manifest(directory, n_shards, settings, corpus.unreadable, worker)


def _groups(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while group := list(islice(items, size)):
        yield group


def _ahead(items: Iterator[T]) -> Iterator[T]:
    """The same items, each made in a thread while the one before it is in use."""
    end = object()
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, end)
        while (item := coming.result()) is not end:
            coming = pool.submit(next, items, end)
            yield item  # type: ignore[misc]
