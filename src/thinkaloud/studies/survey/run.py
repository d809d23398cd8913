"""The survey's tables: documents → positions explained → paragraphs ablated; and the data set that is published."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from torch import Tensor

from thinkaloud import families
from thinkaloud.activations.corpus import Document
from thinkaloud.activations.forward import Pass, default_batch_tokens
from thinkaloud.activations.tokens import Reader
from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.models import lm
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.scores import fve, text_mse
from thinkaloud.studies.folder import Folder, Watch, rows
from thinkaloud.studies.page import Example, at_quartiles
from thinkaloud.studies.survey import Survey, paragraphs
from thinkaloud.studies.survey.published import FILES, PREFIX, SCHEMA, publish
from thinkaloud.studies.survey.sources import Chooser, Kind, Source, cut, documents, with_own_turns
from thinkaloud.studies.survey.tokens import TokenClasses

DOCUMENTS_AT_ONCE = 128
VARIANTS_AT_ONCE = 2048

KINDS: tuple[Kind, ...] = ("text", "chat")
READ = {"kind": pa.string(), "doc_id": pa.string(), "ids": pa.list_(pa.int32()), "positions": pa.list_(pa.int32())}


def run(config: Survey, folder: Folder, nla: NLA, watch: Watch) -> None:
    """Make the survey's tables and results, or go on with them."""
    tokenizer = nla.model_tokenizer
    chooser = Chooser(tokenizer, families.context_length(nla.model), config.positions, config.seed)
    sources = [
        Source(**row)
        for kind in KINDS
        for row in folder.table(
            f"{FILES[kind]}-read", lambda kind=kind: _read(config, folder, nla, chooser, kind, watch)
        ).to_pylist()
    ]
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
    texts, docs = table["text"].to_pylist(), table["doc_id"].to_pylist()
    chosen = paragraphs.choose(texts, config.ablated, config.seed)
    made = paragraphs.variants(texts, docs, chosen, config.seed)
    if made:
        folder.pieces("ablation", len(made), VARIANTS_AT_ONCE, lambda some: _ablated(made[some], sources, nla), watch)
    facts = _facts(config, nla, baseline, table)
    publish(table, folder.out / "dataset", facts)
    chosen = table.take(pa.array(at_quartiles(table["fve"].to_pylist()), pa.int64())).to_pylist()
    folder.keep(facts, [Example.of(r["prefix"], r["token"], r["text"], r["fve"], r["kind"]) for r in chosen])


def _read(config: Survey, folder: Folder, nla: NLA, chooser: Chooser, kind: Kind, watch: Watch) -> pa.Table:
    """The documents of a kind with their positions; no rows where the corpus has none of the kind."""
    name = config.texts if kind == "text" else config.chats
    found = chooser.until(config.n, documents(name, kind, config.seed), kind)
    sources = [source for _, source in found]
    if kind == "chat" and config.regenerate and found:
        sources = _regenerated([document for document, _ in found], config, folder, nla, chooser, watch)
    return pa.Table.from_pylist([asdict(source) for source in cut(sources, config.n)], schema=pa.schema(READ))


def _regenerated(
    chats: Sequence[Document], config: Survey, folder: Folder, nla: NLA, chooser: Chooser, watch: Watch
) -> list[Source]:
    def replies(prompts: list[list[int]]) -> list[str]:
        made = lm.greedy(nla.model, chooser.tokenizer, prompts, config.reply_tokens)
        return [chooser.tokenizer.decode(one.ids, skip_special_tokens=True) for one in made]

    def make(some: slice) -> pa.Table:
        messages = [document.messages or () for document in chats[some]]
        own = with_own_turns(messages, chooser.tokenizer, replies, chooser.context)
        return rows([{"doc_id": d.id, "messages": json.dumps(m)} for d, m in zip(chats[some], own, strict=True)])

    told = folder.pieces("replies", len(chats), DOCUMENTS_AT_ONCE, make, watch).to_pylist()
    renewed = (Document(r["doc_id"], messages=tuple(json.loads(r["messages"]))) for r in told)
    return [source for document in renewed if document.messages and (source := chooser.source(document, "chat"))]


def _baseline(folder: Folder, nla: NLA, sources: Sequence[Source]) -> Baseline:
    """The pair's own, else the variance of the vectors of this survey."""

    def make() -> pa.Table:
        if nla.baseline is not None:
            return rows([nla.baseline.to_dict()])
        size = DOCUMENTS_AT_ONCE
        blocks = (vectors_of(nla, sources[i : i + size]).numpy() for i in range(0, len(sources), size))
        ids = [source.doc_id for source in sources]
        return rows([Baseline.of_blocks(blocks, ids, "this survey").to_dict()])

    return Baseline.from_dict(folder.table("baseline", make).to_pylist()[0])


def vectors_of(nla: NLA, sources: Sequence[Source]) -> Float[Tensor, "n d"]:
    """The activations at the sources' positions, in order: float32, unscaled."""
    read = Pass(nla.model, nla.site)
    picked = read([s.ids for s in sources], [s.positions for s in sources], default_batch_tokens(read.device))()
    return picked.vectors.float()


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


def _ablated(made: Sequence[dict[str, Any]], sources: Sequence[Source], nla: NLA) -> pa.Table:
    """Variants of explanations with the error that each leaves of the vector it should rebuild."""
    places = _places(sources)
    index = {row: i for i, row in enumerate(dict.fromkeys(record["row"] for record in made))}
    alone = [replace(source, positions=[position]) for source, position in (places[row] for row in index)]
    vectors = vectors_of(nla, alone)[[index[record["row"]] for record in made]]
    errors = _errors(nla, [record["text"] for record in made], vectors)
    return rows([{**r, "doc_id": places[r["row"]][0].doc_id, "mse": e} for r, e in zip(made, errors, strict=True)])


def _places(sources: Sequence[Source]) -> list[tuple[Source, int]]:
    """The source and the position of every row of the table of explanations."""
    return [(source, position) for source in sources for position in source.positions]


def _facts(config: Survey, nla: NLA, baseline: Baseline, table: pa.Table) -> dict[str, str]:
    """What the survey rests on, in words."""
    facts = {"pair": nla.name, "site": str(nla.site), "baseline": str(baseline)}
    for kind in KINDS:
        docs = table.filter(pc.field("kind") == kind)["doc_id"]
        n, name = len(docs), config.texts if kind == "text" else config.chats
        if not n:
            facts[FILES[kind]] = f"left out: none that could be read in {name}"
            continue
        source = "the pocket world, episodes held out from training" if name == "pocket" else name
        found = f"{n:,} positions of {len(docs.unique()):,} {FILES[kind]} from {source}"
        short = f"; {config.n:,} were asked for, there were no more" if n < config.n else ""
        own = f"; assistant turns are M's own, greedy, at most {config.reply_tokens} tokens"
        facts[FILES[kind]] = found + short + (own if kind == "chat" and config.regenerate else "")
    facts["explanations"] = f"greedy, at most {config.max_tokens} tokens"
    facts["positions"] = f"at most {config.positions} a document, from the fifth token on, never special tokens"
    facts["seed"] = str(config.seed)
    return facts
