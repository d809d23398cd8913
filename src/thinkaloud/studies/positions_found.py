"""What is the page of the study `positions` made of? All that was found, and how its estimates are made and drawn."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thinkaloud.baseline import Baseline
from thinkaloud.pair.scores import fve
from thinkaloud.studies.config import Positions
from thinkaloud.studies.estimates import Estimate, Statistic, estimate, mean
from thinkaloud.studies.page import MINUS
from thinkaloud.studies.read_texts import Said, Text

Records = Sequence[Mapping[str, Any]]

INK, FAINT = "#1b6ca8", "#8a949e"
ONE_TEXT = " There is one text only: no chance level and no interval can be given."


@dataclass(frozen=True)
class Found:
    """All that the page is made of."""

    config: Positions
    pair: str
    site: str
    baseline: Baseline
    texts: Sequence[Text]
    said: Sequence[Said]
    persistence: Records
    facts: Records
    moments: Records
    words: Records

    @property
    def families(self) -> list[str]:
        return sorted({text.family for text in self.texts})

    @property
    def alone(self) -> str:
        """What to add to a paragraph where there is nothing to compare with."""
        return ONE_TEXT if len(self.texts) == 1 else ""


def fve_of(said: Iterable[Said], baseline: Baseline, seed: int = 0) -> Estimate:
    """FVE over some explanations: 1 − mean MSE ∕ V."""
    some = list(said)
    error = mean([one.mse for one in some])
    statistic: Statistic = lambda w: fve(error(w), baseline)  # noqa: E731
    return estimate(statistic, [one.id for one in some], seed=seed)


def share(records: Records, name: str, seed: int = 0, less: str = "") -> Estimate:
    """The mean of a column (less that of another) over the records that have it; texts are what is resampled."""
    some = [r for r in records if r[name] is not None and (not less or r[less] is not None)]
    values = [float(r[name]) - (float(r[less]) if less else 0.0) for r in some]
    return estimate(mean(values), [r["id"] for r in some], seed=seed)


def persisted(found: Found, kind: str, k: int) -> Records:
    """The records of one kind of claim at one distance."""
    return [record for record in found.persistence if record["claim"] == kind and record["k"] == k]


def shown(found: Estimate) -> str:
    """An estimate in a sentence."""
    return str(found).translate(MINUS)


def band(
    axes: Any,
    xs: Iterable[int],
    found: Sequence[Estimate],
    colour: str,
    label: str,
    style: str = "-",
    width: float = 1.4,
) -> None:
    """A line with its intervals as a band."""
    xs = list(xs)
    axes.plot(xs, [one.value for one in found], style, color=colour, linewidth=width, label=label)
    axes.fill_between(xs, [one.low for one in found], [one.high for one in found], color=colour, alpha=0.18, lw=0)
