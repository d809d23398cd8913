"""Others that read the same vectors or texts, as claims: writers, a neighbour, a logit lens, linear probes."""

import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud import families
from thinkaloud.activations.tokens import Reader
from thinkaloud.evals.base import Bench, Measured
from thinkaloud.evals.controls import foreign_rows, nearest_rows
from thinkaloud.evals.marks import Says
from thinkaloud.models import lm
from thinkaloud.writers.base import Context
from thinkaloud.writers.claims import Claim, by_kind, certainty, parse
from thinkaloud.writers.ending import expected, name_token
from thinkaloud.writers.heuristic import claims_of

PAIR, SAMPLED = "the pair", "the pair, sampled"
WRITER, BLIND = "the writer, which sees text and next tokens", "the writer without M's next tokens"
NEIGHBOUR, OTHER = "the writer of the nearest vector's text", "the pair, of another document"
LENS, PROBES = "logit lens", "linear probes"
PROBED = ("next", "token", "role", "certainty", "genre", "speaker", "tense", "person", "container")
"""Kinds of claims that probes are fitted for."""
VALUES, LEAST, FOLDS = 40, 5, 4  # values of a kind that a probe tells apart, how often each is there, and folds
LENS_TOKENS = 5


def others(bench: Bench, kinds: Sequence[str] = PROBED) -> list[dict[str, Any]]:
    """For each activation its nearest neighbour of another document, a logit lens on it, and cross-fitted probes.

    `neighbour` is a row, `lens` and `lens_probs` are next tokens, `probe_KIND` a value, "" for any other or none.
    """
    several = len(set(bench.docs)) > 1
    truths = [by_kind(claims_of(context)) for context in bench.contexts]
    columns: dict[str, Sequence[Any]] = {"row": range(len(bench.data))}
    columns["neighbour"] = nearest_rows(bench.vectors, bench.docs).tolist() if several else [None] * len(bench.data)
    columns["lens"], columns["lens_probs"] = logit_lens(bench, bench.vectors)
    for i, kind in enumerate(kinds):
        bench.watch("linear probes", i, len(kinds))
        values = [truth.get(kind, "") for truth in truths]
        columns[f"probe_{kind}"] = cross_fitted(bench.vectors.numpy(), values, bench.docs, bench.seed)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


@torch.no_grad()
def logit_lens(bench: Bench, vectors: Float[Tensor, "n d"]) -> tuple[list[list[str]], list[list[float]]]:
    """The likeliest next tokens, and their probabilities, by M's final norm and head on the vectors themselves."""
    model = bench.nla.model
    weight, reader = families.embedding(model).weight, Reader(bench.nla.model_tokenizer)
    normed = families.final_norm(model)(vectors.to(weight.device, weight.dtype))
    ids, probs = lm.next_tokens(model, normed, LENS_TOKENS)
    return [[reader.token(one) for one in row] for row in ids.tolist()], probs.tolist()


def cross_fitted(x: Float[np.ndarray, "n d"], values: Sequence[str], docs: Sequence[Any], seed: int = 0) -> list[str]:
    """What a multinomial logistic regression reads off each vector, fitted on the vectors of other documents.

    It knows the commonest values only, and "" for all others.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    counts = Counter(filter(None, values)).most_common(VALUES)
    common = {value for value, n in counts if n >= LEAST}
    y = np.array([value if value in common else "" for value in values])
    groups = np.unique(np.asarray(docs).astype(str), return_inverse=True)[1]
    folds, out = min(FOLDS, len(set(groups))), np.full(len(y), "", dtype=y.dtype)
    if folds < 2 or not common:
        return out.tolist()
    for train, test in GroupKFold(folds, shuffle=True, random_state=seed).split(x, y, groups):
        if len(set(y[train])) < 2:
            out[test] = y[train][0]
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a probe that has not converged is a probe all the same
            probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01, max_iter=100))
            out[test] = probe.fit(x[train], y[train]).predict(x[test])
    return out.tolist()


def readers(found: Measured, contexts: Sequence[Context]) -> dict[str, Says]:
    """The claims of the pair and of everything it is held against, for the rows of the data."""
    said = [parse(text) for text in found.greedy["explanation"]]
    blind = [claims_of(replace(context, next_tokens=())) for context in contexts]
    written = list(map(claims_of, contexts))
    out: dict[str, Says] = {PAIR: dict(enumerate(said))}
    sampled = found.explanations[found.explanations["sample"] == 1]
    if len(sampled):
        out[SAMPLED] = {row: parse(text) for row, text in zip(sampled["row"], sampled["explanation"], strict=True)}
    out |= {WRITER: dict(enumerate(written)), BLIND: dict(enumerate(blind))}
    if len(set(found.docs)) > 1:
        away = foreign_rows(found.docs, found.seed)
        out[OTHER] = {row: said[i] for row, i in enumerate(away)}
        out[NEIGHBOUR] = {row: written[int(i)] for row, i in zip(found.own["row"], found.own["neighbour"], strict=True)}
    lens = zip(contexts, found.own["lens"], found.own["lens_probs"], strict=True)
    out[LENS] = {row: lens_claims(context, *tops) for row, (context, *tops) in enumerate(lens)}
    probes = {row["row"]: list(_probed(row)) for row in found.own.to_dict("records")}
    return out | {PROBES: probes}


def lens_claims(context: Context, tokens: Sequence[str], probs: Sequence[float]) -> list[Claim]:
    """What a logit lens says: next tokens, as surely as it puts them, and its first one as the last token."""
    tops = list(zip(tokens, probs, strict=True))
    named = [Claim("next", name) for name in expected(context.prefix, tops)]
    inside = len(context.prefix) > len(context.token) and context.prefix[-len(context.token) - 1].isalpha()
    return [Claim("token", name_token(tokens[0], inside, False)), Claim("certainty", certainty(probs[0])), *named]


def _probed(row: dict[str, Any]) -> Any:
    for kind in PROBED:
        if value := row.get(f"probe_{kind}"):
            yield Claim(kind, value)
