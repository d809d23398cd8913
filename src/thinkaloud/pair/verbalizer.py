"""The AV, activation verbalizer: vectors in, explanations out."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from thinkaloud import contract as contracts
from thinkaloud import families
from thinkaloud.contract import Contract
from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation
from thinkaloud.pair import injection
from thinkaloud.rollout.base import Prompt, Sampling
from thinkaloud.rollout.lockstep import Lockstep


@dataclass
class Verbalizer:
    """A causal language model, its tokenizer and the contract it was trained with.

    `prompt_ids` [T] and `slots` (the marker's places in it) are fixed by the contract and checked with the tokenizer.

    >>> av = Verbalizer.from_pretrained("pocket/av")
    >>> av
    Verbalizer(LlamaForCausalLM, d_model 256, injects by replace, float32 on cpu)
    >>> av.explain(torch.ones(1, 256))[0][0]
    Explanation('...', ..., ... tokens)
    """

    model: Any
    tokenizer: Any
    contract: Contract

    def __post_init__(self) -> None:
        if self.contract.role != "av":
            raise UserError("this contract is a reconstructor's (role ar): expected an AV")
        width = families.d_model(self.model)
        if width != self.contract.d_model:
            raise UserError(f"the AV's contract says d_model {self.contract.d_model}, its weights are {width} wide")
        ids, self.slots = contracts.check_marker(self.contract, self.tokenizer)
        self.prompt_ids: Int[Tensor, " t"] = torch.tensor(ids)
        if self.contract.injection == "add":
            injection.install_add(self.model)

    @classmethod
    def from_pretrained(
        cls, path: str | Path, *, base: str | Path | None = None, device: str | None = None, dtype: Any = None
    ) -> "Verbalizer":
        """Load an AV: a full checkpoint in the official layout, or an adapter together with its `base`."""
        from thinkaloud.pair.formats import load_verbalizer

        return load_verbalizer(path, base=base, device=device, dtype=dtype)

    def __repr__(self) -> str:
        kind, dtype = type(families.unwrap(self.model)).__name__, families.embedding(self.model).weight.dtype
        how = f"injects by {self.contract.injection}, {str(dtype).removeprefix('torch.')} on {self.device}"
        return f"Verbalizer({kind}, d_model {self.contract.d_model}, {how})"

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def slot_vectors(self, vectors: Float[Tensor, "n d"] | Float[Tensor, "n s d"]) -> Float[Tensor, "n s d"]:
        """Checked vectors, one for each slot, at the norm they are injected with."""
        injection.check_vectors(vectors, self.contract.d_model)
        stacked = vectors[:, None] if vectors.ndim == 2 else vectors
        if stacked.shape[1] != len(self.slots):
            raise UserError(f"this AV takes {len(self.slots)} vectors a prompt, found {stacked.shape[1]}")
        stacked = stacked.to(self.device, torch.float32)
        return injection.scaled(stacked, self.contract.injection_scale) if self.contract.injection_scale else stacked

    def inputs(self, vectors: Float[Tensor, "n s d"]) -> tuple[Float[Tensor, "n t d"], dict[str, Any]]:
        """`inputs_embeds` of the prompts and the keyword arguments that inject, for vectors from `slot_vectors`.

        Differentiable in `vectors`. With `replace` the embeddings hold the vectors; with `add` the arguments do.
        """
        embeds = families.embed(self.model, self.prompt_ids.to(self.device))
        embeds = embeds[None].expand(len(vectors), -1, -1)
        if self.contract.injection == "replace":
            return injection.replace_slots(embeds, self.slots, vectors), {}
        return embeds, injection.add_arguments(self.slots, vectors.to(embeds.dtype))

    def prompt_embeds(self, vectors: Float[Tensor, "n d"] | Float[Tensor, "n s d"]) -> Float[Tensor, "n t d"]:
        """The prompts as they enter block 0, vectors in place (with `add`, the vector comes in later, at block 1)."""
        embeds, _ = self.inputs(self.slot_vectors(vectors))
        return families.entering_block_0(self.model, embeds)

    def prompt(self, vectors: Float[Tensor, "n d"] | Float[Tensor, "n s d"]) -> Prompt:
        """The prompts with these vectors, as a rollout takes them: the part before the first vector apart."""
        ready, first = self.slot_vectors(vectors), self.slots[0]
        embeds = families.embed(self.model, self.prompt_ids.to(self.device))
        slots = [slot - first for slot in self.slots]

        def own(rows: slice) -> tuple[Tensor, dict[str, Any]]:
            some = ready[rows]
            after = embeds[first:].expand(len(some), -1, -1)
            if self.contract.injection == "replace":
                return injection.replace_slots(after, slots, some), {}
            return after, injection.add_arguments(slots, some.to(after.dtype))

        return Prompt(embeds[:first], own, len(embeds) - first, len(ready))

    def explain(
        self,
        vectors: Float[Tensor, "m d"] | Float[Tensor, "m s d"],
        n: int = 1,
        sampling: Sampling | None = None,
        prefixes: Sequence[Sequence[Sequence[int]]] | None = None,
        batch: int = 256,
        watch: Callable[[int], None] = lambda rows: None,
    ) -> list[list[Explanation]]:
        """`n` explanations of every vector; the same seed gives the same tokens. `batch` bounds the rows at a time.

        `prefixes[i][j]` are token ids with which sample j of vector i begins.
        """
        with torch.inference_mode():
            prompt = self.prompt(vectors)
        return Lockstep(self.model, self.tokenizer, batch).generate(prompt, n, sampling, prefixes, watch)
