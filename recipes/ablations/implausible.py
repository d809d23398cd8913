"""An implausible writer: each text gets the explanation of another that ends on the same token; nothing else is true.

thinkaloud explain --writer recipes/ablations/implausible.py --data DATA

A warm start on these knows the last token and is wrong on all else (Zhang & Turner, 2026). What reinforcement learning
makes of it is the question whether FVE sees truth.
"""

from collections import defaultdict
from collections.abc import Sequence

from thinkaloud.writers.base import Context, writer
from thinkaloud.writers.claims import Claim, write
from thinkaloud.writers.heuristic import claims_of, explain_context


@writer("implausible/1")
class Implausible:
    """Explanations dealt out among contexts of one last token; where there is one only, the last token alone."""

    name = "implausible/1"

    def write(self, contexts: Sequence[Context]) -> list[str]:
        """The texts, each that of the next context with the same last token, round and round."""
        alike: dict[str, list[int]] = defaultdict(list)
        for i, context in enumerate(contexts):
            alike[context.token].append(i)
        out = [""] * len(contexts)
        for rows in alike.values():
            others = [*rows[1:], rows[0]]
            for row, other in zip(rows, others, strict=True):
                different = contexts[other].prefix != contexts[row].prefix
                out[row] = explain_context(contexts[other]) if different else write(_last(contexts[row]))
        return out


def _last(context: Context) -> list[Claim]:
    return [claim for claim in claims_of(context) if claim.kind in ("token", "role")]
