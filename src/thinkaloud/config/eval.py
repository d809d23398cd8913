"""Configuration of evaluations of a pair on stored activations."""

from dataclasses import dataclass
from pathlib import Path

from thinkaloud.errors import UserError


@dataclass(frozen=True)
class Score:
    """Score a pair on stored activations."""

    data: Path
    """A folder that thinkaloud extract wrote."""
    nla: str | None = None
    """The pair: pocket (the bundled one, if nothing is said), a folder with av and ar in it, or a hub name."""
    av: str | None = None
    """The verbalizer alone: a folder or a hub name. Give --ar with it."""
    ar: str | None = None
    """The reconstructor alone: a folder or a hub name."""
    base: str | None = None
    """The model that was read, where an adapter does not say it."""
    split: str = "heldout"
    """Which documents: heldout or train."""
    limit: int = 1000
    """At most so many vectors, evenly spread over the split."""
    samples: int = 1
    """Explanations for each vector."""
    temperature: float | None = None
    """0 is greedy. If nothing is said: 0 for one sample, 1 for several."""
    seed: int = 0
    """The same seed draws the same samples and the same shuffled pairs."""
    max_tokens: int = 200
    """The longest explanation, in tokens."""
    also: tuple[str, ...] = ()
    """More evaluations of the same explanations: text_stats, degenerate, or a Python file that registers one."""
    json: bool = False
    """Print one JSON object, and nothing else, on standard output."""
    device: str | None = None
    """cpu, cuda or cuda:N; the best there is, if nothing is said."""

    def __post_init__(self) -> None:
        if self.limit < 1:
            raise UserError(f"limit must be 1 or more, found {self.limit}")
