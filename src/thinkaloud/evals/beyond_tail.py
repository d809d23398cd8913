"""What words say beyond the tail: vectors of cut texts, and regressions from tail and words that never see their document.

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
STRENGTHS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)  # of the ridge, relative to the mean square of the predictors
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
    docs: Sequence[Any],
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
    gram = np.array([[np.vdot(a, b) for b in xs] for a in xs])
    by = np.linalg.pinv(gram, hermitian=True) @ np.array([np.vdot(x, y) for x in xs])
    left = y - sum(b * x for b, x in zip(by, xs, strict=True))
    inner, across = [a @ a.T for a in xs], [b @ a.T for a, b in zip(xs, new, strict=True)]
    sizes = [max(float(np.trace(g)) / len(g), 1e-12) for g in inner]
    best, chosen = float(np.square(left).sum()), None  # without any ridge
    for share in SHARES if len(xs) > 1 else SHARES[:1]:
        weights = [1.0, *[share] * (len(xs) - 1)]
        kernel = sum(w / size * g for w, size, g in zip(weights, sizes, inner, strict=True))
        values, basis = np.linalg.eigh(kernel)
        turned = basis.T @ left
        for strength in STRENGTHS:
            shrunk = np.maximum(values, 0) / (np.maximum(values, 0) + strength)
            error = _left_out(left, basis, shrunk, turned, docs)
            if error < best:
                best = error
                chosen = weights, basis @ (turned / (np.maximum(values, 0) + strength)[:, None])
    out = mean + sum(b * x for b, x in zip(by, new, strict=True))
    if chosen is not None:
        weights, dual = chosen
        out = out + sum(w / size * g for w, size, g in zip(weights, sizes, across, strict=True)) @ dual
    return out


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


def without(texts: Sequence[str], part: int) -> list[str]:
    """Each text without its line of this number; one with fewer lines, or with a single one, as it is."""
    lines = [[line for line in text.split("\n") if line.strip()] for text in texts]
    return [
        "\n".join(own[:part] + own[part + 1 :]) if part < len(own) > 1 else text
        for own, text in zip(lines, texts, strict=True)
    ]
