"""Gain over the tail: vectors of cut texts, and cross-fitted regressions of a vector from its tail and its words.

A vector is predicted as a multiple of each of its predictors, which all lie in its own space, and what that leaves by
ridge regression. So a predictor that is the vector counts in full, however few rows there are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy import ndarray
from torch import Tensor, nn

from thinkaloud.errors import UserError
from thinkaloud.evals.rereading import last_vectors
from thinkaloud.site import Site

FOLDS = 5
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 1e6)  # of the ridge, relative to the predictors' mean square
SHARES = (0.0, 0.3, 1.0)  # of what comes beside the first predictor, in the regression of what is left


def cut(ids: Sequence[int], k: int) -> list[int]:
    """The first token and the last `k`; all of them where there are no more."""
    return [*ids[:1], *ids[1:][-k:]]


def tail_text(tokenizer: Any, text: str, k: int) -> str:
    """The last `k` tokens of a text, as text."""
    ids = tokenizer.encode(text, add_special_tokens=False)[-k:]
    return tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)


def tail_vectors(model: nn.Module, site: Site, contexts: Sequence[Sequence[int]], k: int) -> Float[Tensor, "n d"]:
    """M's own vectors at the last token, with all but the first token and the last `k` cut away."""
    return last_vectors(model, site, [cut(ids, k) for ids in contexts])


def residuals(
    target: Float[Tensor, "n d"] | Float[ndarray, "n d"],
    predictors: Sequence[Float[Tensor, "n d"] | Float[ndarray, "n d"]],
    docs: Sequence[Any] | ndarray,
    seed: int = 0,
) -> Float[ndarray, " n"]:
    """Squared error of each direction predicted from those of `predictors`, by a regression of other documents alone.

    Its mean over V is 1 − FVE. Strengths are chosen within the other documents, each document again left out.
    UserError for one document.
    """
    y, xs = _directions(target), [_directions(x) for x in predictors]
    codes = np.unique(np.asarray(docs, dtype=str), return_inverse=True)[1]
    n_docs = int(codes.max()) + 1 if len(codes) else 0
    if n_docs < 2:
        raise UserError(
            f"what words say beyond the tail is learned on other documents: needs 2 or more, found {n_docs}"
        )
    fold = np.random.default_rng(seed).permutation(n_docs)[codes] % FOLDS
    out = np.zeros(len(y))
    for f in np.unique(fold):
        train, test = fold != f, fold == f
        if train.any():
            said = _predicted(y[train], [x[train] for x in xs], codes[train], [x[test] for x in xs])
            out[test] = np.square(y[test] - said).sum(axis=1)
    return out


def _predicted(y: ndarray, xs: list[ndarray], docs: ndarray, new: list[ndarray]) -> ndarray:
    """Directions of new rows: a multiple of each predictor, and ridge regression of what they leave."""
    mean, means = y.mean(axis=0), [x.mean(axis=0) for x in xs]
    y, xs = y - mean, [x - m for x, m in zip(xs, means, strict=True)]
    new = [x - m for x, m in zip(new, means, strict=True)]
    inner, across = [a @ a.T for a in xs], [b @ a.T for a, b in zip(xs, new, strict=True)]
    sizes = [max(float(np.trace(g)) / len(g), 1e-12) for g in inner]
    best, said = np.inf, np.zeros(new[0].shape)
    # The first predictor alone is a choice too, so that others which say nothing cost nothing.
    for used, shares in ((1, SHARES[:1]), (len(xs), SHARES)) if len(xs) > 1 else ((1, SHARES[:1]),):
        by = _multiples(y, xs[:used])
        left = y - sum(b * x for b, x in zip(by, xs, strict=False))
        plain = sum(b * x for b, x in zip(by, new, strict=False))
        for share in shares:
            weights = np.array([1.0, *[share] * (len(xs) - 1)]) / sizes
            values, basis = np.linalg.eigh(sum(w * g for w, g in zip(weights, inner, strict=True)))
            turned, values = basis.T @ left, np.maximum(values, 0)
            for strength in STRENGTHS:
                error = _left_out(left, basis, values / (values + strength), turned, docs)
                if error < best:
                    dual = basis @ (turned / (values + strength)[:, None])
                    best, said = error, plain + sum(w * g for w, g in zip(weights, across, strict=True)) @ dual
    return mean + said


def _multiples(y: ndarray, xs: list[ndarray]) -> ndarray:
    """How much of each predictor, one number each, is nearest to `y`."""
    gram = np.array([[np.vdot(a, b) for b in xs] for a in xs])
    return np.linalg.pinv(gram, hermitian=True) @ np.array([np.vdot(x, y) for x in xs])


def _left_out(left: ndarray, basis: ndarray, shrunk: ndarray, turned: ndarray, docs: ndarray) -> float:
    """Squared error of the ridge regression with each document left out of it, in closed form."""
    off = left - basis @ (shrunk[:, None] * turned)
    total = 0.0
    for doc in np.unique(docs):
        rows = docs == doc
        own = basis[rows]
        total += float(np.square(np.linalg.solve(np.eye(int(rows.sum())) - (own * shrunk) @ own.T, off[rows])).sum())
    return total


def _directions(vectors: Any) -> ndarray:
    """Rows of norm 1; zeros stay zeros."""
    rows = np.asarray(vectors, dtype=np.float64)
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def exchanged(texts: Sequence[str], others: Sequence[str], part: int) -> list[str]:
    """Each text with the line of this number of the other text; as it is where either has none."""
    lines = [[[line for line in text.split("\n") if line.strip()] for text in some] for some in (texts, others)]
    return [
        "\n".join([*own[:part], other[part], *own[part + 1 :]]) if part < min(len(own), len(other)) else text
        for own, other, text in zip(*lines, texts, strict=True)
    ]


def without(texts: Sequence[str], part: int) -> list[str]:
    """Each text without its line of this number; one with fewer lines, or with a single one, as it is."""
    lines = [[line for line in text.split("\n") if line.strip()] for text in texts]
    return [
        "\n".join(own[:part] + own[part + 1 :]) if part < len(own) > 1 else text
        for own, text in zip(lines, texts, strict=True)
    ]
