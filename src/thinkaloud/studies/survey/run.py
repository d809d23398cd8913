"""The survey's tables: documents → positions explained → paragraphs ablated; and the data set that is published."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate, islice
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pyarrow as pa
from jaxtyping import Float
from torch import Tensor

from thinkaloud import families
from thinkaloud.activations.corpus import Document, read_corpus
from thinkaloud.activations.forward import vectors_at
from thinkaloud.activations.positions import allowed_positions, choose_positions, special_ids
from thinkaloud.activations.tokens import Reader, encode, windows_of
from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.scores import fve, text_mse
from thinkaloud.pocket.world import episodes
from thinkaloud.studies.folder import Folder, Watch, rows
from thinkaloud.studies.page import Example, at_quartiles
from thinkaloud.studies.survey import Survey, paragraphs, ready
from thinkaloud.studies.survey.published import FILES, PREFIX, SCHEMA, publish
from thinkaloud.studies.survey.templates import QUOTATION
from thinkaloud.studies.survey.tokens import TokenClasses
from thinkaloud.studies.survey.turns import regenerated

DOCUMENTS_AT_ONCE = 128
VARIANTS_AT_ONCE = 2048

QUOTED = 512  # tokens before and with the one that is read in which quotations are looked for
MIN_POSITION = 4  # a model's first tokens have vectors unlike all others
SCANNED = 100_000  # documents passed in search of a kind before it counts as not there

Kind = Literal["text", "chat"]
KINDS: tuple[Kind, ...] = ("text", "chat")
READ = {"kind": pa.string(), "doc_id": pa.string(), "ids": pa.list_(pa.int32()), "positions": pa.list_(pa.int32())}


@dataclass(frozen=True)
class Source:
    """A document as M reads it: its tokens, cut at M's context, and the positions that are read."""

    kind: Kind
    doc_id: str
    ids: Sequence[int]
    positions: Sequence[int]


class Chooser:
    """Chooses the positions of documents: `each` of them from position 4 on, never special tokens."""

    def __init__(self, tokenizer: Any, context: int, each: int, seed: int) -> None:
        self.tokenizer, self.context, self.each, self.seed = tokenizer, context, each, seed
        self.special = special_ids(tokenizer)

    def source(self, document: Document, kind: Kind) -> Source | None:
        """The document with its positions; None where it has none, or the chat template refuses it."""
        ids = encode(self.tokenizer, [document])[0]
        if not ids:
            return None
        window = windows_of(document, ids, self.tokenizer.bos_token_id, None, self.context)[0]
        allowed = allowed_positions(window.ids, self.special, MIN_POSITION)
        places = choose_positions(self.seed, document.id, allowed, self.each)
        return Source(kind, document.id, window.ids, places) if places else None

    def until(self, n: int, found: Iterator[Document], kind: Kind) -> list[tuple[Document, Source]]:
        """Documents, each with its positions, until there are `n` positions or no more documents."""
        out: list[tuple[Document, Source]] = []
        while n > 0 and (document := next(found, None)):
            source = self.source(document, kind)
            if source is not None:
                out.append((document, source))
                n -= len(source.positions)
        return out


def run(config: Survey, folder: Folder, nla: NLA | None, watch: Watch) -> None:
    """Make the survey's tables and results, or go on with them; of ready-made explanations perhaps without a pair."""
    if config.explanations is not None:
        facts = _ready(config, folder, nla, watch)
    elif nla is not None:
        facts = _read_and_explained(config, folder, nla, watch)
    else:
        raise UserError("a survey of texts and chats needs a pair: name one with --nla, or a file with --explanations")
    table = pd.DataFrame(folder.kept("explanations"))
    publish(table, folder.out / "dataset", facts)
    some = table.iloc[at_quartiles(table["fve"].astype(float))]
    folder.keep(facts, [Example.of(r.prefix, r.token, r.text, r.fve, r.kind) for r in some.itertuples()])


def _read_and_explained(config: Survey, folder: Folder, nla: NLA, watch: Watch) -> dict[str, str]:
    tokenizer = nla.model_tokenizer
    context = min(families.context_length(nla.model), config.longest)
    chooser = Chooser(tokenizer, context, config.positions, config.seed)
    sources: list[Source] = []
    for kind in KINDS:
        found = folder.table(f"{FILES[kind]}-read", lambda kind=kind: _read(config, folder, nla, chooser, kind, watch))
        sources += [Source(**row) for row in found.to_pylist()]
    if not sources:
        raise UserError(
            f"no position to read in texts={config.texts} and chats={config.chats}: "
            "documents need more than 4 tokens; name a corpus with texts or chats"
        )
    baseline = _baseline(folder, nla, sources)
    table = folder.pieces(
        "explanations",
        len(sources),
        DOCUMENTS_AT_ONCE,
        lambda some: explained(sources[some], nla, tokenizer, baseline, config.max_tokens),
        watch,
    )
    alone = [replace(source, positions=[position]) for source, position in _places(sources)]
    _ablation(config, folder, nla, table, lambda rows: vectors_of(nla, [alone[row] for row in rows]), watch)
    return _facts(config, nla, baseline, table.select(["kind", "doc_id"]).to_pandas())


def _ready(config: Survey, folder: Folder, nla: NLA | None, watch: Watch) -> dict[str, str]:
    """Explanations of a file, rebuilt by the pair's AR where it has vectors of the AR's width."""
    path = Path(config.explanations or "")
    frame, vectors, lacking = ready.read(path, 2 * config.n)
    facts = {"explanations": f"{len(frame):,} of {path.name}, made elsewhere"}
    fits = nla is not None and vectors is not None and vectors.shape[1] == nla.reconstructor.contract.d_model
    if vectors is None:
        lacking.append("vector")
    elif not fits:
        facts["vectors"] = f"of width {vectors.shape[1]}, which the AR of {config.nla} does not rebuild: not scored"
    if nla is not None and vectors is not None:
        found = Baseline.of_blocks([vectors.numpy()], frame["doc_id"].tolist(), "these explanations")
        baseline = Baseline.from_dict(folder.table("baseline", lambda: rows([found.to_dict()])).to_pylist()[0])
        if fits:
            frame["mse"] = pd.Series(_errors(nla, frame["text"].tolist(), vectors), dtype=float)
            facts |= {"pair": nla.name, "baseline": str(baseline)}
        if fits or frame["fve"].isna().all():
            frame["fve"] = 1 - frame["mse"] / baseline.v
        frame["norm"] = vectors.norm(dim=1).numpy()
    if not fits:
        lacking.append("an AR for the vectors")
    frame["cos"] = 1 - frame["mse"] / 2
    frame["quotes"] = [_quotes(t, c) for t, c in zip(frame["text"], frame.pop("context"), strict=True)]
    table = pa.Table.from_pandas(frame.reindex(columns=SCHEMA.names), SCHEMA, preserve_index=False)
    folder.table("explanations", lambda: table)
    if nla is not None and vectors is not None and fits:
        _ablation(config, folder, nla, table, lambda some: vectors[some], watch)
    away = [ready.FALL_AWAY[name] for name in lacking if name in ready.FALL_AWAY]
    away += ["paragraph ablation"] * (not fits) + ["everything by error"] * bool(frame["fve"].isna().all())
    return facts | {"not there": f"{', '.join(lacking) or 'nothing'}; left out: {', '.join(away) or 'nothing'}"}


def _ablation(config: Survey, folder: Folder, nla: NLA, table: pa.Table, vectors: Any, watch: Watch) -> None:
    """The table of ablated explanations; `vectors` gives those of rows."""
    texts, docs = table["text"].to_pylist(), table["doc_id"].to_pylist()
    made = paragraphs.variants(texts, docs, paragraphs.choose(texts, config.ablated, config.seed), config.seed)

    def scored(some: slice) -> pa.Table:
        records = made[some]
        index = {row: i for i, row in enumerate(dict.fromkeys(record["row"] for record in records))}
        targets = vectors(list(index))[[index[record["row"]] for record in records]]
        errors = _errors(nla, [record["text"] for record in records], targets)
        return rows([{**r, "doc_id": docs[r["row"]], "mse": e} for r, e in zip(records, errors, strict=True)])

    if made:
        folder.pieces("ablation", len(made), VARIANTS_AT_ONCE, scored, watch)


def _read(config: Survey, folder: Folder, nla: NLA, chooser: Chooser, kind: Kind, watch: Watch) -> pa.Table:
    """The documents of a kind with their positions; no rows where the corpus has none of the kind."""
    name = config.texts if kind == "text" else config.chats
    found = chooser.until(config.n, documents(name, kind, config.seed), kind)
    sources = [source for _, source in found]
    if kind == "chat" and config.regenerate and found:
        chats = [document for document, _ in found]
        own = regenerated(chats, nla, folder, config.reply_tokens, chooser.context, watch)
        sources = [source for document in own if (source := chooser.source(document, "chat"))]
    return pa.Table.from_pylist([asdict(source) for source in cut(sources, config.n)], schema=pa.schema(READ))


def _baseline(folder: Folder, nla: NLA, sources: Sequence[Source]) -> Baseline:
    """The pair's own, else the variance of the vectors of this survey."""

    def make() -> pa.Table:
        size, ids = DOCUMENTS_AT_ONCE, [source.doc_id for source in sources]
        blocks = (vectors_of(nla, sources[i : i + size]).numpy() for i in range(0, len(sources), size))
        return rows([(nla.baseline or Baseline.of_blocks(blocks, ids, "this survey")).to_dict()])

    return Baseline.from_dict(folder.table("baseline", make).to_pylist()[0])


def vectors_of(nla: NLA, sources: Sequence[Source]) -> Float[Tensor, "n d"]:
    """The activations at the sources' positions, in order: float32, unscaled."""
    return vectors_at(nla.model, nla.site, [s.ids for s in sources], [s.positions for s in sources])


def explained(sources: Sequence[Source], nla: NLA, tokenizer: Any, baseline: Baseline, max_tokens: int) -> pa.Table:
    """A row for every position: what it is, what was said of it, and how well that rebuilds it."""
    vectors = vectors_of(nla, sources)
    said = [row[0] for row in nla.explain(vectors, max_tokens=max_tokens)]
    errors = _errors(nla, [one.text for one in said], vectors)
    reader, classes = Reader(tokenizer), TokenClasses(tokenizer)
    norms = vectors.double().norm(dim=1).tolist()
    made = []
    for (source, position), one, mse, norm in zip(_places(sources), said, errors, norms, strict=True):
        before, token, *after = source.ids[position - 1 : position + 2]
        made.append(
            {
                "kind": source.kind,
                "doc_id": source.doc_id,
                "position": position,
                "token_id": token,
                "token": reader.token(token),
                "token_class": classes.of(token, before, *after),
                "prefix": reader.prefix(source.ids[max(0, position + 1 - PREFIX) : position + 1])[-PREFIX:],
                "quotes": _quotes(one.text, reader.prefix(source.ids[max(0, position + 1 - QUOTED) : position + 1])),
                "norm": norm,
                "text": one.text,
                "finish": one.finish,
                "tokens": len(one.token_ids),
                "fve": None if mse is None else fve(mse, baseline),
                "mse": mse,
                "cos": None if mse is None else 1 - mse / 2,  # both vectors are scaled to one norm
            }
        )
    return pa.Table.from_pylist(made, schema=SCHEMA)


def _errors(nla: NLA, texts: Sequence[str], vectors: Float[Tensor, "n d"]) -> list[float | None]:
    """The MSE of each text's reconstruction; None for an empty text, which describes nothing."""
    return [None if mse != mse else mse for mse in text_mse(nla.reconstruct, texts, vectors).tolist()]


def _places(sources: Sequence[Source]) -> list[tuple[Source, int]]:
    """The source and the position of every row of the table of explanations."""
    return [(source, position) for source in sources for position in source.positions]


def _quotes(text: str, context: str) -> bool | None:
    """Whether a quotation of two words or more stands in the context; None without one."""
    said = [" ".join(re.findall(r"\w+", q.lower())) for q in QUOTATION.findall(text)]
    words = " ".join(["", *re.findall(r"\w+", context.lower()), ""])
    return any(" " in q and f" {q} " in words for q in said) if context.strip() else None


def _facts(config: Survey, nla: NLA, baseline: Baseline, table: pd.DataFrame) -> dict[str, str]:
    """What the survey rests on, in words."""
    facts = {"pair": nla.name, "site": str(nla.site), "baseline": str(baseline)}
    for kind, name in (("text", config.texts), ("chat", config.chats)):
        docs = table["doc_id"][table["kind"] == kind]
        world = "the pocket world, episodes held out from training" if name == "pocket" else name
        facts[FILES[kind]] = f"{len(docs):,} positions of {docs.nunique():,} {FILES[kind]} from {world}"
        if len(docs) < config.n:
            facts[FILES[kind]] += f"; {config.n:,} were asked for, there were no more"
        if kind == "chat" and config.regenerate:
            facts[FILES[kind]] += f"; assistant turns are M's own, greedy, at most {config.reply_tokens} tokens"
        if docs.empty:
            facts[FILES[kind]] = f"left out: none that could be read in {name}"
    places = f"at most {config.positions} a document, from the fifth token on, of {config.longest:,} tokens"
    facts |= {"explanations": f"greedy, at most {config.max_tokens} tokens"}
    return facts | {"positions": f"{places}, never special tokens", "seed": str(config.seed)}


def documents(name: str, kind: Kind, seed: int) -> Iterator[Document]:
    """The texts or the chats of a corpus, or those of the pocket world that no pair was trained on, each once."""
    chat = kind == "chat"
    if name != "pocket":
        yield from (d for d in islice(read_corpus(name), SCANNED) if (d.messages is not None) == chat)
        return
    seen: set[str] = set()
    for i, episode in enumerate(episodes(seed + 3_000_017, SCANNED, "heldout")):
        if (episode.messages is not None) == chat and episode.text not in seen:
            seen.add(episode.text)
            yield Document(f"world-{i}", text=None if chat else episode.text, messages=episode.messages)


def cut(sources: Sequence[Source], n: int) -> list[Source]:
    """The sources with `n` positions in all, or what there is."""
    before = accumulate((len(source.positions) for source in sources), initial=0)
    some = [replace(s, positions=s.positions[: max(0, n - k)]) for s, k in zip(sources, before, strict=False)]
    return [source for source in some if source.positions]
