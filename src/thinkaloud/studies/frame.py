"""A table in memory by columns, whose estimates resample whole clusters: documents, texts or problems."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from thinkaloud.stats import Estimate, Statistic, estimate, mean


@dataclass(frozen=True)
class Frame:
    """Columns of one length. `cluster` names the one whose rows are resampled together, by a bootstrap with `seed`."""

    columns: Mapping[str, np.ndarray]
    cluster: str
    seed: int = 0

    @classmethod
    def of(cls, records: Sequence[Mapping[str, Any]], cluster: str, seed: int = 0) -> "Frame":
        """Records with the same keys: numbers with NaN for what is missing, and anything else as it is."""
        return cls({name: _column([r[name] for r in records]) for name in (records or [{}])[0]}, cluster, seed)

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> np.ndarray:
        """A column; a frame without rows has all columns."""
        return self.columns[name] if len(self) else np.zeros(0)

    def where(self, here: np.ndarray) -> "Frame":
        """The rows at these indices, or where it is true."""
        return Frame({name: values[here] for name, values in self.columns.items()}, self.cluster, self.seed)

    def at(self, **values: Any) -> "Frame":
        """The rows whose columns have these values."""
        here = np.ones(len(self), dtype=bool)
        for name, value in values.items():
            here &= self[name] == value
        return self.where(here)

    def known(self, *names: str) -> "Frame":
        """The rows in which these columns hold a number."""
        return self.where(np.all([np.isfinite(self[name]) for name in names], axis=0))

    def by(self, name: str) -> Iterator[tuple[Any, "Frame"]]:
        """Each value of a column with its rows, in the order of the first ones."""
        groups: dict[Any, list[int]] = {}
        for i, value in enumerate(self[name].tolist()):
            groups.setdefault(value, []).append(i)
        for value, rows in groups.items():
            yield value, self.where(np.array(rows))

    def assign(self, **columns: Iterable[Any]) -> "Frame":
        """The same with columns put in or replaced."""
        more = {name: v if isinstance(v, np.ndarray) else _column(list(v)) for name, v in columns.items()}
        return Frame({**self.columns, **more}, self.cluster, self.seed)

    def distinct(self, name: str) -> int:
        """How many different values a column has."""
        return len(set(self[name].tolist()))

    def estimate(self, statistic: Statistic) -> Estimate:
        """A statistic of the rows' weights, with its interval."""
        return estimate(statistic, self[self.cluster], seed=self.seed)

    def mean(self, of: str | np.ndarray) -> Estimate:
        """The mean of a column, or of a number for each row; rows without a number count as clusters all the same."""
        return self.estimate(mean(self[of] if isinstance(of, str) else of))


def _column(values: Sequence[Any]) -> np.ndarray:
    """Numbers as such, missing ones as NaN; anything else as objects."""
    if all(isinstance(value, (bool, int, float, np.number, type(None))) for value in values):
        return np.array([np.nan if value is None else value for value in values])
    return np.fromiter(values, dtype=object, count=len(values))
