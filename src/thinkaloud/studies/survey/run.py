"""The survey's tables: documents → positions explained → paragraphs ablated."""

import re
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from jaxtyping import Float
from torch import Tensor

from thinkaloud import families
from thinkaloud.activations.corpus import Document, read_corpus
from thinkaloud.activations.forward import vectors_at
from thinkaloud.activations.positions import allowed_positions, choose_positions, special_ids
from thinkaloud.activations.token_class import token_class
from thinkaloud.activations.tokens import Reader, encode, windows_of
from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.scores import fve, text_mse
from thinkaloud.pocket.world import episodes
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import examples
from thinkaloud.studies.survey import FILES, Survey, paragraphs, ready
from thinkaloud.studies.survey.templates import QUOTATION
from thinkaloud.studies.survey.turns import regenerated

DOCUMENTS_AT_ONCE = 128
VARIANTS_AT_ONCE = 2048

PREFIX = 200  # characters of the document that a row shows
QUOTED = 512  # tokens before and with the one that is read in which quotations are looked for
MIN_POSITION = 4  # a model's first tokens have vectors unlike all others
SCANNED = 100_000  # documents passed in search of a kind before it counts as not there
SHUFFLED = 20_000  # documents whose order is drawn

Record = dict[str, Any]
READ = {"kind": pa.string(), "doc_id": pa.string(), "ids": pa.list_(pa.int32()), "positions": pa.list_(pa.int32())}


def source(
    document: Document, kind: str, tokenizer: Any, special: np.ndarray, context: int, each: int, seed: int
) -> Record | None:
    """The document as M reads it: its tokens, cut at M's context, and `each` positions from the fifth on, never
    `special` tokens; None where it has none, or the chat template refuses it.
    """
    ids = encode(tokenizer, [document])[0]
    if not ids:
        return None
    window = windows_of(document, ids, tokenizer.bos_token_id, None, context)[0]
    allowed = allowed_positions(window.ids, special, MIN_POSITION)
    places = choose_positions(seed, document.id, allowed, each)
    return {"kind": kind, "doc_id": document.id, "ids": window.ids, "positions": places} if places else None


def run(config: Survey, folder: Folder, nla: NLA | None) -> None:
    """Make the survey's tables and results, or go on with them; of ready-made explanations perhaps without a pair."""
    if config.explanations is not None:
        facts = _ready(config, folder, nla)
    elif nla is not None:
        facts = _read_and_explained(config, folder, nla)
    else:
        raise UserError("a survey of texts and chats needs a pair: name one with --nla, or a file with --explanations")
    folder.keep(facts, examples([{**row, "note": row["kind"]} for row in folder.kept("explanations")]))


def _read_and_explained(config: Survey, folder: Folder, nla: NLA) -> dict[str, str]:
    sources: list[Record] = []
    for kind, name in FILES.items():
        found = folder.table(f"{name}-read", lambda kind=kind: _read(config, folder, nla, kind))
        sources += found.to_pylist()
    if not sources:
        raise UserError(
            f"no position to read in texts={config.texts} and chats={config.chats}: "
            "documents need more than 4 tokens; name a corpus with texts or chats"
        )

    def baseline() -> list[Record]:
        size, ids = DOCUMENTS_AT_ONCE, [source["doc_id"] for source in sources]
        blocks = (vectors_of(nla, sources[i : i + size]).numpy() for i in range(0, len(sources), size))
        return [(nla.baseline or Baseline.of_blocks(blocks, ids, "this survey")).to_dict()]

    of = Baseline.from_dict(folder.table("baseline", baseline).to_pylist()[0])
    table = folder.pieces(
        "explanations", sources, DOCUMENTS_AT_ONCE, lambda some, _: explained(some, nla, of, config.max_tokens)
    )
    alone = [{**source, "positions": [position]} for source in sources for position in source["positions"]]
    _ablation(config, folder, nla, table, lambda rows: vectors_of(nla, [alone[row] for row in rows]))
    return _facts(config, nla, of, table.select(["kind", "doc_id"]).to_pandas())


def _ready(config: Survey, folder: Folder, nla: NLA | None) -> dict[str, str]:
    """Explanations of a file, rebuilt by the pair's AR where it has vectors of the AR's width."""
    path = Path(config.explanations or "")
    frame, vectors, lacking = ready.read(path, 2 * config.n)
    facts = {"Explanations": f"{len(frame):,} of {path.name}, made elsewhere"}
    fits = nla is not None and vectors is not None and vectors.shape[1] == nla.reconstructor.contract.d_model
    if vectors is None:
        lacking.append("vector")
    elif not fits:
        facts["Vectors"] = f"of width {vectors.shape[1]}, which the AR of {config.nla} does not rebuild: not scored"
    if nla is not None and vectors is not None:
        found = Baseline.of(vectors.numpy(), frame["doc_id"].tolist(), "these explanations")
        baseline = Baseline.from_dict(folder.table("baseline", lambda: [found.to_dict()]).to_pylist()[0])
        if fits:
            frame["mse"] = text_mse(nla.reconstruct, frame["text"].tolist(), vectors).numpy()
            facts |= {"Pair": nla.name, "Baseline": str(baseline)}
        if fits or frame["fve"].isna().all():
            frame["fve"] = 1 - frame["mse"] / baseline.v
    if not fits:
        lacking.append("an AR for the vectors")
    frame["quotes"] = [_quotes(t, c) for t, c in zip(frame["text"], frame["context"], strict=True)]
    frame = frame.assign(prefix=frame["context"].str[-PREFIX:], finish=None).drop(columns=["context", "vector", "cos"])
    table = folder.table("explanations", lambda: pa.Table.from_pandas(frame, preserve_index=False))
    if nla is not None and vectors is not None and fits:
        _ablation(config, folder, nla, table, lambda some: vectors[some])
    away = [ready.FALL_AWAY[name] for name in lacking if name in ready.FALL_AWAY]
    away += ["paragraph ablation"] * (not fits) + ["everything by error"] * bool(frame["fve"].isna().all())
    return facts | {"Not there": f"{', '.join(lacking) or 'nothing'}; left out: {', '.join(away) or 'nothing'}"}


def _ablation(config: Survey, folder: Folder, nla: NLA, table: pa.Table, vectors: Any) -> None:
    """The table of ablated explanations; `vectors` gives those of rows."""
    made = paragraphs.variants(table["text"].to_pylist(), table["doc_id"].to_pylist(), config.ablated, config.seed)

    def scored(records: Sequence[Record], _: int) -> list[Record]:
        each, index = np.unique([record["row"] for record in records], return_inverse=True)
        errors = text_mse(nla.reconstruct, [record["text"] for record in records], vectors(each)[index]).tolist()
        return [{**record, "mse": error} for record, error in zip(records, errors, strict=True)]

    if made:
        folder.pieces("ablation", made, VARIANTS_AT_ONCE, scored)


def _read(config: Survey, folder: Folder, nla: NLA, kind: str) -> pa.Table:
    """The documents of a kind with their positions; no rows where the corpus has none of the kind."""
    name = config.texts if kind == "text" else config.chats
    context, tokenizer = min(families.context_length(nla.model), config.longest), nla.model_tokenizer
    how = (kind, tokenizer, special_ids(tokenizer), context, config.positions, config.seed)
    found, sources, n = list[Document](), list[Record](), 0
    for document in documents(name, kind, config.seed):
        if one := source(document, *how):
            found.append(document)
            sources.append({**one, "positions": one["positions"][: config.n - n]})
            n += len(one["positions"])
        if n >= config.n:
            break
    if kind == "chat" and config.regenerate and found:
        own = regenerated(found, nla, folder, config.reply_tokens, context)
        sources = [one for document in own if (one := source(document, *how))]
    return pa.Table.from_pylist(sources, schema=pa.schema(READ))


def vectors_of(nla: NLA, sources: Sequence[Record]) -> Float[Tensor, "n d"]:
    """The activations at the sources' positions, in order: float32, unscaled."""
    return vectors_at(nla.model, nla.site, [s["ids"] for s in sources], [s["positions"] for s in sources])


def explained(sources: Sequence[Record], nla: NLA, baseline: Baseline, max_tokens: int) -> list[Record]:
    """A row for every position: what it is, what was said of it, and how well that rebuilds it.

    An empty text describes nothing, and has no error.
    """
    vectors = vectors_of(nla, sources)
    said = [row[0] for row in nla.explain(vectors, max_tokens=max_tokens)]
    errors = text_mse(nla.reconstruct, [one.text for one in said], vectors).tolist()
    reader, special = Reader(nla.model_tokenizer), set(special_ids(nla.model_tokenizer).tolist())
    made, places = [], [(source, position) for source in sources for position in source["positions"]]
    for (source, position), one, mse in zip(places, said, errors, strict=True):
        read = source["ids"][max(0, position + 1 - QUOTED) : position + 1]
        row = {"kind": source["kind"], "doc_id": source["doc_id"], "position": position}
        row |= {"token": reader.token(read[-1]), "token_class": token_class(source["ids"], position, reader, special)}
        row |= {"prefix": reader.prefix(read[-PREFIX:])[-PREFIX:], "quotes": _quotes(one.text, reader.prefix(read))}
        scores = {"mse": None, "fve": None} if mse != mse else {"mse": mse, "fve": fve(mse, baseline)}
        made.append({**row, "text": one.text, "finish": one.finish, **scores})
    return made


def _quotes(text: str, context: str) -> bool | None:
    """Whether a quotation of two words or more stands in the context; None without one."""
    said = [" ".join(re.findall(r"\w+", q.lower())) for q in QUOTATION.findall(text)]
    words = " ".join(["", *re.findall(r"\w+", context.lower()), ""])
    return any(" " in q and f" {q} " in words for q in said) if context.strip() else None


def _facts(config: Survey, nla: NLA, baseline: Baseline, table: pd.DataFrame) -> dict[str, str]:
    """What the survey rests on, in words."""
    facts = config.facts(nla, baseline)
    for kind, name in (("text", config.texts), ("chat", config.chats)):
        docs = table["doc_id"][table["kind"] == kind]
        world = "the pocket world, episodes held out from training" if name == "pocket" else name
        told = f"{len(docs):,} positions of {docs.nunique():,} {FILES[kind]} from {world}"
        told += f"; {config.n:,} were asked for, there were no more" if len(docs) < config.n else ""
        told += "; assistant turns are M's own, greedy" if kind == "chat" and config.regenerate else ""
        facts[FILES[kind].capitalize()] = told if len(docs) else f"left out: none that could be read in {name}"
    return facts


def documents(name: str, kind: str, seed: int) -> Iterator[Document]:
    """The texts or the chats of a corpus, or those of the pocket world that no pair was trained on, each once.

    Their order is drawn by the seed: a file goes by source, and a limit would take the first of them alone.
    """

    def made() -> Iterator[Document]:
        for i, episode in enumerate(episodes(seed + 3_000_017, SCANNED, "heldout")):
            yield Document(f"world-{i}", text=None if episode.messages else episode.text, messages=episode.messages)

    def once() -> Iterator[Document]:
        seen: set[str] = set()
        for document in islice(made() if name == "pocket" else read_corpus(name), SCANNED):
            said = document.text or str(document.messages)
            if (document.messages is not None) == (kind == "chat") and said not in seen:
                seen.add(said)
                yield document

    there = once()
    if name != "pocket":  # whose episodes are drawn already
        first = list(islice(there, SHUFFLED))
        yield from (first[i] for i in np.random.default_rng(seed).permutation(len(first)))
    yield from there
