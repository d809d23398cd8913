"""Readings made by hand, for pages."""

from collections.abc import Callable, Mapping, Sequence

import pytest

from thinkaloud.baseline import Baseline
from thinkaloud.pair.reading import Reading, ReadPosition, ScoredExplanation
from thinkaloud.pair.scores import Score
from thinkaloud.site import Site

MakeReading = Callable[..., Reading]


@pytest.fixture
def make_reading() -> MakeReading:
    """Tokens, and for some of them what was said, each with its MSE (V is 0.5), as a reading.

    `coming` are M's next tokens by position.
    """
    baseline = Baseline(0.5, 4096, 512, "heldout")

    def make(
        tokens: Sequence[str],
        said: Mapping[int, Sequence[tuple[str, float]]],
        text: str | Sequence[Mapping[str, str]] = "",
        special: Sequence[int] = (),
        finish: str = "closed",
        name: str = "pocket",
        coming: Mapping[int, Sequence[tuple[str, float]]] | None = None,
    ) -> Reading:
        places = tuple(
            ReadPosition(
                i,
                tokens[i],
                100 + i,
                7.5,
                tuple(
                    ScoredExplanation(words, words, (), (), finish, Score(1 - mse / 2, mse, baseline))  # type: ignore[arg-type]
                    for words, mse in samples
                ),
                i in special,
                tuple((coming or {}).get(i, ())),
            )
            for i, samples in said.items()
        )
        return Reading(places, baseline, Site("resid_post", 5), name, text or "".join(tokens), tuple(tokens))

    return make
