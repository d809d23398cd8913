"""Controls of reconstruction: pairs with others' vectors, nearest neighbour, noise."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.pair.nla import NLA
from thinkaloud.pair.reading import Reading
from thinkaloud.pair.scores import Control, Scores


def foreign_rows(groups: Sequence[Any], seed: int = 0) -> np.ndarray:
    """For each row a random one of another group: another text, another document."""
    ids = np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)[1]
    if len(set(ids.tolist())) < 2:
        raise UserError("pairs with others need 2 of them or more, found one")
    # In the order of groups, the rows outside one group are a ring without one arc: skip the arc, then draw.
    order = np.argsort(ids, kind="stable")
    sizes = np.bincount(ids)
    ends = np.cumsum(sizes)
    draws = np.random.default_rng(seed).random(len(ids))
    step = (draws * (len(ids) - sizes[ids])).astype(np.int64)
    return order[(ends[ids] + step) % len(ids)]


def foreign_pairs(
    pred: Float[Tensor, "n d"], target: Float[Tensor, "n d"], groups: Sequence[Any], baseline: Baseline, seed: int = 0
) -> Scores:
    """Each prediction against a random vector of another group.

    Well below 0 where words tell vectors apart; near the matched score where they say the same of all of them.
    """
    chosen = foreign_rows(groups, seed)
    return Scores.of(pred, target[torch.from_numpy(chosen)], baseline)


def nearest_neighbour(
    target: Float[Tensor, "n d"], groups: Sequence[Any], baseline: Baseline, block: int = 2048
) -> Scores:
    """The best that copying can do: for each vector the one of highest cosine among those of other groups."""
    return Scores.of(target[nearest_rows(target, groups, block)], target, baseline)


def nearest_rows(vectors: Float[Tensor, "n d"], groups: Sequence[Any], block: int = 2048) -> Int[Tensor, " n"]:
    """For each vector the row of highest cosine among those of other groups."""
    ids = torch.from_numpy(np.unique(np.asarray([str(group) for group in groups]), return_inverse=True)[1])
    if len(ids.unique()) < 2:
        raise UserError("a nearest neighbour needs vectors of 2 documents or more, found one")
    unit = torch.nn.functional.normalize(vectors.float(), dim=-1)
    best = [
        (unit[i : i + block] @ unit.T).masked_fill(ids[i : i + block, None] == ids[None], -torch.inf).argmax(dim=1)
        for i in range(0, len(unit), block)
    ]
    return torch.cat(best)


def random_directions(target: Float[Tensor, "n d"], seed: int = 0) -> Float[Tensor, "n d"]:
    """Vectors of the same norms in random directions: nothing that a model thought, injected just as strongly."""
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(seed))
    norms = target.float().norm(dim=-1, keepdim=True)
    return torch.nn.functional.normalize(noise, dim=-1) * norms


def beside(reading: Reading, nla: NLA, noise: int = 32, seed: int = 0, max_tokens: int = 200) -> list[Control]:
    """The score of a text's first explanations, and the controls that belong beside it; special tokens are left out.

    `noise` random directions are explained anew; everything else is scored from what the reading holds. FVE is relative
    to the pair's baseline, or to the variance of these very vectors where it has none.
    """
    assert reading.vectors is not None  # NLA.read keeps them
    plain = [i for i, position in enumerate(reading) if not position.special]
    texts, target = [reading[i].explanations[0].text for i in plain], reading.vectors[plain].float()
    baseline, n = nla.baseline_for(target, split="this text"), len(plain)
    pred = nla.reconstruct(texts)
    directions = random_directions(target[:: -(-n // noise)], seed)
    said = [explanations[0].text for explanations in nla.explain(directions, max_tokens=max_tokens)]
    as_sure = "Noise of the same norm, explained and scored against itself: the words sound as sure as ever."
    own = Scores.of(pred, target, baseline).fve
    cycle = torch.randperm(n, generator=torch.Generator().manual_seed(seed))  # nobody is its own neighbour on it
    shuffled = Scores.of(pred[cycle], target[cycle.roll(1)], baseline).fve
    return [
        Control("Its own explanation", "Each text against the vector it was written for.", own, n),
        Control("Always the mean vector", "The mean of all directions, not rescaled: 0 by definition.", 0.0, n),
        Control("Another position's explanation", "The same texts, dealt out to other positions.", shuffled, n),
        Control("A random direction", as_sure, nla.score(said, directions, baseline).fve, len(said), said[0]),
    ]
