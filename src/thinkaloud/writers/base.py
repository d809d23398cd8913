"""The protocol of a writer: contexts in, explanation texts out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from thinkaloud.registry import Registry


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

    def write(self, contexts: Sequence[Context]) -> list[str]:
        """One text for each of ``contexts``, in the same order."""
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
        part = super().find(name)
        return part if isinstance(part, type) else partial(FunctionWriter, part.name, part)


writer = Writers("writer", "thinkaloud.writers")
