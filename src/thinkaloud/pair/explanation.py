"""What the verbalizer said: the text, how it ended, its log-probabilities, and its parts with exact character spans."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from thinkaloud.contract import CLOSE, OPEN

Finish = Literal["closed", "cut", "eos"]

# A sentence ends at . ! ? or … with its closing quotes or brackets before white space, or at a line break.
_SENTENCE = re.compile(r"[^\n]+?(?:[.!?…]+[\"')\]’”]*(?=\s)|(?=\n)|$)", re.MULTILINE)
_PARAGRAPH = re.compile(r"\S(?:.*?\S)?(?=\n[^\S\n]*\n|\s*\Z)", re.DOTALL)


@dataclass(frozen=True)
class Part:
    """A paragraph or a sentence: `text[start:end]` of the explanation it belongs to."""

    kind: Literal["paragraph", "sentence"]
    start: int
    end: int


@dataclass(frozen=True)
class Explanation:
    """One sampled explanation.

    `raw` is everything that was sampled, `text` what stands between the tags (or after the opening one, if it never
    closes). `finish`: "closed" by its tag, "cut" at the token limit, "eos" ended without closing. `logprobs` are in nats,
    one a token of `token_ids`, under the temperature that was sampled with.
    """

    text: str
    raw: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish

    @property
    def parts(self) -> tuple[Part, ...]:
        """Paragraphs and sentences in order of their start, each paragraph before its first sentence."""
        return split_parts(self.text)

    @property
    def logprob(self) -> float:
        """Log-probability of the whole sample, nats."""
        return sum(self.logprobs)

    @classmethod
    def parse(cls, raw: str, token_ids: tuple[int, ...], logprobs: tuple[float, ...], cut: bool) -> "Explanation":
        """An explanation from what was sampled; `cut` says that the token limit ended it."""
        closed = CLOSE in raw
        return cls(unwrap(raw), raw, token_ids, logprobs, "closed" if closed else "cut" if cut else "eos")


def wrap(text: str) -> str:
    """The response an AV is trained to give for an explanation."""
    return f"{OPEN}\n{text}\n{CLOSE}"


def unwrap(raw: str) -> str:
    """The explanation inside a response: between the tags, or what there is of it."""
    start = raw.find(OPEN)
    body = raw[start + len(OPEN) :] if start >= 0 else raw
    return body.split(CLOSE, 1)[0].strip()


def split_parts(text: str) -> tuple[Part, ...]:
    """Paragraphs (parted by blank lines) and sentences of `text`, with spans that hold no white space at their ends."""
    paragraphs = [Part("paragraph", m.start(), m.end()) for m in _PARAGRAPH.finditer(text)]
    sentences = list(_sentences(text))
    return tuple(sorted(paragraphs + sentences, key=lambda part: (part.start, part.kind == "sentence")))


def _sentences(text: str) -> Iterator[Part]:
    for match in _SENTENCE.finditer(text):
        raw = match.group()
        start = match.start() + len(raw) - len(raw.lstrip())
        end = match.start() + len(raw.rstrip())
        if start < end:
            yield Part("sentence", start, end)
