"""Benches of pairs whose truth is known: explanations that are given, and an AR that is a plain function of them."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any
from zlib import crc32

import numpy as np
import pandas as pd
import pyarrow as pa
import tiny
import torch
from torch import Tensor

from thinkaloud.activations import Activations
from thinkaloud.baseline import Baseline
from thinkaloud.config.groups import FAIL_MSE
from thinkaloud.evals.base import Bench, Evaluation, Measured, Row
from thinkaloud.explanation import Explanation, wrap
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.site import Site

WIDTH = 32
SUBJECTS = ["captain", "boat", "horse", "garden", "letter", "window", "river", "teacher", "engine", "candle"]
TOKENS = (" the", " and", " of")


def direction(key: str) -> Tensor:
    """A vector of its own for each key."""
    return torch.randn(WIDTH, generator=torch.Generator().manual_seed(crc32(key.encode())))


class Reads(Reconstructor):
    """An AR that is a function of texts; it cannot read one that says "unreadable"."""

    def __init__(self, of: Callable[[str], Tensor]) -> None:
        ar = _tiny()
        super().__init__(ar.backbone, ar.head, ar.tokenizer, ar.contract)
        self.of = of

    def readable(self, texts: Sequence[str]) -> list[bool]:
        return ["unreadable" not in text for text in texts]

    def reconstruct(self, texts: Sequence[str], batch_tokens: int | None = None) -> Tensor:
        return torch.stack([self.of(text) for text in texts])


@cache
def _tiny() -> Reconstructor:
    return tiny.reconstructor()


def said_of(i: int) -> str:
    """An explanation as the writers put it, another one for each row."""
    subject, token = SUBJECTS[i % len(SUBJECTS)], TOKENS[i % len(TOKENS)].strip()
    return (
        f"Plain prose, about the {subject}, naming Laura {i}.\n"
        f'Early in a main clause: "the {subject} number {i} {token}"\n'
        f'Ends on "{token}", an article; next is very likely "{subject}".'
    )


def bench(
    ar: Callable[[str], Tensor],
    vectors: Tensor | None = None,
    texts: Sequence[str] | None = None,
    docs: int = 10,
    n: int = 40,
    second: Callable[[str], Tensor] | None = None,
    next_tokens: bool = True,
    finish: Any = "closed",
) -> Bench:
    """`n` activations of `docs` documents, explained; the vectors, if not given, are what the AR makes of those."""
    said = [said_of(i) for i in range(n)] if texts is None else list(texts)
    n = len(said)
    at = torch.stack([ar(text) for text in said]) if vectors is None else vectors
    columns: dict[str, Any] = {
        "doc_id": [f"doc-{i % docs}" for i in range(n)],
        "text": [f"The {SUBJECTS[i % 10]} number {i}{TOKENS[i % 3]}" for i in range(n)],
        "token": [TOKENS[i % 3] for i in range(n)],
        "chat": [False] * n,
    }
    if next_tokens:
        columns |= {"next_tokens": [[" door", " house"]] * n, "next_probs": [[0.6, 0.2]] * n}
    nla = NLA(tiny.closing_verbalizer(), Reads(ar), name="tiny")
    unit = torch.nn.functional.normalize(at, dim=-1)
    v = float(1 - unit.mean(dim=0).square().sum())
    return Bench(
        nla,
        Activations(at, pa.table(columns), Site("resid_post", 2)),
        [Explanation(text, wrap(text), (1,), (0.0,), finish) for text in said],
        Baseline(v if v > 1e-6 else 0.0, n, docs, "made"),
        max_tokens=24,
        second=Reads(second) if second else None,
    )


def measured(evaluation: Evaluation, of: Bench) -> Measured:
    """The tables of an evaluation, as a run makes them."""
    mse = np.where(of.valid, of.mse(of.texts, range(len(of.said))), FAIL_MSE)
    said = {"row": range(len(of.said)), "sample": 0, "explanation": of.texts, "mse": mse, "valid": of.valid}
    own = evaluation.measure(of)
    table = pd.DataFrame({**said, "doc_id": of.docs, "text": of.data.column("text")})
    return Measured(table, pd.DataFrame(list(own)), of.baseline)


def results(evaluation: Evaluation, of: Bench) -> dict[str, dict[str, Any]]:
    """The rows of an evaluation by their label."""
    found: list[Row] = list(evaluation.rows(measured(evaluation, of)))
    return {str(next(iter(labels.values()))): dict(quantities) for labels, quantities in found}
