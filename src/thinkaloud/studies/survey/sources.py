"""Texts and chats of a survey: documents, positions, and regenerated assistant turns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, islice
from typing import Any, Literal

from thinkaloud.activations.corpus import Document, read_corpus
from thinkaloud.activations.positions import allowed_positions, choose_positions, special_ids
from thinkaloud.activations.tokens import encode, encode_chat, windows_of
from thinkaloud.chat import chat_ids
from thinkaloud.errors import UserError
from thinkaloud.pocket.world import episodes

Kind = Literal["text", "chat"]
MIN_POSITION = 4  # a model's first tokens have vectors unlike all others
SCANNED = 100_000  # documents passed in search of a kind before it counts as not there


@dataclass(frozen=True)
class Source:
    """A document as M reads it: its tokens, cut at M's context, and the positions that are read."""

    kind: Kind
    doc_id: str
    ids: Sequence[int]
    positions: Sequence[int]


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
        asked: list[tuple[int, list[int]]] = []
        for i, rest in enumerate(left):
            while rest and rest[0]["role"] != "assistant":
                made[i].append(rest.pop(0))
            if rest:
                prompt = _prompt(made[i], tokenizer)
                if prompt is None or len(prompt) >= context:
                    rest.clear()
                else:
                    asked.append((i, prompt))
        for (i, _), text in zip(asked, reply([prompt for _, prompt in asked]) if asked else [], strict=True):
            made[i].append({**left[i].pop(0), "content": text})
    return made


def _prompt(messages: Sequence[dict[str, Any]], tokenizer: Any) -> list[int] | None:
    if not messages or encode_chat(tokenizer, messages) is None:
        return None
    return chat_ids(tokenizer, messages, generation_prompt=True)
