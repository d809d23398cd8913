"""Verdicts on the claims of public studies, by one rule, with Holm's correction within a study.

holds                    p < 0.05 on the claimed side, and the published value, if there is one, lies in the interval
holds in direction only  p < 0.05 on the claimed side, and the published value lies outside
does not hold            p < 0.05 on the other side, or the whole interval falls short of the published value
open                     none of these, or groups that lie on opposite sides and have no common number
not shown                not tested here, or no interval, or fewer than ENOUGH clusters (of a comparison: on a side)

p is Holm's, over all tests of the study that can tell. Without a direction the side is that of the published value, or
either one. Where the published value is the null value itself ("never", "about the same") a claim holds if the whole
interval lies within `margin` of it, does not hold if all of it lies beyond, and is open else: p says nothing of these.
A claim of several parts is as good as its worst: does not hold, not shown, open, holds in direction only, holds. Only
a part that is optional is passed over where it is not shown.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import yaml

from thinkaloud.stats import ENOUGH, NAN, OPPOSED, Estimate

HOLDS, DIRECTION, FAILS, OPEN, NOT_SHOWN = (
    "holds",
    "holds in direction only",
    "does not hold",
    "open",
    "not shown",
)
WORST_FIRST = (FAILS, NOT_SHOWN, OPEN, DIRECTION, HOLDS)


@dataclass(frozen=True)
class Claim:
    """A claim of a public study: `study` is the one here that tests it, `why` says why none does.

    It says of a number the side of `null` (`direction`: 1 above, −1 below) and the `published` value; `margin` is how
    far from a published null value is still the same.
    """

    id: str
    source: str
    claim: str
    study: str = ""
    why: str = ""
    null: float = 0.0
    direction: int = 0
    published: float | None = None
    margin: float = 0.0

    @property
    def same(self) -> bool:
        """Whether it is claimed that there is no difference."""
        return not self.direction and self.published == self.null


@dataclass(frozen=True)
class Finding:
    """An estimate that tells of a claim, or of a part of it; without one, `why` says why not, beside one it remarks."""

    claim: Claim
    found: Estimate | None = None
    part: str = ""
    why: str = ""
    optional: bool = False

    @property
    def unknown(self) -> str:
        """Why the estimate cannot tell, then the remark; empty where it can."""
        nothing, found, reason = "nothing of the kind was found here", self.found, ""
        if found is None:
            return self.why or nothing
        if not np.isfinite([found.value, found.low]).all():
            reason = found.note or ("no interval" if np.isfinite(found.value) else nothing)
        elif found.few:
            reason = f"from {found.clusters} on a side, fewer than {ENOUGH}"
        elif not self.claim.same and not np.isfinite(found.p):
            asked = f"estimate it with null={self.claim.null}"
            raise ValueError(f"the estimate for {self.claim.id} {self.part} has no p: {asked}")
        return "; ".join(filter(None, (reason, self.why))) if reason else ""


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
        (_verdict(test.claim, test.found, p), p, test.why)
        if test.found and not why
        else (OPEN if test.found and test.found.method == OPPOSED else NOT_SHOWN, NAN, why)
        for test, p, why in zip(tests, holm(known), reasons, strict=True)
    ]


def worst(parts: Iterable[tuple[str, bool]]) -> str:
    """The verdict on a claim of several parts, from that on each and whether it is optional."""
    counted = (verdict for verdict, optional in parts if not optional or verdict != NOT_SHOWN)
    return min(counted, key=WORST_FIRST.index, default=NOT_SHOWN)


def holm(ps: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values; what is no number is no test. Holm, Scandinavian Journal of Statistics 6, 1979."""
    p = np.asarray(ps, dtype=float)
    order = np.argsort(p)[: int(np.isfinite(p).sum())]
    p[order] = np.minimum(1, np.maximum.accumulate(p[order] * np.arange(len(order), 0, -1)))
    return p.tolist()


def _verdict(claim: Claim, found: Estimate, p: float) -> str:
    low, high = found.low - claim.null, found.high - claim.null
    if claim.same:
        within = -claim.margin <= low and high <= claim.margin
        return HOLDS if within else FAILS if low > claim.margin or high < -claim.margin else OPEN
    gap = None if claim.published is None else claim.published - claim.null
    side = claim.direction or np.sign(gap or 0.0)
    if p < 0.05:
        there = gap is None or low <= gap <= high
        return FAILS if side * (found.value - claim.null) < 0 else HOLDS if there else DIRECTION
    return FAILS if gap is not None and max(side * low, side * high) < side * gap else OPEN
