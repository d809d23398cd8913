"""Configuration of what reads with a pair: which one, how its explanations are sampled, and scores on stored data."""

from dataclasses import dataclass
from pathlib import Path

from thinkaloud.config.nested import Group


@dataclass(frozen=True, kw_only=True)
class Explaining(Group):
    """A pair, and how its explanations are sampled."""

    nla: str | None = None
    """The pair: pocket (the bundled one, if nothing is said), a folder with av and ar in it, or a hub name."""
    av: str | None = None
    """The verbalizer alone: a folder or a hub name. Give --ar with it."""
    ar: str | None = None
    """The reconstructor alone: a folder or a hub name."""
    base: str | None = None
    """The model that is read, where the pair does not say it."""
    samples: int = 1
    """Explanations for each vector."""
    temperature: float | None = None
    """0 is greedy. If nothing is said: 0 for one sample, 1 for several."""
    seed: int = 0
    """The same seed draws the same samples."""
    max_tokens: int = 200
    """The longest explanation, in tokens."""
    json: bool = False
    """Print JSON, and nothing else, on standard output."""
    device: str | None = None
    """cpu, cuda or cuda:N; the best there is, if nothing is said."""

    def __post_init__(self) -> None:
        self.at_least(1, "samples", "max_tokens")
        self.check(("temperature",), lambda value: value >= 0, "0 (greedy) or more")

    @property
    def pair(self) -> str | None:
        """The name of the pair; pocket where neither it nor a half is named."""
        return "pocket" if self.nla is None and self.av is None and self.ar is None else self.nla

    @property
    def sampled_at(self) -> float:
        """The temperature asked for, else 0 for one sample and 1 for several."""
        return float(self.samples > 1) if self.temperature is None else self.temperature


@dataclass(frozen=True, kw_only=True)
class Score(Explaining):
    """Score a pair on stored activations."""

    data: Path
    """A folder that thinkaloud extract wrote."""
    split: str = "heldout"
    """Which documents: heldout or train."""
    limit: int = 1000
    """At most so many vectors, evenly spread over the split."""
    also: tuple[str, ...] = ()
    """More evaluations of the same explanations: text_stats, degenerate, or a Python file that registers one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.at_least(1, "limit")
