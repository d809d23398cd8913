"""Texts as tokens with their facts, explained and rebuilt at every position."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from operator import itemgetter
from typing import Any

import numpy as np
import pyarrow as pa

from thinkaloud import families
from thinkaloud.activations import read_corpus
from thinkaloud.activations.corpus import Document
from thinkaloud.activations.forward import Pass, default_batch_tokens
from thinkaloud.activations.positions import special_ids
from thinkaloud.activations.tokens import Reader, encode
from thinkaloud.errors import UserError
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.scores import direction_mse
from thinkaloud.pocket.probe import settled_token
from thinkaloud.pocket.world import Fact, episodes
from thinkaloud.studies.positions import Positions

# Held-out episodes that no other study or probe reads.
STREAM = 3_000_003

Records = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Known:
    """A fact of a text in tokens: the one that settles it, and the first of its statement (None if none is read)."""

    name: str
    value: str
    settled: int
    stated: int | None


@dataclass(frozen=True)
class Text:
    """What is read of a text. `ends`: the characters of `text` at which its tokens end. `places`: those read."""

    id: str
    family: str
    text: str
    ids: list[int]
    tokens: list[str]
    ends: list[int]
    places: list[int]
    facts: Sequence[Known] = ()
    cut: bool = False

    def token_at(self, character: int) -> int:
        """The token that holds a character."""
        return int(np.searchsorted(self.ends, character, side="right"))


def text_table(config: Positions, nla: NLA) -> pa.Table:
    """The texts of the study, each cut at config.longest tokens and at M's context; UserError where there are none."""
    tokenizer = nla.model_tokenizer
    limit = min(config.longest, families.context_length(nla.model))
    special, reader, found = set(special_ids(tokenizer).tolist()), Reader(tokenizer), []
    for document, family, facts in _documents(config):
        whole = encode(tokenizer, [document])[0]
        ids = (whole or [])[:limit]
        places = [i for i, token in enumerate(ids) if token not in special]
        if not places:
            continue
        text, ends = reader.prefix(ids), _ends(reader, ids)
        if facts and not (document.text or "").startswith(text):
            raise UserError(
                f"this tokenizer does not give back the text of {document.id}, so its facts have no place: "
                "use texts other than pocket"
            )
        found.append(
            {
                "id": document.id,
                "family": family,
                "text": text,
                "ids": ids,
                "tokens": [reader.token(token) for token in ids],
                "ends": ends,
                "places": places,
                "facts": json.dumps([asdict(fact) for fact in _in_tokens(facts, ends)]),
                "cut": len(whole or []) > limit,
            }
        )
        if len(found) == config.n:
            break
    if not found:
        raise UserError(
            f"no text to read in {config.texts}: the first {limit} tokens of each are special ones, or there is none; "
            "try a larger --longest or other texts"
        )
    return pa.Table.from_pylist(found)


def texts_of(table: Records) -> list[Text]:
    """The records of the table of texts."""
    return [Text(**{**row, "facts": [Known(**fact) for fact in json.loads(row["facts"])]}) for row in table]


def read_table(config: Positions, nla: NLA, texts: Sequence[Text], start: int) -> pa.Table:
    """Every place of some texts explained and rebuilt. `start`, the number of the first text, decides what is drawn."""
    run = Pass(nla.model, nla.site)
    tokens, places = [text.ids for text in texts], [text.places for text in texts]
    vectors = run(tokens, places, default_batch_tokens(run.device))().vectors.float()
    # Draws depend on a vector's place within the call, so each call has its own seed.
    seed = int.from_bytes(hashlib.blake2b(f"{config.seed}|{start}".encode(), digest_size=6).digest(), "big")
    temperature = 0.0 if config.samples == 1 else 1.0
    explained = nla.explain(vectors, config.samples, temperature, seed, config.max_tokens)
    said = [explanation for row in explained for explanation in row]
    rebuilt = nla.reconstruct([explanation.text for explanation in said])
    mse = direction_mse(rebuilt, vectors.repeat_interleave(config.samples, dim=0)).tolist()
    at = [(text, place, sample) for text in texts for place in text.places for sample in range(config.samples)]
    return pa.Table.from_pylist(
        [
            {
                "id": text.id,
                "family": text.family,
                "position": place,
                "sample": sample,
                "text": explanation.text,
                "finish": explanation.finish,
                "mse": error,
                "vector": None if sample else vectors[i // config.samples].numpy(),
            }
            for i, ((text, place, sample), explanation, error) in enumerate(zip(at, said, mse, strict=True))
        ]
    )


def _documents(config: Positions) -> Iterator[tuple[Document, str, tuple[Fact, ...]]]:
    if config.texts == "pocket":
        for i, episode in enumerate(episodes(config.seed + STREAM, config.n, "heldout")):
            yield Document(f"world-{i}", text=episode.text), episode.family, episode.facts
        return
    seen: set[str] = set()
    for document in read_corpus(config.texts):
        if document.id not in seen:
            seen.add(document.id)
            yield document, "text" if document.messages is None else "chat", ()


def _ends(reader: Reader, ids: Sequence[int]) -> list[int]:
    """Where each token ends in the text of all of them; a part of a character ends where the character does not yet."""
    lengths = [len(reader.prefix(ids[: i + 1])) for i in range(len(ids))]
    return np.minimum.accumulate(lengths[::-1])[::-1].tolist()


def _in_tokens(facts: Sequence[Fact], ends: Sequence[int]) -> Iterator[Known]:
    """The facts that are settled within the tokens read."""
    for fact in facts:
        settled = settled_token(ends, fact)
        if settled < len(ends):
            stated = None if fact.stated_at is None else int(np.searchsorted(ends, fact.stated_at, side="right"))
            yield Known(fact.name, fact.value, settled, stated if stated is not None and stated < len(ends) else None)


def by_text(said: Records) -> dict[str, list[Mapping[str, Any]]]:
    """The explanations of each text, which stand together."""
    return {text: list(some) for text, some in groupby(said, key=itemgetter("id"))}
