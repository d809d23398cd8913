"""Configuration of a whole run: the arguments of its verbs in the order in which they run."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from thinkaloud.config.data import Explain, Extract
from thinkaloud.config.eval import Score
from thinkaloud.config.train import RL, ARWarmStart, AVWarmStart
from thinkaloud.errors import UserError


@dataclass(frozen=True)
class Recipe:
    """A pair from a corpus. Folders that steps write and hand on are named relative to `out`."""

    out: Path
    """The folder of the whole run; it becomes the pair."""
    extract: Extract
    """Activations of a corpus."""
    explain: Explain
    """A written explanation for each."""
    ar: ARWarmStart
    """The reconstructor."""
    av: AVWarmStart
    """The verbalizer."""
    score: Score
    """What the pair reaches on held-out documents."""
    train: RL | None = None
    """Reinforcement learning of the warm-started pair, if any; its run, a pair too, lies in the folder it names."""
    refine: RL | None = None
    """A second run of it with other settings, from the pair that the first one made."""

    def __post_init__(self) -> None:
        if self.explain.dry_run:
            raise UserError("a recipe has no dry run: thinkaloud explain --dry-run says what its step would ask")

    @property
    def pair(self) -> Path:
        """The folder of the pair that the run ends with."""
        last = self.refine or self.train
        return self.out if last is None else self.out / last.out

    def steps(self) -> Iterator[tuple[str, Any]]:
        """(name, arguments) of each step in order, with its folders placed under `out`."""
        yield "extract", replace(self.extract, out=self.out / self.extract.out)
        yield "explain", replace(self.explain, data=self.out / self.explain.data)
        yield "ar", self._placed(self.ar)
        yield "av", replace(self._placed(self.av), ar=str(self.out / self.av.ar) if self.av.ar else None)
        pair = self.out
        for name, config in (("train", self.train), ("refine", self.refine)):
            if config is not None:
                yield name, replace(self._placed(config), nla=str(pair))
                pair = self.out / config.out
        yield "score", replace(self.score, nla=str(pair), data=self.out / self.score.data)

    def _placed(self, config: Any) -> Any:
        return replace(config, data=str(self.out / config.data), out=str(self.out / config.out))
