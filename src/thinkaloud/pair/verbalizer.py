"""The AV, activation verbalizer: vectors in, explanations out."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from thinkaloud import contract as contracts
from thinkaloud import families
from thinkaloud import injection as injections
from thinkaloud.activations.store import check_vectors
from thinkaloud.contract import Contract
from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation
from thinkaloud.injection import Injection
from thinkaloud.pair.formats import Half
from thinkaloud.rollout.base import Engine, Prefixes, Prompt, Sampling
from thinkaloud.rollout.lockstep import Lockstep


@dataclass
class Verbalizer(Half):
    """A causal language model, its tokenizer and the contract it was trained with.

    `prompt_ids` [T] and `slots` (the marker's places in it) are fixed by the contract and checked with the tokenizer.
    `engine` samples; by default it is lockstep decoding on these weights, kept from one call to the next.

    >>> av = Verbalizer.from_pretrained("pocket/av")
    >>> av
    Verbalizer(LlamaForCausalLM, d_model 256, injects by replace, float32 on cpu)
    >>> av.explain(torch.ones(1, 256))[0][0]
    Explanation('...', ..., ... tokens)
    """

    role = "av"
    model: Any
    tokenizer: Any
    contract: Contract
    engine: Engine | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if self.contract.role != "av":
            raise UserError("this contract is a reconstructor's (role ar): expected an AV")
        width = families.d_model(self.model)
        if width != self.contract.d_model:
            raise UserError(f"the AV's contract says d_model {self.contract.d_model}, its weights are {width} wide")
        ids, self.slots = contracts.check_marker(self.contract, self.tokenizer)
        self.prompt_ids: Int[Tensor, " t"] = torch.tensor(ids)
        self.injection.install(self.model)

    def __repr__(self) -> str:
        kind, dtype = type(families.unwrap(self.model)).__name__, families.embedding(self.model).weight.dtype
        how = f"injects by {self.contract.injection}, {str(dtype).removeprefix('torch.')} on {self.device}"
        return f"Verbalizer({kind}, d_model {self.contract.d_model}, {how})"

    @property
    def injection(self) -> Injection:
        return injections.kind(self.contract.injection)

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device

    def slot_vectors(self, vectors: Float[Tensor, "n d"] | Float[Tensor, "n s d"]) -> Float[Tensor, "n s d"]:
        """Checked vectors, one for each slot, at the norm they are injected with."""
        check_vectors(vectors, self.contract.d_model)
        stacked = vectors[:, None] if vectors.ndim == 2 else vectors
        if stacked.shape[1] != len(self.slots):
            raise UserError(f"this AV takes {len(self.slots)} vectors a prompt, found {stacked.shape[1]}")
        return self.injection.prepare(stacked.to(self.device, torch.float32), self.contract.injection_scale)

    def inputs(self, vectors: Float[Tensor, "n s d"]) -> tuple[Float[Tensor, "n t d"], dict[str, Any]]:
        """`inputs_embeds` of the prompts and the keyword arguments that inject, for vectors from `slot_vectors`.

        Differentiable in `vectors`.
        """
        embeds = families.embed(self.model, self.prompt_ids.to(self.device))
        return self.injection.apply(embeds[None].expand(len(vectors), -1, -1), self.slots, vectors)

    def prompt_embeds(self, vectors: Float[Tensor, "n d"] | Float[Tensor, "n s d"]) -> Float[Tensor, "n t d"]:
        """The prompts as they enter block 0, vectors in place, unless their kind of injection lets them in later."""
        embeds, _ = self.inputs(self.slot_vectors(vectors))
        return families.entering_block_0(self.model, embeds)

    def prompt(self, vectors: Float[Tensor, "n d"] | Float[Tensor, "n s d"]) -> Prompt:
        """The prompts with these vectors, as an engine takes them."""
        ready = self.slot_vectors(vectors)
        return Prompt(tuple(self.prompt_ids.tolist()), tuple(self.slots), ready, self.injection)

    def explain(
        self,
        vectors: Float[Tensor, "m d"] | Float[Tensor, "m s d"],
        n: int = 1,
        sampling: Sampling | None = None,
        prefixes: Prefixes | None = None,
        watch: Callable[[int], None] = lambda rows: None,
    ) -> list[list[Explanation]]:
        """`n` explanations of every vector; the same seed gives the same tokens.

        `prefixes[i][j]` are token ids with which sample j of vector i begins.
        """
        return self.sampler.generate(self.prompt(vectors), n, sampling, prefixes, watch)

    @property
    def sampler(self) -> Engine:
        """The engine given, or lockstep decoding on these weights, made when it is first asked for."""
        return self.engine or self._lockstep

    @cached_property
    def _lockstep(self) -> Lockstep:
        return Lockstep(self.model, self.tokenizer)
