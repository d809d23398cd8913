"""The last TAIL tokens as the explanation: TAIL=8 MODEL=pocket/base thinkaloud explain --writer FILE.

An AR that is warm-started on them says what the tail alone gives, for thinkaloud eval --tail-ar 8=RUN.
"""

import os
from collections.abc import Sequence

from thinkaloud.errors import UserError
from thinkaloud.evals.beyond_tail import tail_text
from thinkaloud.loading import load_tokenizer
from thinkaloud.writers import Context
from thinkaloud.writers.base import writer


@writer("tail/1")
class Tail:
    """Writes the end of the text, by the tokens of MODEL."""

    def __init__(self) -> None:
        k, model = os.environ.get("TAIL", ""), os.environ.get("MODEL", "")
        if not k.isdigit() or not int(k) or not model:
            raise UserError(
                f"say how many tokens of which model: TAIL=8 MODEL=pocket/base thinkaloud explain --writer {__file__}"
            )
        self.k, self.model = int(k), model
        self.name = f"tail/1 of {self.k} tokens of {self.model}"

    def write(self, contexts: Sequence[Context]) -> list[str]:
        """The last tokens of each context, decoded; as they are, white space and chat markers included."""
        tokenizer = load_tokenizer(self.model)
        return [tail_text(tokenizer, context.prefix, self.k) for context in contexts]
