"""The AR, activation reconstructor: explanations in, vectors out."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from thinkaloud import families
from thinkaloud.batching import length_batches
from thinkaloud.contract import Contract
from thinkaloud.errors import UserError
from thinkaloud.injection import scaled
from thinkaloud.pair.formats import Half

BATCH_TOKENS = {"cpu": 4096, "cuda": 65536}
ENCODED_AT_ONCE = 256  # texts; the device works on these while the next are tokenised


@dataclass
class Reconstructor(Half):
    """A decoder stack cut after the site's block, a d × d head in float32, and the contract they were trained with.

    >>> ar = Reconstructor.from_pretrained("pocket/ar")
    >>> ar
    Reconstructor(LlamaModel, d_model 256, at resid_post:5, float32 on cpu)
    >>> ar.reconstruct(["A story about the sea.", "A sum."]).shape
    torch.Size([2, 256])
    """

    role = "ar"
    backbone: Any
    head: nn.Linear
    tokenizer: Any
    contract: Contract

    def __post_init__(self) -> None:
        if self.contract.role != "ar":
            raise UserError("this contract is a verbalizer's (role av): expected an AR")
        site, width = self.contract.site, families.d_model(self.backbone)
        if site is None or families.n_blocks(self.backbone) != site.layer + 1:
            blocks = families.n_blocks(self.backbone)
            raise UserError(f"the AR's contract says site {site}, its weights hold {blocks} blocks")
        if width != self.contract.d_model or self.head.weight.shape != (width, width):
            shape = tuple(self.head.weight.shape)
            raise UserError(f"the AR is {width} wide, its contract says {self.contract.d_model}, its head is {shape}")

    def __repr__(self) -> str:
        kind, dtype = type(families.unwrap(self.backbone)).__name__, families.embedding(self.backbone).weight.dtype
        where = f"at {self.contract.site}, {str(dtype).removeprefix('torch.')} on {self.device}"
        return f"Reconstructor({kind}, d_model {self.contract.d_model}, {where})"

    @property
    def device(self) -> torch.device:
        return self.head.weight.device

    def encode(self, texts: Sequence[str], numbers: Sequence[int] | None = None) -> list[list[int]]:
        """Token ids of the prompt around every explanation, special tokens included (dropping BOS ruins an AR).

        UserError for a text that cannot be read; `numbers` are what it calls the texts, else their places in `texts`.
        """
        encoded = self._encode(texts)
        for i, (_, refusal) in zip(range(len(texts)) if numbers is None else numbers, encoded, strict=True):
            if refusal:
                raise UserError(f"explanation {i} {refusal}")
        return [ids for ids, _ in encoded]

    def readable(self, texts: Sequence[str]) -> list[bool]:
        """Whether `encode` takes each text."""
        return [not refusal for _, refusal in self._encode(texts)]

    def _encode(self, texts: Sequence[str]) -> list[tuple[list[int], str]]:
        """Token ids of each prompt, and why it cannot be read, which is empty where it can."""
        template = self.contract.ar_template or ""
        prompts = [template.replace("{explanation}", text) for text in texts]
        eos, limit = self.tokenizer.eos_token_id, families.context_length(self.backbone)
        suffix = list(self.contract.ar_suffix_ids)
        out: list[tuple[list[int], str]] = []
        for row in self.tokenizer(prompts, add_special_tokens=True)["input_ids"] if prompts else []:
            # Some tokenizers close a text with an end token; the state is read at the template's own last token.
            if eos is not None and len(row) > 1 and row[-1] == eos and suffix and suffix[-1] != eos:
                row.pop()
            refusal = ""
            if suffix and row[-len(suffix) :] != suffix:
                refusal = (
                    f"merges with the end of the AR's template: expected ids {suffix}, found {row[-len(suffix) :]}; "
                    "it ends in a special token, or this is another tokenizer than the AR was trained with"
                )
            elif len(row) > limit:
                refusal = f"has {len(row)} tokens with its template: the context is {limit}"
            out.append((row, refusal))
        return out

    def predict(self, ids: Int[Tensor, "n t"], lengths: Int[Tensor, " n"]) -> Float[Tensor, "n d"]:
        """Vectors, float32, for right-padded prompts of the given lengths. Differentiable in the AR's weights.

        No padding mask is needed: attention is causal, so what is read at a row's last token never saw its padding.
        """
        hidden = self.backbone(input_ids=ids, use_cache=False).last_hidden_state
        state = hidden[torch.arange(len(ids), device=ids.device), lengths - 1].float()
        if self.contract.scaled_state:
            state = scaled(state, self.contract.d_model**0.5)
        with torch.autocast(state.device.type, enabled=False):  # the head is float32, whatever the blocks compute in
            return self.head(state)

    @torch.inference_mode()
    def reconstruct(self, texts: Sequence[str], batch_tokens: int | None = None) -> Float[Tensor, "n d"]:
        """The vectors the texts describe: float32 [n, d] on the CPU, as the head gives them, unscaled.

        Batches are of near-equal lengths and of about `batch_tokens` tokens.
        """
        out = torch.empty(len(texts), self.contract.d_model)
        batches = self.batches(texts, batch_tokens or BATCH_TOKENS[self.device.type])
        made = ((rows, self.predict(*pad(ids, self.device))) for rows, ids in batches)
        # Each is fetched once the next batch is under way: no gap between them.
        for (rows, vectors), _ in pairwise(chain(made, [([], out)])):
            out[rows] = vectors.cpu()
        return out

    def batches(self, texts: Sequence[str], budget: int) -> Iterator[tuple[list[int], list[list[int]]]]:
        """Indices of texts and their token ids, in batches of at most `budget` padded tokens, the longest first."""
        order = sorted(range(len(texts)), key=lambda i: -len(texts[i]))
        for start in range(0, len(order), ENCODED_AT_ONCE):
            some = order[start : start + ENCODED_AT_ONCE]
            encoded = self.encode([texts[i] for i in some], some)
            for rows in length_batches([len(ids) for ids in encoded], budget):
                yield [some[i] for i in rows], [encoded[i] for i in rows]

    def compile(self) -> "Reconstructor":
        """Have torch.compile fuse what lies between the matrix products; takes seconds at the first call.

        Worth it for thousands of texts on a GPU: a fifth faster at the 7B shape (benchmarks/reconstruct.py).
        """
        families.compile_blocks(self.backbone)
        return self


def pad(rows: Sequence[Sequence[int]], device: torch.device) -> tuple[Int[Tensor, "n t"], Int[Tensor, " n"]]:
    """Rows padded on the right with 0, and their lengths, in one transfer each."""
    lengths = torch.tensor([len(row) for row in rows])
    padded = torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)
    return padded.to(device, non_blocking=True), lengths.to(device, non_blocking=True)
