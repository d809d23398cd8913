"""Chats with the assistant's turns written anew by M: each answers what stands before it, replies included."""

import json
from collections.abc import Callable, Sequence
from typing import Any

from thinkaloud.activations.corpus import Document
from thinkaloud.activations.tokens import encode_chat
from thinkaloud.chat import chat_ids
from thinkaloud.errors import UserError
from thinkaloud.models import lm
from thinkaloud.pair.nla import NLA
from thinkaloud.studies.folder import Folder

AT_ONCE = 512  # chats whose turns are written together: each turn waits for the longest

Messages = Sequence[dict[str, Any]]


def regenerated(chats: Sequence[Document], nla: NLA, folder: Folder, reply_tokens: int, context: int) -> list[Document]:
    """The chats with M's own greedy turns; every finished piece of them is kept in the folder."""
    tokenizer = nla.model_tokenizer

    def replies(prompts: list[list[int]]) -> list[str]:
        made = lm.greedy(nla.model, tokenizer, prompts, reply_tokens)
        return [tokenizer.decode(one.ids, skip_special_tokens=True) for one in made]

    def make(some: Sequence[Document], _: int) -> list[dict[str, Any]]:
        own = with_own_turns([document.messages or () for document in some], tokenizer, replies, context)
        return [{"doc_id": d.id, "messages": json.dumps(m)} for d, m in zip(some, own, strict=True)]

    told = folder.pieces("replies", chats, AT_ONCE, make).to_pylist()
    renewed = (Document(r["doc_id"], messages=tuple(json.loads(r["messages"]))) for r in told)
    return [document for document in renewed if document.messages]


def with_own_turns(
    chats: Sequence[Messages], tokenizer: Any, reply: Callable[[list[list[int]]], list[str]], context: int
) -> list[list[dict[str, Any]]]:
    """The chats with each turn of the assistant replaced by `reply` to what stands before it.

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
