"""The explanation table that evaluations look at: a row for each explanation of a stored activation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from thinkaloud.activations import Activations
from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.pair.nla import MAX_TOKENS, NLA
from thinkaloud.pair.scores import Scores
from thinkaloud.registry import Registry
from thinkaloud.stats import Estimate, estimate, mean

KNOWN = ("doc_id", "position", "text", "token", "chat", "next_tokens", "next_probs")


@dataclass(frozen=True)
class Explained:
    """Explanations of `data`, the samples of one vector in a row, and what the pair's AR rebuilds of them.

    `table` has for each explanation `row` (of `data`), `doc_id`, `position`, `text` (up to the token), `token`, `chat`,
    `next_tokens` and `next_probs` (M's own), `sample`, `explanation`, `finish`, `tokens` (tags included), `cos` and
    `mse`; columns that `data` lacks are left out.
    `rebuilt` and `target` are [m, d].
    """

    table: pa.Table
    rebuilt: Tensor
    target: Tensor
    data: Activations
    nla: NLA
    baseline: Baseline
    seed: int

    def column(self, name: str) -> list[Any]:
        """A column of the table."""
        return self.table[name].to_pylist()

    def share(self, of: Callable[[str], float]) -> Estimate:
        """The mean of a measure of texts, with its interval over documents."""
        return estimate(mean([float(of(text)) for text in self.column("explanation")]), self.column("doc_id"))


evaluation: Registry[Any] = Registry("evaluation", "thinkaloud.evals")
"""Evaluations by name: functions of an `Explained` that return figures by name, numbers or `Estimate`s.

One may have a `check`, which is given the data's table before anything is explained, and refuses what it cannot use.
"""


def explained(
    nla: NLA,
    data: Activations,
    baseline: Baseline,
    samples: int = 1,
    temperature: float = 0.0,
    seed: int = 0,
    max_tokens: int = MAX_TOKENS,
    watch: Callable[[int], None] = lambda rows: None,
) -> Explained:
    """The table of the pair's own explanations of `data`; UserError where that is of another site than the pair's."""
    if data.site is not None and data.site != nla.site:
        raise UserError(f"the activations are of {data.site}, the pair reads {nla.site}: extract with --nla")
    said = [e for row in nla.explain(data.vectors, samples, temperature, seed, max_tokens, watch) for e in row]
    target = data.vectors.repeat_interleave(samples, dim=0)
    rebuilt = nla.reconstruct([explanation.text for explanation in said])
    scores = Scores.of(rebuilt, target, baseline)
    rows = np.repeat(np.arange(len(data)), samples)
    names = [name for name in KNOWN if name in data.table.column_names]
    columns = {
        "row": rows,
        **{name: data.table[name].take(pa.array(rows)) for name in names},
        "sample": np.tile(np.arange(samples), len(data)),
        "explanation": [one.text for one in said],
        "finish": [one.finish for one in said],
        "tokens": [len(one.token_ids) for one in said],
        "cos": [one.cos for one in scores],
        "mse": [one.mse for one in scores],
    }
    return Explained(pa.table(columns), rebuilt, target, data, nla, baseline, seed)
