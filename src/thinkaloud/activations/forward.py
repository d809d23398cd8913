"""Forward pass that stops at a site: batches by length, only the wanted rows.

Rows are padded on the right and no padding mask is given: under causal attention a real token never attends to what
comes after it, and without a mask the fast attention kernels apply. Each sequence is cut after its last wanted position
for the same reason. Models whose rotary angles depend on the length of the whole batch get neither.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from thinkaloud import families, hooks
from thinkaloud.batching import default_batch_tokens, length_batches
from thinkaloud.models import lm
from thinkaloud.site import Site


@dataclass(frozen=True)
class Picked:
    """The wanted rows by sequence and position, on the CPU: vectors in the model's dtype, M's next tokens if asked."""

    vectors: Float[Tensor, "n d"]
    next_ids: Int[Tensor, "n k"] | None = None
    next_probs: Float[Tensor, "n k"] | None = None


def length_bound(model: nn.Module) -> bool:
    """Whether a token's vector depends on how long the whole input is (dynamic and longrope rotary angles)."""
    rope = getattr(families.text_model(model).config, "rope_parameters", None) or {}
    kinds = [rope] if "rope_type" in rope else [value for value in rope.values() if isinstance(value, dict)]
    return any(kind.get("rope_type") in ("dynamic", "longrope") for kind in kinds)


class Pass:
    """A model read at one site; with `next_tokens`, run to its end for its own top-k expectation as well."""

    def __init__(self, model: nn.Module, site: Site, next_tokens: int = 0) -> None:
        site.check(families.n_blocks(model))
        self.model, self.site, self.next_tokens = model, site, next_tokens
        self.view: Any = families.text_model(model) if next_tokens else families.truncated(model, site.layer)
        self.device = families.embedding(model).weight.device
        self.dtype = families.embedding(model).weight.dtype
        self.d_model = families.d_model(model)
        self.length_bound = length_bound(model)

    @torch.no_grad()
    def __call__(
        self,
        sequences: Sequence[Sequence[int]],
        positions: Sequence[Sequence[int]],
        batch_tokens: int,
        watch: Callable[[int, int], None] = lambda done, total: None,
    ) -> Callable[[], Picked]:
        """Start reading `positions` of `sequences`; the result is called for the rows, and waits for the device.

        Sequences with no position are not run. `watch` sees, after each batch, how many tokens of how many are run.
        """
        firsts = list(accumulate(map(len, positions), initial=0))
        used = [i for i, wanted in enumerate(positions) if len(wanted)]
        runs = [sequences[i] if self.length_bound else sequences[i][: max(positions[i]) + 1] for i in used]
        parts = [self._nothing()]
        order: list[int] = []  # for each row as the batches give them, its row in the result
        done, tokens = 0, sum(len(run) for run in runs)
        for batch in length_batches([len(run) for run in runs], batch_tokens, equal=self.length_bound):
            width = len(runs[batch[0]])
            ids = torch.zeros(len(batch), width, dtype=torch.int64)
            flat: list[int] = []
            for row, j in enumerate(batch):
                ids[row, : len(runs[j])] = torch.tensor(runs[j])
                flat.extend(row * width + p for p in positions[used[j]])
                order.extend(range(firsts[used[j]], firsts[used[j] + 1]))
            found = self._run(self._send(ids), self._send(torch.tensor(flat)))
            parts.append(tuple(tensor.to("cpu", non_blocking=True) for tensor in found))  # into pinned memory
            done += sum(len(runs[j]) for j in batch)
            watch(done, tokens)
        ready = torch.cuda.Event() if self.device.type == "cuda" else None
        if ready is not None:
            ready.record(torch.cuda.current_stream(self.device))  # without it, that of the first GPU

        def result() -> Picked:
            if ready is not None:
                ready.synchronize()
            back = torch.argsort(torch.tensor(order))
            return Picked(*(torch.cat(column)[back] for column in zip(*parts, strict=True)))

        return result

    def _send(self, tensor: Tensor) -> Tensor:
        return tensor.pin_memory().to(self.device, non_blocking=True) if self.device.type == "cuda" else tensor

    def _nothing(self) -> tuple[Tensor, ...]:
        """What a batch without a row would give."""
        vectors, shape = torch.empty(0, self.d_model, dtype=self.dtype), (0, self.next_tokens)
        return (vectors, torch.empty(shape, dtype=torch.int64), torch.empty(shape)) if self.next_tokens else (vectors,)

    def _run(self, ids: Int[Tensor, "n t"], rows: Int[Tensor, " m"]) -> tuple[Tensor, ...]:
        """Vectors [m, d] and, where they are asked for, next tokens [m, k] and their probabilities [m, k]."""
        with hooks.capture(self.model, self.site, keep=lambda hidden: hidden.flatten(0, 1)[rows]) as seen:
            last = self.view(input_ids=ids, use_cache=False).last_hidden_state
        if not self.next_tokens:
            return (seen[self.site],)
        return seen[self.site], *lm.next_tokens(self.model, last.flatten(0, 1)[rows], self.next_tokens)


def vectors_at(
    model: nn.Module, site: Site, sequences: Sequence[Sequence[int]], positions: Sequence[Sequence[int]]
) -> Float[Tensor, "n d"]:
    """The activations at these positions of token sequences, in order: float32, unscaled."""
    run = Pass(model, site)
    return run(sequences, positions, default_batch_tokens(run.device.type))().vectors.float()
