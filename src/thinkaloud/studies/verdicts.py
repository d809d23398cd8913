"""Verdicts on the claims of public studies, by one rule, with Holm's correction within a study.

holds                    p < 0.05 on the claimed side, and the published value, if there is one, lies in the interval
holds in direction only  p < 0.05 on the claimed side, and the published value lies outside
does not hold            p < 0.05 on the other side, or the interval ends short of the published value
open                     neither: the interval has the null value, and the published one if there is one
not shown                not tested here, or no interval, or fewer than ENOUGH clusters (of a comparison: on a side)

p is Holm's, over all tests of the study that can tell. A claim of a size alone (no direction) holds where the interval
has the published value. A claim of several parts is as good as its worst: does not hold, open, holds in direction only,
holds; parts that are not shown are passed over where others are.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import yaml

from thinkaloud.stats import ENOUGH, NAN, Estimate

HOLDS, DIRECTION, FAILS, OPEN, NOT_SHOWN = (
    "holds",
    "holds in direction only",
    "does not hold",
    "open",
    "not shown",
)
WORST_FIRST = (FAILS, OPEN, DIRECTION, HOLDS, NOT_SHOWN)


@dataclass(frozen=True)
class Claim:
    """A claim of a public study: `study` is the one here that tests it, `why` says why none does.

    `direction` is the side of `null` (1 above, −1 below) on which it puts a number, `published` the number it gives.
    """

    id: str
    source: str
    claim: str
    study: str = ""
    why: str = ""
    null: float | None = 0.0
    direction: int = 0
    published: float | None = None


@dataclass(frozen=True)
class Finding:
    """An estimate that tells of a claim, or of a part of it; without one, `why` says why not."""

    claim: str
    found: Estimate | None = None
    part: str = ""
    why: str = ""
    null: float | None = 0.0
    direction: int = 0
    published: float | None = None

    @property
    def unknown(self) -> str:
        """Why the estimate cannot tell; empty where it can."""
        if self.found is None or not np.isfinite(self.found.value):
            return self.why or (self.found.note if self.found else "") or "nothing of the kind was found here"
        if not np.isfinite(self.found.low):
            return self.why or "no interval"
        if self.found.clusters < ENOUGH:
            return f"from {self.found.clusters} on a side, fewer than {ENOUGH}"
        if self.direction and not np.isfinite(self.found.p):
            raise ValueError(f"the estimate for {self.claim} {self.part} has no p: estimate it with null={self.null}")
        return ""


@cache
def claims() -> Mapping[str, Claim]:
    """Every claim by its id, from claims.yaml."""
    read = yaml.safe_load(files("thinkaloud.studies").joinpath("claims.yaml").read_text(encoding="utf-8"))
    found = [Claim(source=group["source"], **claim) for group in read for claim in group["claims"]]
    return {claim.id: claim for claim in found}


def judged(tests: Sequence[Finding]) -> list[tuple[str, float, str]]:
    """The verdict on each test, its p by Holm over those that can tell, and why where none is shown."""
    reasons = [test.unknown for test in tests]
    known = [test.found.p if test.found and not why else NAN for test, why in zip(tests, reasons, strict=True)]
    return [
        (_verdict(test, test.found, p), p, test.why) if test.found and not why else (NOT_SHOWN, NAN, why)
        for test, p, why in zip(tests, holm(known), reasons, strict=True)
    ]


def worst(verdicts: Iterable[str]) -> str:
    """The verdict on a claim of several parts."""
    return min(verdicts, key=WORST_FIRST.index, default=NOT_SHOWN)


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values; what is no number is no test. Holm, Scandinavian Journal of Statistics 6, 1979."""
    p = np.asarray(ps, dtype=float)
    order = np.argsort(p)[: int(np.isfinite(p).sum())]
    p[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return p.tolist()


def _verdict(test: Finding, found: Estimate, p: float) -> str:
    published = test.published is None or found.low <= test.published <= found.high
    if not test.direction:
        empty = test.null is not None and test.null != test.published and found.low <= test.null <= found.high
        return FAILS if not published else OPEN if empty else HOLDS
    side = test.direction * (found.value - (test.null or 0.0))
    if p < 0.05:
        return FAILS if side < 0 else HOLDS if published else DIRECTION
    return OPEN if published else FAILS
