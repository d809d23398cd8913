"""The rows of a warm start: vectors with explanations, tokenised once, in an order that a step number determines."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud.activations import Activations, read_manifest
from thinkaloud.activations.store import check_vectors
from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError

WRITTEN = ("explanation", "writer")
_CHUNK = 16384
_HELD_KEY = 0  # draws held-out rows, whatever a run's seed: all runs on the same data are measured alike


@dataclass(frozen=True)
class Ragged:
    """Rows of token ids of different lengths, laid end to end: row i is `flat[offsets[i]:offsets[i + 1]]`."""

    flat: np.ndarray
    offsets: np.ndarray

    @classmethod
    def of(cls, texts: Sequence[str], encode: Callable[[Sequence[str]], list[list[int]]]) -> "Ragged":
        """Tokenise in chunks, so that Python lists of a whole corpus never exist at once."""
        parts, lengths = [], [np.zeros(1, np.int64)]
        for start in range(0, len(texts), _CHUNK):
            rows = encode(texts[start : start + _CHUNK])
            parts.append(np.concatenate([np.asarray(row, dtype=np.int32) for row in rows]))
            lengths.append(np.asarray([len(row) for row in rows], dtype=np.int64))
        return cls(np.concatenate(parts), np.cumsum(np.concatenate(lengths)))

    @property
    def lengths(self) -> np.ndarray:
        return np.diff(self.offsets)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, i: int) -> np.ndarray:
        return self.flat[self.offsets[i] : self.offsets[i + 1]]


@dataclass(frozen=True)
class Rows:
    """Vectors [n, d] float32, an explanation for each, and the baseline of the split they are from.

    `left_out` counts rows whose writer was asked and gave no text.
    """

    vectors: Float[Tensor, "n d"]
    texts: list[str]
    baseline: Baseline
    prefixes: list[str]
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.texts)

    def take(self, index: Sequence[int]) -> "Rows":
        rows = list(index)
        texts, prefixes = [self.texts[i] for i in rows], [self.prefixes[i] for i in rows]
        return Rows(self.vectors[torch.tensor(rows)], texts, self.baseline, prefixes)


def load_rows(directory: str | Path, split: str, seed: int, limit: int | None = None) -> tuple[Rows, Activations]:
    """The explained rows of a split; with `limit`, a sample of them, spread over the whole corpus.

    `seed` draws training rows. Held-out rows are the same for every run. Rows whose writer gave no text are left out.
    """
    seed = seed if split == "train" else _HELD_KEY
    columns = ["doc_id", *WRITTEN, *(["text"] if split == "heldout" else [])]
    found = drawn(directory, split, seed, limit, columns)
    found, texts = _explained(directory, whole := found)
    prefixes = found.column("text") if split == "heldout" else [""] * len(texts)
    return Rows(found.vectors, texts, found.baseline(split), prefixes, len(whole) - len(found)), found


def _explained(directory: str | Path, found: Activations) -> tuple[Activations, list[str]]:
    """Loaded rows with their written explanations, without those whose writer was asked and gave no text.

    UserError where a row waits for an explanation yet, or none has one.
    """
    texts, asked = found.column("explanation"), found.column("writer")
    waiting = sum(not text and writer is None for text, writer in zip(texts, asked, strict=True))
    if waiting == len(texts):
        raise UserError(f"{directory} has no explanations yet: run thinkaloud explain --data {directory}")
    if waiting:
        raise UserError(
            f"{directory}: {waiting} of {len(texts)} rows have no explanation; run thinkaloud explain again"
        )
    if not any(texts):
        raise UserError(f"{directory}: the writer gave no text for any of {len(texts)} rows: explain with another one")
    return found.filter([bool(text) for text in texts]), [text for text in texts if text]


@dataclass(frozen=True)
class Held:
    """Held-out vectors [n, d] float32, the texts up to them, the baseline of the split, and, where these were asked
    for, the written explanations.
    """

    vectors: Float[Tensor, "n d"]
    prefixes: list[str]
    baseline: Baseline
    written: list[str] = field(default_factory=list)


def load_held(directory: str | Path, limit: int, written: bool = False) -> tuple[Held, Held]:
    """At most `limit` held-out vectors, the same for every run, in two parts that share no document.

    The first is for choosing (the best step, when to stop), the second for the figures that are reported. UserError
    where all are of one document.
    """
    columns = ["doc_id", "text", *(WRITTEN if written else [])]
    found, said = drawn(directory, "heldout", _HELD_KEY, limit, columns), []
    if written:
        found, said = _explained(directory, found)
    docs, texts, baseline = found.column("doc_id"), found.column("text"), found.baseline("heldout")
    order = sorted(set(docs), key=lambda doc: blake2b(str(doc).encode(), digest_size=8).digest())
    if len(order) < 2:
        raise UserError(
            f"{directory}: the {len(docs)} held-out rows of an evaluation are of one document, two are needed: one to "
            "choose the best step by, one to report; raise --eval-rows, or extract more documents"
        )
    choosing = set(order[1::2])
    parts = [[i for i, doc in enumerate(docs) if (doc in choosing) == first] for first in (True, False)]
    first, second = (
        Held(found.vectors[mine], [texts[i] for i in mine], baseline, [said[i] for i in mine if written])
        for mine in parts
    )
    return first, second


def load_vectors(
    directory: str | Path, seed: int, limit: int | None, contexts: bool = False, written: bool = False
) -> tuple[Float[Tensor, "n d"], list[str], list[str]]:
    """The training vectors, float32, or `limit` of them drawn by `seed`; the texts up to them and their written
    explanations, where these are asked for.
    """
    columns = ["split", *(["text"] if contexts else []), *(WRITTEN if written else [])]
    found, said = drawn(directory, "train", seed, limit, columns), []
    if written:
        found, said = _explained(directory, found)
    return found.vectors, found.column("text") if contexts else [], said


def drawn(directory: str | Path, split: str, seed: int, limit: int | None, columns: Sequence[str]) -> Activations:
    """The rows of a split, or `limit` of them drawn by `seed` from the whole of it; no others are held in memory."""
    n = read_manifest(directory)["counts"]["splits"].get(split, {}).get("rows", 0)
    rows = None if limit is None or limit >= n else _permutation(n, seed, 1)[:limit]
    found = Activations.load(directory, split=split, columns=columns, rows=rows)
    check_vectors(found.vectors, found.vectors.shape[1])
    return found


def step_rows(step: int, n: int, batch: int, seed: int) -> list[int]:
    """The rows of a 0-based step: every epoch is a permutation of its own, its last batch may be short."""
    per_epoch = -(-n // batch)
    epoch, place = divmod(step, per_epoch)
    return _permutation(n, seed, 1000 + epoch)[place * batch : (place + 1) * batch].tolist()


@lru_cache(maxsize=1)
def _permutation(n: int, seed: int, draw: int) -> np.ndarray:
    return np.random.Generator(np.random.Philox(key=[seed, draw])).permutation(n)
