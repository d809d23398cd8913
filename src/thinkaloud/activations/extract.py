"""Extraction of activations: in memory for a few texts, or into a folder of shards, resumable after a kill.

While the device reads one shard, a thread tokenises the next and another writes the last.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
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
from thinkaloud.activations.settings import SETTINGS, ExtractOptions, abandon, begin, settings_of
from thinkaloud.activations.shards import Prepared, ShardMaker, rows_table, with_next
from thinkaloud.activations.table import Activations
from thinkaloud.activations.tokens import Reader, Window, encode, windows_to_read
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
    window: int | None = None,
) -> Activations:
    """The vectors of `texts` (strings or lists of messages) at `site`.

    `positions`: "all", "last", "0,-1", "50:" or a list of indices, or a whole number n for n tokens a text, chosen by
    `seed` from `min_position` on and never special tokens. With `window`, texts are read in consecutive windows of so
    many tokens, each beginning with the BOS: indices count the tokens of the whole text, n tokens are chosen of each
    window. With `next_tokens` k, the table also holds the k tokens that the model itself finds likeliest next, and
    their probabilities. Vectors are float32 [n, d], unscaled. UserError for a text that is empty, or longer than the
    model's context without windows.

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
    places: list[list[int]] = []
    for i, (document, ids) in enumerate(zip(documents, encode(tokenizer, documents), strict=True)):
        name = "the text" if len(documents) == 1 else f"text {i}"
        mine = windows_to_read(document, ids, tokenizer.bos_token_id, window, context, name)
        windows += mine
        if isinstance(positions, int) and not isinstance(positions, bool):
            allowed = (allowed_positions(w.ids, special, min_position) for w in mine)
            places += [
                choose_positions(seed, w.doc_id, a, positions, w.start) for w, a in zip(mine, allowed, strict=True)
            ]
        else:
            named = parse_positions(positions, len(ids or ()))
            places += [w.positions_of(named) for w in mine]
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
    progress: Progress | None = None,
) -> dict[str, Any] | None:
    """Write the activations of `corpus` into `out_dir`; returns the manifest, or None while other workers' shards miss.

    Shard s holds documents s·shard_docs and on, and belongs to worker s mod `workers`. A finished shard is kept, so a
    killed run goes on; the files are the same for any number of workers. A folder begun with other settings is refused.
    """
    check(families.text_model(model).config, families.n_blocks(model), site, options, worker, workers)
    directory, run = Path(out_dir), Pass(model, site, options.next_tokens)
    options = replace(options, batch_tokens=options.batch_tokens or default_batch_tokens(run.device))
    settings = settings_of(model, tokenizer, model_name, site, corpus.name, options)
    new = not (directory / SETTINGS).exists()
    try:
        begin(directory, settings)
        with progress or Progress("extract", "tokens") as shown:
            return _extract_begun(directory, run, tokenizer, corpus, options, settings, worker, workers, shown)
    except BaseException:
        if new and workers == 1:  # another worker may be at its first shard
            abandon(directory)
        raise


def check(
    config: Any, n_blocks: int, site: Site, options: ExtractOptions, worker: int, workers: int, name: str = "the model"
) -> None:
    """Refuse what cannot be extracted from a model of this configuration, before its weights are loaded."""
    if not 0 <= worker < workers:
        raise UserError(f"worker must be 0 to {workers - 1} of {workers} workers, found {worker}")
    site.check(n_blocks, name)
    context = families.context_of(config)
    if options.window is not None and options.window > context:
        raise UserError(f"a window of {options.window} tokens is beyond the model's context of {context}")
    if options.min_position >= context:
        raise UserError(f"min_position {options.min_position} is beyond the model's context of {context} tokens")


def _extract_begun(
    directory: Path,
    run: Pass,
    tokenizer: Any,
    corpus: Corpus,
    options: ExtractOptions,
    settings: Mapping[str, Any],
    worker: int,
    workers: int,
    progress: Progress,
) -> dict[str, Any] | None:
    progress.stage("reading the first documents")
    maker = ShardMaker(directory, tokenizer, options, families.context_length(run.model))
    extent = corpus.count(options.limit, options.heldout)
    n_shards = 0

    def mine() -> Iterator[_Part]:
        nonlocal n_shards
        documents = characters = 0
        behind = 0.0
        for shard, group in enumerate(_groups(islice(iter(corpus), options.limit), options.shard_docs)):
            n_shards, before, first = shard + 1, behind, documents
            documents += len(group)
            characters += sum(d.characters for d in group)
            by_number = documents / options.limit if options.limit else 0.0
            behind = characters / extent.characters if extent else max(corpus.fraction or 0.0, by_number)
            if shard % workers == worker and not maker.is_done(shard, group):
                yield _Part(maker.prepare(shard, group), (first, documents), (before, behind))

    with ThreadPoolExecutor(1) as writing:
        meter = _Meter(progress, extent.documents if extent else None)
        written: Future[None] | None = None
        for part in _ahead(mine()):
            windows, places = part.prepared.windows, part.prepared.places
            result = run([w.ids for w in windows], places, options.batch_tokens or 1, meter.watch(part))
            if written is not None:
                written.result()
            written = writing.submit(maker.write, part.prepared, result)
        progress.stage("writing the last shard and the manifest")
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
    return build_manifest(directory, n_shards, settings, corpus.unreadable)


@dataclass(frozen=True)
class _Part:
    """A shard to run: where it begins and ends in the corpus, in documents and as a share of the whole text."""

    prepared: Prepared
    documents: tuple[int, int]
    shares: tuple[float, float]


class _Meter:
    """Progress of the parts. Documents differ in length, so the time left goes by shares of the whole text."""

    def __init__(self, progress: Progress, documents: int | None) -> None:
        self.progress, self.of = progress, "" if documents is None else f" of {documents:,}"
        self.tokens = 0
        self.began: float | None = None

    def watch(self, part: _Part) -> Callable[[int, int], None]:
        """What sees the batches of `part`."""
        if self.began is None:
            self.began = part.shares[0]
            self.progress.stage("the first shard")
        before, began = self.tokens, self.began

        def see(done: int, total: int) -> None:
            self.tokens = before + done
            number, share = (a + (b - a) * done / total for a, b in (part.documents, part.shares))
            whole = self.tokens * (1 - began) / (share - began) if share > began else None
            self.progress.update(f"{number:,.0f}{self.of} documents, {self.tokens:,} tokens", self.tokens, whole)

        return see


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
