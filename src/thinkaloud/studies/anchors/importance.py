"""Counterfactual importance of sentences: differences of outcomes and KL divergences between rollouts.

After Bogdan et al., "Thought Anchors: Which LLM Reasoning Steps Matter?", 2025. A prefix of sentences is continued once
for both sides of a comparison: what sentence i is kept with is what sentence i + 1 is drawn anew from.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from thinkaloud.studies.anchors.taxonomy import classes

Rows = Sequence[Mapping[str, Any]]
Frame = Any
"""A pandas DataFrame, or a column of it: type checkers take every selection for either."""

KEY = ["problem", "place", "sentence"]
SHUFFLES = 100  # of the rollouts of both sides, for what a KL divergence is by chance
PSEUDO = 0.5  # added to every count, so that what was seen on one side alone leaves the divergence finite


def closed(explained: Rows) -> Rows:
    """The explanations that end by themselves and have a sentence."""
    return [row for row in explained if row["finish"] == "closed" and row["ends"]]


def sentences(texts: Rows) -> Frame:
    """A row for each sentence of explanations or solutions: where it stands, its words, its classes, and whether its
    effect is what it says itself (`own`): a sentence that is the whole of the last line, or states the answer.
    """
    keys = ("problem", "place", "right")
    return pd.DataFrame(
        [
            {key: row[key] for key in keys}
            | {"sentence": i, "of": len(row["ends"]), "words": words, "own": own, "classes": classes(words)}
            for row in texts
            for i, (words, own) in enumerate(zip(row["sentences"], row["own"], strict=True))
        ]
    )


def importances(
    sentences: Frame,
    rollouts: Frame,
    similar: Frame,
    threshold: float,
    outcomes: Sequence[str],
    deleted: Frame | None = None,
    seed: int = 0,
) -> Frame:
    """`sentences` (KEY and `words`) with the importance of each for every outcome, and by KL divergence.

    `rollouts` continue a prefix of `kept` sentences with one that was `drawn`. counterfactual_X: the mean of X with the
    sentence kept, less its mean where another was drawn in its place, whose similarity to it is below `threshold`;
    `other` is how many those are. plain_X: less its mean whatever was drawn. after_X counts what follows the sentence
    alone. counterfactual_kl and plain_kl: D_KL(drawn ‖ kept) of what the rollouts come to (`says`), above chance.
    deletion_X, from `deleted`: X of the text as it is less that without the sentence. NaN: nothing to compare with.
    """
    kept = rollouts.assign(sentence=rollouts["kept"] - 1)
    drawn = rollouts.assign(sentence=rollouts["kept"]).merge(sentences[[*KEY, "words"]], on=KEY)
    after = [name for name in outcomes if f"{name}_new" in rollouts]
    kept = kept.rename(columns={f"{name}_new": f"after_{name}" for name in after})
    drawn = drawn.rename(columns={f"{name}_after": f"after_{name}" for name in after})
    names = [*outcomes, *(f"after_{name}" for name in after)]
    pairs = similar.rename(columns={"original": "words"})
    like = drawn[["drawn", "words"]].merge(pairs, on=["drawn", "words"], how="left")["similarity"].to_numpy()
    other = drawn[(drawn["drawn"] != drawn["words"]) & ~(like >= threshold)]
    with_it = kept.groupby(KEY)[names].mean()
    out = sentences.set_index(KEY)
    counts = {"other": other.groupby(KEY).size(), "draws": drawn.groupby(KEY).size()}
    out = out.join(pd.DataFrame(counts)).fillna({"other": 0, "draws": 0}).astype({"other": int, "draws": int})
    for method, against in (("counterfactual", other), ("plain", drawn)):
        out = out.join((with_it - against.groupby(KEY)[names].mean()).add_prefix(f"{method}_"))
        out = out.join(_divergences(kept, against, seed).rename(f"{method}_kl"))
    if deleted is not None:
        whole = deleted[deleted["sentence"] < 0].set_index(KEY[:2])[list(outcomes)]
        without = deleted[deleted["sentence"] >= 0].set_index(KEY)[list(outcomes)]
        out = out.join((whole - without).add_prefix("deletion_")).join(whole.add_prefix("whole_"))
    return out.reset_index()


def _divergences(kept: Frame, against: Frame, seed: int) -> Frame:
    """The KL divergence of each sentence, above chance."""
    sides = [side.groupby([*KEY, "says"]).size().unstack("says", fill_value=0) for side in (kept, against)]
    rng = np.random.default_rng(seed)
    both = sides[0].index.intersection(sides[1].index)
    p, q = (side.reindex(columns=sides[0].columns.union(sides[1].columns), fill_value=0).loc[both] for side in sides)
    found = [divergence(a, b, rng) for a, b in zip(q.to_numpy(dtype=int), p.to_numpy(dtype=int), strict=True)]
    return pd.Series(found, index=both, dtype=float)


def divergence(drawn: np.ndarray, kept: np.ndarray, rng: np.random.Generator) -> float:
    """D_KL(drawn ‖ kept), in nats, of two rows of counts, less its mean where the same rollouts change sides at random.

    Alone it is never below zero, and the higher the fewer the rollouts; less its chance level it is zero on average
    where the sentence makes no difference.
    """
    seen = (drawn + kept) > 0
    if seen.sum() < 2:
        return 0.0
    a, b = drawn[seen], kept[seen]
    shuffled = rng.multivariate_hypergeometric(a + b, int(a.sum()), size=SHUFFLES)
    return float(_kl(a[None], b[None])[0] - _kl(shuffled, (a + b) - shuffled).mean())


def _kl(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    p, q = ((x + PSEUDO) / (x + PSEUDO).sum(axis=1, keepdims=True) for x in (a, b))
    return (p * np.log(p / q)).sum(axis=1)
