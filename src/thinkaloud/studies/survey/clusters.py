"""Clusters of paragraph skeletons (templates) and of sentences (themes)."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from thinkaloud.explanation import split_parts
from thinkaloud.writers.wordlists import FUNCTION

QUOTATION = re.compile(r'"[^"\n]*"|“[^”\n]*”|(?<!\w)‘[^’\n]*’(?!\w)')
_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_TOKEN = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*|[^\w\s]")
_WORD = r"[^\W\d_]{2,}(?:['’][^\W\d_]+)*"
GAP, QUOTED, NUMBER = "_", "…", "#"


@dataclass(frozen=True)
class Cluster:
    """A cluster: which texts are in it, the nearest one to its centre, and its most telling content words."""

    members: Int[np.ndarray, " n"]
    nearest: int
    words: tuple[str, ...]


@dataclass(frozen=True)
class Clustering:
    """Clusters, the largest first. `agreement` is the adjusted Rand index with a second run under another seed."""

    clusters: tuple[Cluster, ...]
    agreement: float


def skeletons(texts: Sequence[str], common: float = 0.02) -> list[str]:
    """The texts with quotations as …, numbers as # and content words as _ (several in a row as one).

    Content words are those that fewer than a share `common` of the texts hold: what a template says again and again
    stays, what it is filled with goes.
    """
    masked = [_NUMBER.sub(NUMBER, QUOTATION.sub(QUOTED, text)) for text in texts]
    holding = Counter(word for text in masked for word in {w.lower() for w in _TOKEN.findall(text)})
    kept = {word for word, n in holding.items() if n >= max(2, common * len(texts))}
    return [" / ".join(_skeleton(line, kept) for line in text.splitlines() if line.strip()) for text in masked]


def _skeleton(line: str, kept: set[str]) -> str:
    out: list[str] = []
    for word in _TOKEN.findall(line):
        shown = word if word.lower() in kept or not word[0].isalpha() else GAP
        if not (shown == GAP and out and out[-1] == GAP):
            out.append(shown)
    return re.sub(r" ([,.;:!?)\]])", r"\1", " ".join(out))


def sentences(text: str) -> list[str]:
    """The sentences of an explanation."""
    return [text[part.start : part.end] for part in split_parts(text) if part.kind == "sentence"]


def cluster(texts: Sequence[str], n: int, seed: int, words: bool = True) -> Clustering:
    """At most `n` clusters of texts by k-means on TF-IDF, each distinct text weighted by how often it occurs.

    `words` compares texts by their words and names the most telling ones, else by runs of one to three of their marks
    and words, as for skeletons.
    """
    from sklearn.cluster import KMeans
    from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer
    from sklearn.metrics import adjusted_rand_score

    distinct, where = np.unique(np.asarray(texts, dtype=object).astype(str), return_inverse=True)
    number: Any = np.float64
    pattern, runs = (_WORD, (1, 1)) if words else (r"\S+", (1, 3))
    vectorizer = CountVectorizer(token_pattern=pattern, ngram_range=runs, max_features=20_000, dtype=number)
    try:
        counts = vectorizer.fit_transform(distinct)
    except ValueError:  # no text holds a word
        return Clustering((), float("nan"))
    features = TfidfTransformer(sublinear_tf=True).fit_transform(counts)
    weights = np.bincount(where).astype(float)
    n = min(n, len(distinct))
    starts: Any = 3  # of k-means, the best of which is kept
    first, second = (
        KMeans(n, n_init=starts, random_state=start).fit(features, sample_weight=weights) for start in (seed, seed + 1)
    )
    labels = np.asarray(first.labels_)
    agreement = float(adjusted_rand_score(labels[where], np.asarray(second.labels_)[where]))
    held = ((labels == np.arange(n)[:, None]) * weights) @ counts
    scores, vocabulary = telling(held), vectorizer.get_feature_names_out().tolist()
    found: list[Cluster] = []
    for k in np.unique(labels):
        own = np.flatnonzero(labels == k)
        near = own[np.argmax(features[own] @ first.cluster_centers_[k])]
        order = np.argsort(-scores[k], kind="stable").tolist() if words else []
        best = [j for j in order if scores[k][j] > 0 and held[k][j] > 0 and vocabulary[j] not in FUNCTION][:6]
        members = np.flatnonzero(labels[where] == k)
        found.append(Cluster(members, int(np.flatnonzero(where == near)[0]), tuple(vocabulary[j] for j in best)))
    return Clustering(tuple(sorted(found, key=lambda c: (-len(c.members), c.nearest))), agreement)


def telling(counts: Float[np.ndarray, "k v"]) -> Float[np.ndarray, "k v"]:
    """How telling each word is of each group: the z-score of its log odds against the others, all groups as the prior.

    Monroe, Colaresi and Quinn, Fightin' Words, Political Analysis 16, 2008, equations 16 and 22.
    """
    prior = counts.sum(axis=0) + 0.01
    prior = prior * (max(1.0, float(np.sqrt(prior.sum()))) / prior.sum())
    inside, outside = counts + prior, counts.sum(axis=0) - counts + prior
    with np.errstate(divide="ignore", invalid="ignore"):  # a vocabulary of one word tells nothing: NaN
        odds = np.log(inside / (inside.sum(axis=1, keepdims=True) - inside))
        against = np.log(outside / (outside.sum(axis=1, keepdims=True) - outside))
        return (odds - against) / np.sqrt(1 / inside + 1 / outside)
