"""Counterfactual importance of sentences: differences of outcomes and KL divergences between rollouts.

After Bogdan et al., "Thought Anchors: Which LLM Reasoning Steps Matter?", 2025. A prefix of sentences is continued once
for both sides of a comparison: what sentence i is kept with is what sentence i + 1 is drawn anew from.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import entropy

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
    """A row for each sentence of explanations or solutions: where it stands, its words, its classes, the FVE of the
    whole explanation, and whether its effect is what it says itself (`own`): a sentence that is the whole of the last
    line, or states the answer.
    """
    return pd.DataFrame(
        [
            {"problem": row["problem"], "place": row["place"], "right": row["right"], "whole": row.get("fve")}
            | {"sentence": i, "of": len(row["ends"]), "words": words, "own": own, "classes": classes(words)}
            for row in texts
            for i, (words, own) in enumerate(zip(row["sentences"], row["own"], strict=True))
        ]
    )


def importances(
    sentences: Frame, rollouts: Frame, similar: Frame, threshold: float, outcomes: Sequence[str], seed: int = 0
) -> Frame:
    """`sentences` (KEY and `words`) with the importance of each for every outcome, and by KL divergence.

    `rollouts` continue a prefix of `kept` sentences with one that was `drawn`. counterfactual_X: the mean of X with the
    sentence kept, less its mean where another was drawn in its place, whose similarity to it is below `threshold`;
    `other` is how many those are, of `draws`. counterfactual_kl: D_KL(drawn ‖ kept) of what the rollouts come to
    (`says`), above chance. NaN: nothing to compare with.
    """
    names = list(outcomes)
    kept = rollouts.assign(sentence=rollouts["kept"] - 1)
    drawn = rollouts.assign(sentence=rollouts["kept"]).merge(sentences[[*KEY, "words"]], on=KEY)
    pairs = similar.rename(columns={"original": "words"})
    like = drawn[["drawn", "words"]].merge(pairs, on=["drawn", "words"], how="left")["similarity"].to_numpy()
    other = drawn[(drawn["drawn"] != drawn["words"]) & ~(like >= threshold)]
    counts = pd.DataFrame({"other": other.groupby(KEY).size(), "draws": drawn.groupby(KEY).size()})
    out = sentences.set_index(KEY).join(counts)
    out = out.fillna({"other": 0, "draws": 0}).astype({"other": int, "draws": int})
    out = out.join((kept.groupby(KEY)[names].mean() - other.groupby(KEY)[names].mean()).add_prefix("counterfactual_"))
    return out.join(_divergences(kept, other, seed).rename("counterfactual_kl")).reset_index()


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
    by_chance = entropy(shuffled + PSEUDO, (a + b) - shuffled + PSEUDO, axis=1).mean()
    return float(entropy(a + PSEUDO, b + PSEUDO) - by_chance)
