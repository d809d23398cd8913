"""The protocols of a writer (contexts in, explanation texts out) and of a language model (chats in, `Written` out)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from thinkaloud.errors import UserError
from thinkaloud.registry import Registry, suggest

Chat = Sequence[Mapping[str, str]]
"""Messages, each with its `role` and its `content`."""


@dataclass(frozen=True)
class Context:
    """All that a writer sees of one position.

    prefix: the text up to and including the final token, decoded; it may hold chat markers such as ``<|user|>``.
    token: the final token's own text, such as ``" the"``.
    next_tokens: the target model's own top next tokens as (text, probability), best first; empty where not asked for.
    is_chat: whether the document is a chat.
    """

    prefix: str
    token: str
    next_tokens: tuple[tuple[str, float], ...] = ()
    is_chat: bool = False


class Writer(Protocol):
    """Writes one explanation text for each context, in order."""

    @property
    def name(self) -> str:
        """Who writes, with a version, as ``"heuristic/1"``: part of every cache key and of the manifest."""
        ...

    def write(self, contexts: Sequence[Context]) -> Sequence[str | None]:
        """One text for each of ``contexts``, in the same order; None where there is none to be had."""
        ...


@dataclass(frozen=True)
class Usage:
    """Tokens that were read and written."""

    input: int = 0
    output: int = 0


@dataclass(frozen=True)
class Written:
    """An answer of a language model: its text as it came, why that is of no use (None: it is), and its usage."""

    text: str
    refusal: str | None = None
    usage: Usage = Usage()


class LanguageModel(Protocol):
    """Answers chats. It is registered as a class of (model, `Asking`), and loads nothing until it is asked."""

    @property
    def name(self) -> str:
        """Its kind and its model, as ``"openai:gpt-4.1-mini"``."""
        ...

    def request(self, chat: Chat) -> dict[str, Any]:
        """All that is asked of the model for a chat: what its answer is kept under, and what a dry run shows."""
        ...

    def answer(self, chats: Sequence[Chat], keep: Callable[[int, Written], None]) -> None:
        """Answer the chats, in any order; `keep` gets each one's place with its answer, as soon as it is there."""
        ...


@dataclass(frozen=True)
class FunctionWriter:
    """A function of contexts as a writer, under the name by which it is registered."""

    name: str
    write: Callable[..., list[str]]


class Writers(Registry[Any]):
    """Writers by name, without its version: classes that are made without arguments, and functions of contexts."""

    def find(self, name: str) -> Callable[[], Writer]:
        """What makes the writer of this name, or of the Python file `name`, when it is called."""
        if name not in self and ".py" not in name:
            raise UserError(f"no writer {name!r}{suggest(name, [*self, *(f'{kind}:MODEL' for kind in models)])}")
        part = super().find(name)
        return part if isinstance(part, type) else partial(FunctionWriter, part.name, part)


writer = Writers("writer", "thinkaloud.writers")

models: Registry[Any] = Registry("language model", "thinkaloud.writers")
"""Kinds of language models by name."""
