"""`Explanation`: text, finish reason, token log-probabilities, and parts with character spans."""

import re
from dataclasses import dataclass
from typing import Literal

from thinkaloud import sentences
from thinkaloud.contract import CLOSE, OPEN

Finish = Literal["closed", "cut", "eos"]

_BLANK_LINE = re.compile(r"\n[^\S\n]*\n")


def short(text: str, most: int = 60) -> str:
    """`text` as a literal, cut after `most` characters."""
    return repr(text if len(text) <= most else text[: most - 1] + "…")


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
    closes). `finish`: "closed" by its tag, "cut" at the token limit, "eos" ended without closing. `logprobs` are in
    nats, one a token of `token_ids`, under the temperature that was sampled with.

    >>> Explanation.parse("<explanation>\\nA sea story.</explanation>", (1, 2), (-0.5, -0.25), cut=False)
    Explanation('A sea story.', closed, 2 tokens)
    """

    text: str
    raw: str
    token_ids: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish

    def __repr__(self) -> str:
        return f"{type(self).__name__}({short(self.text)}, {self.finish}, {len(self.token_ids)} tokens)"

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
    gaps = [(match.start(), match.end()) for match in _BLANK_LINE.finditer(text)]
    starts, ends = [0, *(end for _, end in gaps)], [*(start for start, _ in gaps), len(text)]
    paragraphs = [
        Part("paragraph", start + len(piece) - len(piece.lstrip()), start + len(piece.rstrip()))
        for start, end in zip(starts, ends, strict=True)
        if (piece := text[start:end]).strip()
    ]
    said = [Part("sentence", *span) for span in sentences.spans(text)]
    return tuple(sorted([*paragraphs, *said], key=lambda part: (part.start, part.kind == "sentence")))
