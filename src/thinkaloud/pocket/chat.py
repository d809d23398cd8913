"""Chat template of the pocket model: a chat as the plain text that it reads."""

from collections.abc import Iterable, Mapping
from importlib.resources import files

from thinkaloud.errors import UserError

BOS = "<|bos|>"
END = "<|end|>"
ROLES = ("system", "user", "assistant")

CHAT_TEMPLATE = files("thinkaloud.pocket").joinpath("chat_template.jinja").read_text(encoding="utf-8").rstrip()
"""Jinja template for a Hugging Face tokenizer: `<|bos|>` once, then exactly what `render` gives."""


def opening(role: str) -> str:
    """The tag that starts a message of `role`."""
    if role not in ROLES:
        raise UserError(f"expected a role, {', '.join(ROLES)}; found {role!r}")
    return f"<|{role}|>"


def render(messages: Iterable[Mapping[str, str]]) -> str:
    """The chat as text, every message as `<|role|>content<|end|>`, without the leading `<|bos|>`.

    UserError for a role other than system, user and assistant.
    """
    return "".join(f"{opening(m['role'])}{m['content']}{END}" for m in messages)
