"""Verdicts on a pair's figures, and FVE by rows of a warm start as measured."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import yaml

from thinkaloud.contract import Contract

REACHED: dict[str, Any] = yaml.safe_load(files("thinkaloud.pair").joinpath("reached.yaml").read_text(encoding="utf-8"))
LITTLE = 0.3  # FVE below which a half that reads still reads little
NOISE = 0.05  # FVE by which a figure has to exceed its shuffled control, nats by which vectors have to help an AV
CLOSED = 0.5  # share of explanations that has to end by itself


@dataclass(frozen=True)
class Verdict:
    """Whether something reads, in words, and what to do if not."""

    reads: bool
    words: str
    advice: str = ""

    def __str__(self) -> str:
        return f"{self.words}. {self.advice}".rstrip()


def judge(role: str, figures: Mapping[str, Any], rows: int | None = None) -> Verdict | None:
    """The verdict on an AR (from written text) or an AV (from its own words) by its held-out figures; None without any.

    `figures` are named as in a warm start's log: `heldout_fve` with `heldout_fve_shuffled_pairs`, `closed`, and, for an
    AV that no AR has read, `heldout_ce_gap` (nats a token by which the right vector helps). `rows` it was trained on.
    """
    fve, shuffled, gap = (_number(figures, f"heldout_{name}") for name in ("fve", "fve_shuffled_pairs", "ce_gap"))
    closed, little = _number(figures, "closed"), False
    if fve is not None:
        found = f"{'AR on written text' if role == 'ar' else 'AV → AR'}: FVE {fve:.2f}"
        found += "" if shuffled is None else f", shuffled pairs {shuffled:.2f}"
        reads, little = False, fve < LITTLE
        if shuffled is not None and fve < shuffled + NOISE:
            says = ": the words say no more of their own vector than of any other"
        elif not fve > 0:
            says = ": worse than always answering the mean of all directions"
        elif closed is not None and closed < CLOSED:
            says = f": only {100 * closed:.0f} % of the explanations close"
        else:
            reads, says = True, ": it reads a little" if little else ": it reads"
    elif role == "av" and gap is not None:
        found, reads = f"AV: the right vector helps by {gap:.2f} nats a token", gap >= NOISE
        says = "; its own words are measured with --ar" if reads else ": it does not use the vector"
    else:
        return None
    return Verdict(reads, found + says, _advice(role, rows) if little or not reads else "")


def recorded(contract: Contract) -> Verdict | None:
    """The verdict by the figures that a warm start wrote into its contract; None where there are none, or no longer."""
    made = contract.provenance
    if contract.stage != "warmstart" or not isinstance(made.get("heldout"), Mapping):
        return None
    rows = made.get("rows")
    return judge(contract.role, made["heldout"], rows if isinstance(rows, int) else None)


def expected(rows: int, role: str) -> str:
    """What is to be expected of a warm start from scratch on so many rows, in one line, by what was measured."""
    known = _known(role)
    what = "on written text" if role == "ar" else "from its own words"
    if rows < 0.9 * known[0][0]:
        return f"expect nothing {what} yet: {_told(known[:2], role)}"
    above = next((i for i, (n, _) in enumerate(known) if n > rows), len(known) - 1)
    (few, low), (many, high) = known[max(0, above - 1)], known[max(1, above)]
    share = min(1.0, max(0.0, math.log(rows / few) / math.log(many / few)))
    return f"expect FVE about {low + share * (high - low):.1f} {what}: {_told([(few, low), (many, high)], role)}"


def _known(role: str) -> list[tuple[int, float]]:
    return [(reached["rows"], reached[role]) for reached in REACHED["pocket"] if role in reached]


def _told(points: Sequence[tuple[int, float]], role: str) -> str:
    """Measured points, with that of the larger model."""
    small = ", ".join(f"{rows:,} rows {fve:.2f}" for rows, fve in points)
    larger = REACHED["smollm2"]
    return f"from scratch, 8M weights reached with {small}; 135M with {larger['rows']:,} {larger[role]:.2f}"


def _advice(role: str, rows: int | None) -> str:
    known = _known(role)
    more = [point for point in known if rows is None or point[0] > rows][:2] or known[-1:]
    what = "more rows" if rows is None else f"more rows than {rows:,}"
    return f"Give it {what} ({_told(more, role)}), then --epochs or a higher --lr, or --start from a pair that reads"


def _number(figures: Mapping[str, Any], name: str) -> float | None:
    value = figures.get(name)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
