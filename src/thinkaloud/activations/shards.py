"""Extraction of activations into a folder of shards, by one process or several, resumable after a kill.

While the device reads one shard, a thread tokenises the next and another writes the last. A folder that was begun with
other settings (options, model, site, corpus) is refused, so that none ever holds rows of two kinds.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import nn

from thinkaloud import families, ledger, loading
from thinkaloud.activations import store
from thinkaloud.activations.corpus import LONG, PAGE, Corpus, Document
from thinkaloud.activations.extract import rows_table
from thinkaloud.activations.forward import Pass, Picked
from thinkaloud.activations.positions import special_ids
from thinkaloud.activations.tokens import Reader, Window, encode, places_drawn, windows_of
from thinkaloud.atomic import sweep, write_json
from thinkaloud.batching import default_batch_tokens
from thinkaloud.config.data import Extract
from thinkaloud.errors import UserError
from thinkaloud.fingerprint import module_hash, revision
from thinkaloud.site import Site

T = TypeVar("T")
SETTINGS = "extraction.json"
# What decides a folder's bytes, of the configuration.
OPTIONS = (
    *("positions", "seed", "min_position", "special_tokens", "window", "next_tokens", "heldout", "batch_tokens"),
    "limit",
)


def extract_to(
    config: Extract,
    model: nn.Module,
    tokenizer: Any,
    corpus: Corpus,
    site: Site,
    model_name: str,
    watch: Callable[[str, int, int | None], None] = lambda what, done, of: None,
    shard_docs: int = store.SHARD_DOCS,
) -> dict[str, Any] | None:
    """Write the activations of `corpus` into `config.out`; returns the manifest, None while other workers' shards miss.

    Shard s holds documents s·shard_docs and on, and belongs to worker s mod `workers`. A finished shard is kept, so a
    killed run goes on; the files are the same for any number of workers. A folder begun with other settings is refused.
    `watch` sees what is being done, how many tokens of it are done, and how many there are (None: not known yet).
    """
    check(config, families.text_model(model).config, site)
    run = Pass(model, site, config.next_tokens)
    config = replace(config, batch_tokens=config.batch_tokens or default_batch_tokens(run.device.type))
    settings = {
        "site": site.to_dict(),
        "corpus": corpus.name,
        "text_pages": {"beyond": LONG, "characters": PAGE},
        "options": {name: getattr(config, name) for name in OPTIONS} | {"shard_docs": shard_docs},
        "model": {
            "name": model_name,
            "commit": commit_of(model),
            "dtype": str(run.dtype).removeprefix("torch."),
            "tokenizer": loading.tokenizer_hash(tokenizer),
            "weights": module_hash(model, site),
        },
    }
    new = not (config.out / SETTINGS).exists()
    try:
        _begin(config.out, settings)
        return _Extraction(config, run, tokenizer, corpus, shard_docs, watch)(settings)
    except BaseException:
        if new and config.workers == 1:  # another worker may be at its first shard
            _abandon(config.out)
        raise


def check(config: Extract, model_config: Any, site: Site, name: str = "the model") -> None:
    """Refuse what cannot be extracted from a model of this configuration, before its weights are loaded."""
    site.check(families.text_config(model_config).num_hidden_layers, name)
    context = families.context_of(model_config)
    if config.window is not None and config.window > context:
        raise UserError(f"a window of {config.window} tokens is beyond the model's context of {context}")
    if config.min_position >= context:
        raise UserError(f"min_position {config.min_position} is beyond the model's context of {context} tokens")


def commit_of(model: nn.Module) -> str | None:
    """The commit of a model that was loaded from the hub's cache; else None."""
    return revision(getattr(families.text_model(model).config, "_name_or_path", ""))


def source_hash(documents: Iterable[Document]) -> str:
    """A short hash of documents, ids included."""
    digest = hashlib.blake2b(digest_size=16)
    for document in documents:
        digest.update(json.dumps([document.id, document.text, document.messages], default=str).encode())
    return digest.hexdigest()


def _begin(directory: Path, settings: Mapping[str, Any]) -> None:
    """Write down the settings of a new folder, or refuse to go on in one that has others."""
    if directory.exists() and not directory.is_dir():
        raise UserError(f"{directory} is a file: give the name of a folder to write")
    directory.mkdir(parents=True, exist_ok=True)
    sweep(directory)
    if store.shards_in(directory) and not (directory / SETTINGS).is_file():
        raise UserError(f"{directory} holds shards and no {SETTINGS}: choose another folder")
    if before := ledger.read(directory / SETTINGS):
        before.setdefault("options", {}).setdefault("special_tokens", False)  # an earlier version had no such option
        ledger.check(directory, before, settings)
    else:
        write_json(directory / SETTINGS, settings)


def _abandon(directory: Path) -> None:
    """Take back the settings of a folder in which no shard came to be: a mistake leaves nothing behind."""
    if directory.is_dir() and not store.shards_in(directory):
        (directory / SETTINGS).unlink(missing_ok=True)
        if not any(directory.iterdir()):
            directory.rmdir()


@dataclass(frozen=True)
class _Shard:
    """A shard before the model has seen it. `shares` say where it begins and ends, as shares of the whole text."""

    number: int
    windows: list[Window]
    places: list[list[int]]
    meta: dict[str, Any]
    shares: tuple[float, float]


class _Extraction:
    """One process's part of an extraction, in a folder whose settings are its own."""

    def __init__(
        self,
        config: Extract,
        run: Pass,
        tokenizer: Any,
        corpus: Corpus,
        shard_docs: int,
        watch: Callable[[str, int, int | None], None],
    ) -> None:
        self.config, self.run, self.tokenizer, self.corpus = config, run, tokenizer, corpus
        self.shard_docs, self.watch = shard_docs, watch
        self.passed_over = special_ids(tokenizer) if not config.special_tokens else np.zeros(0, np.int64)
        self.reader = Reader(tokenizer)
        self.n_shards = self.tokens = 0
        self.began: float | None = None  # the share of the text before the first shard that is run

    def __call__(self, settings: Mapping[str, Any]) -> dict[str, Any] | None:
        """Make the missing shards, then the manifest; None where other workers' shards are missing."""
        out, corpus = self.config.out, self.corpus
        self.watch("extracting", 0, None)
        self.extent = corpus.count(self.config.limit, self.config.heldout)
        with ThreadPoolExecutor(1) as writing:
            written: Future[None] | None = None
            for shard in _ahead(self._missing()):
                if self.began is None:
                    self.began = shard.shares[0]
                watch = partial(self._tell, shard, self.tokens)
                ids = [window.ids for window in shard.windows]
                picked = self.run(ids, shard.places, self.config.batch_tokens or 1, watch)
                if written is not None:
                    written.result()
                written = writing.submit(self._write, shard, picked)
            if written is not None:
                written.result()
        if self.n_shards == 0:
            first = f" ({corpus.first_problem})" if corpus.first_problem else ""
            raise UserError(f"no readable document in {corpus.name}{first}")
        if store.shard_path(out, self.n_shards).exists():
            raise UserError(
                f"{out} holds more shards than {corpus.name} makes: the corpus has changed; use another folder"
            )
        if not all(store.shard_path(out, number).is_file() for number in range(self.n_shards)):
            return None
        self.watch("writing the manifest", 0, None)
        return store.build_manifest(out, self.n_shards, settings, corpus.unreadable)

    def _missing(self) -> Iterator[_Shard]:
        """This worker's shards that are not done."""
        config, extent = self.config, self.extent
        documents = characters = 0
        behind = 0.0
        for number, group in enumerate(_groups(islice(iter(self.corpus), config.limit), self.shard_docs)):
            self.n_shards, before = number + 1, behind
            documents += len(group)
            characters += sum(d.characters for d in group)
            by_number = documents / config.limit if config.limit else 0.0
            behind = characters / extent.characters if extent else max(self.corpus.fraction or 0.0, by_number)
            if number % config.workers == config.worker and not self._is_done(number, group):
                yield self._prepared(number, group, (before, behind))

    def _is_done(self, number: int, group: Sequence[Document]) -> bool:
        path = store.shard_path(self.config.out, number)
        if path.is_file() and store.shard_meta(self.config.out, number).get("source") != source_hash(group):
            raise UserError(f"{path} was made from other documents than the corpus has now: use another folder")
        return path.is_file()

    def _prepared(self, number: int, group: Sequence[Document], shares: tuple[float, float]) -> _Shard:
        config, bos = self.config, self.tokenizer.bos_token_id
        context = families.context_length(self.run.model)
        encoded = encode(self.tokenizer, group)
        windows: list[Window] = []
        for document, ids in zip(group, encoded, strict=True):
            windows += windows_of(document, ids or [], bos, config.window, context)
        places = places_drawn(windows, config.seed, config.positions, self.passed_over, config.min_position)
        rejected = encoded.count(None)
        counts = {
            "documents": len(group) - rejected,
            "windows": len(windows),
            "tokens": sum(len(w.ids) for w in windows),
            "truncated": sum(w.truncated for w in windows),
            "rejected": rejected,
        }
        return _Shard(number, windows, places, {"counts": counts, "source": source_hash(group)}, shares)

    def _tell(self, shard: _Shard, before: int, done: int, total: int) -> None:
        """Progress of a shard. Documents differ in length, so what is left goes by shares of the whole text."""
        self.tokens, began = before + done, self.began or 0.0
        share = shard.shares[0] + (shard.shares[1] - shard.shares[0]) * done / total
        whole = round(self.tokens * (1 - began) / (share - began)) if share > began else None
        self.watch("extracting", self.tokens, whole)

    def _write(self, shard: _Shard, result: Callable[[], Picked]) -> None:
        picked = result()
        vectors = picked.vectors.to(torch.bfloat16)
        table = rows_table(shard.windows, shard.places, picked, vectors, self.reader, self.config.heldout)
        store.write_shard(self.config.out, shard.number, table, vectors, shard.meta)


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
