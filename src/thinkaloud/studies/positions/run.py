"""The tables of the study of positions: every position of some texts explained and rebuilt.

texts        the texts, their tokens, and their facts where they are known
readings     explanations of every position, their errors, the vectors
facts, words    when known facts and the words of the texts are named
"""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from thinkaloud import families
from thinkaloud.activations import read_corpus
from thinkaloud.activations.corpus import Document
from thinkaloud.activations.forward import vectors_at
from thinkaloud.activations.positions import special_ids
from thinkaloud.activations.tokens import Reader, encode
from thinkaloud.errors import UserError
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.scores import direction_mse, fve
from thinkaloud.pocket.probe import settled_token
from thinkaloud.pocket.world import Fact, episodes
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import examples
from thinkaloud.studies.positions import Positions
from thinkaloud.studies.positions.mentions import Records, facts_named, words_named

STREAM = 3_000_003  # held-out episodes that no other study or probe reads
PREFIX = 300  # characters of the text before a position that are kept for examples
PIECE = 4  # texts read at once: what a stop loses


def run(config: Positions, folder: Folder, nla: NLA) -> None:
    """Make the study's tables and results. A resumed run makes the same ones."""
    texts = folder.table("texts", lambda: text_table(config, nla)).to_pylist()
    readings = folder.pieces("readings", texts, PIECE, lambda some, _: read_table(config, nla, some))
    said, vectors = readings.drop_columns(["vector"]).to_pylist(), np.stack(readings["vector"].to_numpy())
    tables = {"facts": facts_named(texts, said), "words": words_named(texts, said)}
    for name, records in tables.items():
        if records:
            folder.table(name, lambda records=records: records)
    baseline = nla.baseline_for(vectors, [one["id"] for one in said], "the vectors read here")
    read = f"{len(texts):,} read, {sum(text['cut'] for text in texts):,} of them cut"
    empty = sum(not one["text"].strip() for one in said)
    facts = {"Texts": read, "Explanations": f"{len(said):,}, greedy, at all but special tokens; {empty:,} empty"}
    shown = [{**one, "fve": fve(one["mse"], baseline), "note": f"{one['family']}, {one['position']}"} for one in said]
    folder.keep({**config.facts(nla, baseline), **facts}, examples(shown), baseline=baseline.to_dict())


def text_table(config: Positions, nla: NLA) -> Records:
    """The texts of the study, each cut at config.longest tokens and at M's context; UserError where there are none."""
    tokenizer = nla.model_tokenizer
    limit = min(config.longest, families.context_length(nla.model))
    special, reader, found = set(special_ids(tokenizer).tolist()), Reader(tokenizer), list[dict[str, Any]]()
    for document, family, facts in _documents(config):
        whole = encode(tokenizer, [document])[0] or []
        ids = whole[:limit]
        places = [i for i, token in enumerate(ids) if token not in special]
        if not places:
            continue
        text, ends = reader.prefix(ids), _ends(reader, ids)
        if facts and not (document.text or "").startswith(text):
            raise UserError(
                f"this tokenizer does not give back the text of {document.id}, so its facts have no place: "
                "use texts other than pocket"
            )
        one = {"id": document.id, "family": family, "text": text, "ids": ids, "ends": ends, "places": places}
        one |= {"tokens": [reader.token(token) for token in ids], "cut": len(whole) > limit}
        found.append({**one, "facts": list(_in_tokens(facts, ends))})
        if len(found) == config.n:
            break
    if not found:
        raise UserError(
            f"no text to read in {config.texts}: the first {limit} tokens of each are special ones, or there is none; "
            "try a larger --longest or other texts"
        )
    return found


def read_table(config: Positions, nla: NLA, texts: Records) -> Records:
    """Every place of some texts explained and rebuilt."""
    vectors = vectors_at(nla.model, nla.site, [text["ids"] for text in texts], [text["places"] for text in texts])
    said = [row[0] for row in nla.explain(vectors, max_tokens=config.max_tokens)]
    mse = direction_mse(nla.reconstruct([one.text for one in said]), vectors).tolist()
    at = [
        {"id": text["id"], "family": text["family"], "position": place, "token": text["tokens"][place]}
        | {"prefix": text["text"][: text["ends"][place]][-PREFIX:]}
        for text in texts
        for place in text["places"]
    ]
    return [
        {**place, "text": one.text, "finish": one.finish, "mse": error, "vector": vector.numpy()}
        for place, one, error, vector in zip(at, said, mse, vectors, strict=True)
    ]


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


def _in_tokens(facts: Sequence[Fact], ends: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The facts that are settled within the tokens read."""
    for fact in facts:
        settled = settled_token(ends, fact)
        if settled < len(ends):
            at = len(ends) if fact.stated_at is None else int(np.searchsorted(ends, fact.stated_at, side="right"))
            stated = at if at < len(ends) else None
            yield {"name": fact.name, "value": fact.value, "settled": settled, "stated": stated}
