"""The survey's tables: documents → positions explained → paragraphs ablated; and the data set that is published."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate, islice
from typing import Any, Literal

import pyarrow as pa
import pyarrow.compute as pc
from jaxtyping import Float
from torch import Tensor

from thinkaloud import families
from thinkaloud.activations.corpus import Document, read_corpus
from thinkaloud.activations.forward import vectors_at
from thinkaloud.activations.positions import allowed_positions, choose_positions, special_ids
from thinkaloud.activations.tokens import Reader, encode, encode_chat, windows_of
from thinkaloud.baseline import Baseline
from thinkaloud.chat import chat_ids
from thinkaloud.errors import UserError
from thinkaloud.models import lm
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.scores import fve, text_mse
from thinkaloud.pocket.world import episodes
from thinkaloud.studies.folder import Folder, Watch, rows
from thinkaloud.studies.page import Example, at_quartiles
from thinkaloud.studies.survey import Survey, paragraphs
from thinkaloud.studies.survey.published import FILES, PREFIX, SCHEMA, publish
from thinkaloud.studies.survey.tokens import TokenClasses

DOCUMENTS_AT_ONCE = 128
VARIANTS_AT_ONCE = 2048

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


def with_own_turns(
    chats: Sequence[Sequence[dict[str, Any]]],
    tokenizer: Any,
    reply: Callable[[list[list[int]]], list[str]],
    context: int,
) -> list[list[dict[str, Any]]]:
    """The chats with each turn of the assistant replaced by `reply` to what stands before it, replies included.

    A chat ends where the context has no room for a reply, or where the template refuses what stands before one.
    """
    if not getattr(tokenizer, "chat_template", None):
        raise UserError(
            "regenerating turns needs a tokenizer with a chat template: use --no-regenerate, or a chat model"
        )
    made: list[list[dict[str, Any]]] = [[] for _ in chats]
    left = [list(chat) for chat in chats]
    while any(left):
        asked: dict[int, list[int]] = {}
        for i, rest in enumerate(left):
            while rest and rest[0]["role"] != "assistant":
                made[i].append(rest.pop(0))
            readable = bool(rest and made[i]) and encode_chat(tokenizer, made[i]) is not None
            prompt = chat_ids(tokenizer, made[i], generation_prompt=True) if readable else []
            if 0 < len(prompt) < context:
                asked[i] = prompt
            else:
                rest.clear()
        for i, text in zip(asked, reply(list(asked.values())) if asked else [], strict=True):
            made[i].append({**left[i].pop(0), "content": text})
    return made
