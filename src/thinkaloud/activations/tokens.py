"""Token sequences (windows) of documents, and the text of their tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thinkaloud.activations.corpus import Document
from thinkaloud.activations.positions import allowed_positions, choose_positions
from thinkaloud.chat import chat_ids
from thinkaloud.errors import UserError


@dataclass(frozen=True)
class Window:
    """A run of a document's tokens as the model sees it.

    `start` is the index of its first token in the tokenised document (0 where the document is whole), `truncated` says
    that the document went on beyond the model's context and was cut there, `chat` that the document is a chat. A later
    window may begin with `head` tokens (the BOS) that stand before the first window already.
    """

    doc_id: str
    start: int
    ids: list[int]
    truncated: bool = False
    chat: bool = False
    head: int = 0

    def positions_of(self, places: Sequence[int]) -> list[int]:
        """Positions in this window of those `places` of the document that lie in it."""
        return [p - self.start + self.head for p in places if 0 <= p - self.start < len(self.ids) - self.head]


def encode(tokenizer: Any, documents: Sequence[Document]) -> list[list[int] | None]:
    """Token ids of each document: texts with the tokenizer's special tokens, chats by its template in one step.

    None for a chat that the template refuses (roles in an order it does not know).
    """
    texts = [document.text for document in documents if document.text is not None]
    encoded = iter(tokenizer(texts, return_attention_mask=False, verbose=False)["input_ids"] if texts else ())
    return [
        list(next(encoded)) if document.messages is None else encode_chat(tokenizer, document.messages)
        for document in documents
    ]


def encode_chat(tokenizer: Any, messages: Sequence[dict[str, Any]]) -> list[int] | None:
    """A chat's ids by the template; None if it is refused."""
    from jinja2 import TemplateError

    if not getattr(tokenizer, "chat_template", None):
        raise UserError("the tokenizer has no chat template: chats need one; use plain text, or a chat model")
    try:
        return chat_ids(tokenizer, messages)
    except TemplateError:
        return None


def windows_of(document: Document, ids: list[int], bos: int | None, size: int | None, context: int) -> list[Window]:
    """The windows of a tokenised document: consecutive ones of `size` tokens, each beginning with the BOS that the
    document has, or without `size` one, cut at the context length.
    """
    chat = document.messages is not None
    if size is None:
        return [Window(document.id, 0, ids[:context], len(ids) > context, chat)] if ids else []
    head = ids[:1] if bos is not None and ids[:1] == [bos] else []
    first, step = len(head), size - len(head)
    return [
        Window(document.id, s if s > first else 0, head + ids[s : s + step], chat=chat, head=first if s > first else 0)
        for s in range(first, len(ids), step)
    ]


def places_drawn(
    windows: Sequence[Window], seed: int, n: int | None, passed_over: np.ndarray, minimum: int
) -> list[list[int]]:
    """`n` positions of each window (None: all) from `minimum` on, whose tokens are not `passed_over`."""
    allowed = (allowed_positions(window.ids, passed_over, minimum) for window in windows)
    return [choose_positions(seed, w.doc_id, a, n, w.start) for w, a in zip(windows, allowed, strict=True)]


def windows_to_read(
    document: Document, ids: list[int] | None, bos: int | None, size: int | None, context: int, name: str
) -> list[Window]:
    """The windows of a text that is read whole or not at all; UserError, with its `name`, where it cannot be."""
    if ids is None:
        raise UserError(f"the chat template refuses {name}: check the order of the roles")
    if not ids or document.text == "":
        raise UserError(f"{name} is empty: nothing to read")
    if size is not None and not 2 <= size <= context:
        raise UserError(f"a window must be of 2 to {context} tokens, the model's context; found {size}")
    if size is None and len(ids) > context:
        raise UserError(
            f"{name} has {len(ids)} tokens, the model's context is {context}: shorten it, or read it window by window "
            f"(--window {context})"
        )
    return windows_of(document, ids, bos, size, context)


class Reader:
    """How a tokenizer's ids read as text: single tokens with their leading space, and prefixes."""

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        # Some tokenizers drop the first token's leading space: read each token after an anchor, then take that off.
        self._anchor = tokenizer.encode("a", add_special_tokens=False)[-1:]
        self._anchor_text = self._decode(self._anchor)
        self._tokens: dict[int, str] = {}

    def token(self, token_id: int) -> str:
        """The text of one token (U+FFFD for a part of a character)."""
        if token_id not in self._tokens:
            text = self._decode([*self._anchor, token_id])
            starts = text.startswith(self._anchor_text)
            self._tokens[token_id] = text[len(self._anchor_text) :] if starts else self._decode([token_id])
        return self._tokens[token_id]

    def prefix(self, ids: Sequence[int]) -> str:
        """The text of `ids`, chat markers included, without the leading BOS."""
        start = 1 if ids and ids[0] == self.tokenizer.bos_token_id else 0
        return self._decode(list(ids[start:]))

    def _decode(self, ids: Sequence[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def tokens_of(tokenizer: Any, content: str | Sequence[dict[str, Any]]) -> tuple[str, ...]:
    """Every token of a text or chat as the model sees it, each decoded alone."""
    whole = isinstance(content, str)
    document = Document("text", text=content) if whole else Document("text", messages=tuple(content))
    reader = Reader(tokenizer)
    return tuple(reader.token(token_id) for token_id in encode(tokenizer, [document])[0] or ())
