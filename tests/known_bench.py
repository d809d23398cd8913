"""A bench whose right answers are known: a tiny M, a few documents, and a pair that says and rebuilds as told."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import tiny
import torch

from thinkaloud.activations import Activations, extract
from thinkaloud.baseline import Baseline
from thinkaloud.evals.base import Bench, Evaluation, Measured
from thinkaloud.explanation import Explanation
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.site import Site

SITE = Site("resid_post", 2)
DOCS, EACH, LONG = 6, 8, 60


@dataclass
class Told(Reconstructor):
    """An AR that gives the vector it was told for each text."""

    of: dict[str, torch.Tensor] = field(default_factory=dict)

    def readable(self, texts: Sequence[str]) -> list[bool]:
        return [text in self.of for text in texts]

    def reconstruct(self, texts: Sequence[str], batch_tokens: int | None = None) -> Any:
        return torch.stack([self.of[text] for text in texts])


@dataclass
class Copying(NLA):
    """A pair that passes vectors on in full, each under a text of its own; `say` changes what is said."""

    say: Callable[[list[str]], list[str]] = list

    def explain(self, vectors: Any, n: int = 1, *_: Any, **__: Any) -> list[list[Explanation]]:
        told = self.reconstructor.of
        texts = [f"row {len(told) + i}" for i in range(len(vectors))]
        told |= dict(zip(texts, vectors, strict=True))
        return [[Explanation(text, text, (1, 2), (0.0, 0.0), "closed")] for text in self.say(texts)]


def documents(n: int = DOCS, long: int = LONG) -> list[str]:
    """Texts of random letters."""
    draw = np.random.default_rng(7)
    return ["".join(draw.choice(list("abcdefgh ."), long)) for _ in range(n)]


def bench(docs: int = DOCS, long: int = LONG, data: Activations | None = None, **more: Any) -> Bench:
    """The bench: `EACH` positions of every document, the pair copying."""
    model, tok = tiny.model("llama", max_position_embeddings=96), tiny.tokenizer()
    if data is None:
        data = extract(model, documents(docs, long), SITE, EACH, tok, min_position=4)
    ar = tiny.reconstructor()
    nla = Copying(tiny.verbalizer(), Told(ar.backbone, ar.head, ar.tokenizer, ar.contract))
    vars(nla).update(model=model, model_tokenizer=tok)
    said = [one[0] for one in nla.explain(data.vectors)]
    return Bench(nla, data, said, Baseline.of(data.vectors.numpy(), data.column("doc_id"), "these"), **more)


def told(one: Bench, vectors: torch.Tensor) -> None:
    """Have the AR give `vectors` for the explanations of the rows, in place of the rows' own."""
    told: Any = one.nla.reconstructor
    told.of |= dict(zip(one.texts, vectors, strict=True))


def measured(one: Bench, evaluation: Evaluation) -> Measured:
    """What the evaluation measures, with the table of explanations that goes with it."""
    made = evaluation.measure(one)
    own = made.to_pandas() if isinstance(made, pa.Table) else pd.DataFrame(list(made))
    said = {
        "row": range(len(one.data)),
        "sample": 0,
        "mse": one.mse(one.texts, range(len(one.data))),
        "doc_id": one.docs,
        "kind": ["chat" if i % 2 else "text" for i in range(len(one.data))],
        "tokens": [len(each.token_ids) for each in one.said],
    }
    return Measured(pd.DataFrame(said), own, one.baseline)


def results(one: Bench, evaluation: Evaluation) -> list[dict[str, Any]]:
    """Its rows of results, labels and quantities together."""
    return [{**labels, **found} for labels, found in evaluation.rows(measured(one, evaluation))]
