"""How do texts become activations? In memory for a few; for a corpus in a folder of shards that a killed run resumes.

While the device reads one shard, a thread tokenises the next and another writes the last.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar, cast

import pyarrow as pa
import torch
from torch import nn

from thinkaloud import families, loading
from thinkaloud.activations import store
from thinkaloud.activations.atomic import write_json
from thinkaloud.activations.corpus import Corpus, Document, split_of
from thinkaloud.activations.forward import Pass, Picked, default_batch_tokens
from thinkaloud.activations.manifest import build_manifest
from thinkaloud.activations.positions import allowed_positions, choose_positions, parse_positions, special_ids
from thinkaloud.activations.progress import Progress
from thinkaloud.activations.store import Activations
from thinkaloud.activations.tokens import Reader, Window, encode, windows_of
from thinkaloud.errors import UserError
from thinkaloud.site import Site

SETTINGS = "extraction.json"
T = TypeVar("T")


@dataclass(frozen=True)
class ExtractOptions:
    """What is read of each document. `positions` None reads every allowed token of a window; `window` None takes a
    document whole, up to the model's context; `next_tokens` keeps M's own top-k expectation at each position.
    """

    positions: int | None = 10
    seed: int = 0
    min_position: int = 50
    window: int | None = None
    next_tokens: int = 0
    heldout: float = 0.02
    batch_tokens: int | None = None
    limit: int | None = None
    shard_docs: int = store.SHARD_DOCS

    def __post_init__(self) -> None:
        for name in ("positions", "window", "batch_tokens", "limit", "shard_docs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} must be at least 1, found {value}")
        if self.min_position < 0 or self.next_tokens < 0:
            raise UserError("min_position and next_tokens must not be negative")
        if not 0 <= self.heldout < 1:
            raise UserError(f"heldout must be a share of the documents from 0 to below 1, found {self.heldout}")
        if self.window is not None and self.window <= self.min_position:
            raise UserError(f"a window of {self.window} tokens has none from min_position {self.min_position} on")


def extract(
    model: nn.Module | str | Path,
    texts: Sequence[str | Sequence[dict[str, Any]]],
    site: Site,
    positions: str | int | Sequence[int] = "all",
    tokenizer: Any = None,
    *,
    seed: int = 0,
    min_position: int = 0,
    batch_tokens: int | None = None,
) -> Activations:
    """The vectors of `texts` (strings or lists of messages) at `site`.

    `positions`: "all", "last", "0,-1", "50:" or a list of indices, or a whole number n for n tokens a text, chosen by
    `seed` from `min_position` on and never special tokens. Vectors are float32 [n, d], unscaled. UserError for a text
    that is empty or longer than the model's context.
    """
    if not isinstance(model, nn.Module):
        tokenizer = tokenizer if tokenizer is not None else loading.load_tokenizer(model)
        model = cast(nn.Module, loading.load_backbone(model, site.layer))
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
    run = Pass(model, site)
    picked = run([w.ids for w in windows], places, batch_tokens or default_batch_tokens(run.device))()
    table = rows_table(windows, places, Reader(tokenizer), split_of)
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
    settings = {
        "site": site.to_dict(),
        "corpus": corpus.name,
        "options": asdict(options),
        "model": {
            "name": model_name,
            "commit": getattr(families.text_model(model).config, "_commit_hash", None),
            "dtype": str(run.dtype).removeprefix("torch."),
            "tokenizer": loading.tokenizer_hash(tokenizer),
            "weights": weights_hash(model, site),
        },
    }
    begin(directory, settings, worker, workers)
    maker = _ShardMaker(directory, tokenizer, run, options, context, worker)
    n_shards = 0

    def mine() -> Iterator["_Prepared"]:
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


def rows_table(
    windows: Sequence[Window], places: Sequence[Sequence[int]], reader: Reader, split: Callable[[str], str]
) -> pa.Table:
    """The table of the wanted rows, by window and position; `norm` is filled in by whoever has the vectors."""
    columns: dict[str, list[Any]] = {name: [] for name in store.COLUMNS}
    for window, positions in zip(windows, places, strict=True):
        for position in positions:
            token_id = window.ids[position]
            row = (window.doc_id, window.start, position, token_id, reader.token(token_id))
            text = reader.prefix(window.ids[: position + 1])
            for name, value in zip(
                columns, (*row, text, 0.0, split(window.doc_id), window.truncated, window.chat), strict=True
            ):
                columns[name].append(value)
    return pa.table({name: pa.array(values, store.COLUMNS[name]) for name, values in columns.items()})


def begin(directory: Path, settings: Mapping[str, Any], worker: int = 0, workers: int = 1) -> None:
    """Write down the settings of a new folder, or refuse to go on in one that has others."""
    directory.mkdir(parents=True, exist_ok=True)
    for stale in directory.glob(".*.partial-*" if workers == 1 else f".*.partial-{worker}"):
        stale.unlink()
    path = directory / SETTINGS
    if not path.is_file():
        if any(directory.glob("shard-*.parquet")):
            raise UserError(f"{directory} holds shards and no {SETTINGS}: choose another folder")
        write_json(path, settings, worker)
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not JSON: {error}") from None
    if difference := first_difference(before, json.loads(json.dumps(settings))):
        name, old, new = difference
        raise UserError(
            f"{directory} was begun with {name} = {old!r}, now it is {new!r}: use another folder or that setting"
        )


def first_difference(old: Any, new: Any, name: str = "") -> tuple[str, Any, Any] | None:
    """The first field that differs between two nested mappings, in the order of `new`: (dotted name, old, new)."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*new, *(k for k in old if k not in new)]:
            if found := first_difference(old.get(key), new.get(key), f"{name}.{key}" if name else key):
                return found
        return None
    return None if old == new else (name, old, new)


def weights_hash(model: nn.Module, site: Site) -> str:
    """A short hash of the weights that make the vectors at `site`: 1,024 evenly spaced values of each tensor."""
    digest = hashlib.sha256()
    for name, tensor in sorted(families.truncated(model, site.layer).named_parameters()):
        flat = tensor.detach().reshape(-1)
        sample = flat[:: max(1, flat.numel() // 1024)].contiguous().cpu()
        digest.update(f"{name} {list(tensor.shape)} {tensor.dtype}".encode())
        digest.update(sample.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:32]


@dataclass(frozen=True)
class _Prepared:
    """A shard before the model has seen it."""

    shard: int
    windows: list[Window]
    places: list[list[int]]
    counts: dict[str, int]
    source: str


class _ShardMaker:
    """Makes shards of documents: all that stands before and after the forward pass."""

    def __init__(
        self, directory: Path, tokenizer: Any, run: Pass, options: ExtractOptions, context: int, worker: int
    ) -> None:
        self.directory, self.tokenizer, self.options = directory, tokenizer, options
        self.context, self.worker, self.top_k = context, worker, run.next_tokens
        self.special, self.reader = special_ids(tokenizer), Reader(tokenizer)

    def is_done(self, shard: int, documents: Sequence[Document]) -> bool:
        if not store.shard_path(self.directory, shard).is_file():
            return False
        if store.shard_meta(self.directory, shard).get("source") != source_hash(documents):
            path = store.shard_path(self.directory, shard)
            raise UserError(f"{path} was made from other documents than the corpus has now: use another folder")
        return True

    def prepare(self, shard: int, documents: Sequence[Document]) -> _Prepared:
        windows: list[Window] = []
        encoded = encode(self.tokenizer, documents)
        for document, ids in zip(documents, encoded, strict=True):
            bos = self.tokenizer.bos_token_id
            windows += windows_of(document, ids or [], bos, self.options.window, self.context)
        o = self.options
        places = [
            choose_positions(
                o.seed, w.doc_id, allowed_positions(w.ids, self.special, o.min_position), o.positions, w.start
            )
            for w in windows
        ]
        counts = {
            "documents": sum(ids is not None for ids in encoded),
            "windows": len(windows),
            "tokens": sum(len(w.ids) for w in windows),
            "truncated": sum(w.truncated for w in windows),
            "rejected": sum(ids is None for ids in encoded),
        }
        return _Prepared(shard, windows, places, counts, source_hash(documents))

    def write(self, prepared: _Prepared, result: Callable[[], Picked]) -> None:
        heldout = self.options.heldout
        table = rows_table(prepared.windows, prepared.places, self.reader, lambda doc: split_of(doc, heldout))
        picked = result()
        vectors = picked.vectors.to(torch.bfloat16)
        norms = pa.array(store.norms_of(vectors.float()))
        table = table.set_column(table.column_names.index("norm"), "norm", norms)
        if picked.next_ids is not None and picked.next_probs is not None:
            names = [[self.reader.token(i) for i in row] for row in picked.next_ids.tolist()]
            table = table.append_column("next_tokens", pa.array(names, store.OPTIONAL["next_tokens"]))
            offsets = pa.array(range(0, len(names) * self.top_k + 1, self.top_k), pa.int32())
            probs = pa.ListArray.from_arrays(offsets, pa.array(picked.next_probs.flatten().numpy()))
            table = table.append_column("next_probs", probs)
        meta = {"counts": prepared.counts, "source": prepared.source}
        store.write_shard(self.directory, prepared.shard, table, vectors, meta, self.worker)


def source_hash(documents: Iterable[Document]) -> str:
    """A short hash of documents, ids included."""
    digest = hashlib.blake2b(digest_size=16)
    for document in documents:
        digest.update(json.dumps([document.id, document.text, document.messages], default=str).encode())
    return digest.hexdigest()


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
