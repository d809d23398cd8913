"""How far is an extraction, at what rate, and how long still? A line on a terminal, nothing in a pipe."""

import sys
import time
from typing import Any

from thinkaloud.activations.corpus import Corpus


class Progress:
    """A line on a terminal's standard error. The time left goes by documents where their number is limited, else by the
    share of the source's bytes behind the reader.
    """

    def __init__(self, what: str, corpus: Corpus, limit: int | None) -> None:
        self.what, self.corpus, self.limit = what, corpus, limit
        self.documents = self.tokens = 0
        self.shown = sys.stderr.isatty()
        self.started = time.monotonic()

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: Any) -> None:
        if self.shown and self.documents:
            sys.stderr.write("\n")

    def add(self, documents: int, tokens: int) -> None:
        self.documents += documents
        self.tokens += tokens
        if not self.shown:
            return
        seconds = time.monotonic() - self.started
        share = min(1.0, max(self.corpus.fraction or 0.0, self.documents / self.limit if self.limit else 0.0))
        left = f", {duration(seconds * (1 - share) / share)} left" if share else ""
        rate = self.tokens / max(seconds, 1e-9)
        line = f"{self.what}: {self.documents:,} documents, {self.tokens:,} tokens, {rate:,.0f} tokens/s{left}"
        sys.stderr.write(f"\r\x1b[K{line}")
        sys.stderr.flush()


def duration(seconds: float) -> str:
    """A length of time as a person says it: 42 s, 3 min, 2 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
