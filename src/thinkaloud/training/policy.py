"""What is computed of the AV in a step: rollouts from its own weights, and the gradient of what they were worth.

The responses of a group are laid end to end behind their prompt, each seeing the prompt and itself, so the prompt is
read once; only response positions get logits, a bounded number at a time. The reference, the AV as it was at the start,
reads the same rows.
"""

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from thinkaloud import attention, families
from thinkaloud.attention import Layout
from thinkaloud.explanation import Explanation
from thinkaloud.pair.formats import adapters
from thinkaloud.pair.reconstructor import length_batches
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.rollout.base import Sampling
from thinkaloud.rollout.lockstep import Lockstep
from thinkaloud.training.config import RL, in_bfloat16
from thinkaloud.training.frozen import Frozen
from thinkaloud.training.losses import full_kl, k3, policy_loss

_LOGITS = 1 << 28  # logits held at once (1 GiB in float32); they are made in pieces and recomputed


@dataclass(frozen=True)
class Pack:
    """A row of the batch: the prompt of one vector, and behind it some of its responses, by their index."""

    vector: int
    responses: tuple[int, ...]
    tokens: int


@dataclass(frozen=True)
class Told:
    """What an update says of the responses' tokens, laid end to end in the order of the responses: nats."""

    logprobs: Float[Tensor, " m"]
    kl: Float[Tensor, " m"]


def packs(lengths: Sequence[int], group: int, prompt: int, limit: int) -> list[Pack]:
    """Rows for responses of these lengths, `group` a vector: as many of a group in a row as `limit` tokens hold."""
    out: list[Pack] = []
    for start in range(0, len(lengths), group):
        mine: list[int] = []
        tokens = prompt
        for i in range(start, start + group):
            if mine and tokens + lengths[i] - 1 > limit:
                out.append(Pack(start // group, tuple(mine), tokens))
                mine, tokens = [], prompt
            mine.append(i)
            tokens += lengths[i] - 1  # nothing is predicted from a response's last token
        out.append(Pack(start // group, tuple(mine), tokens))
    return out


class Policy:
    """An AV that learns, the frozen reference, and the sampler over its weights.

    Where weights are kept in float32 or in an adapter and the device computes in bfloat16, the sampler runs on a copy
    in bfloat16, adapter merged, which `refresh` brings up to date after every update.
    """

    def __init__(self, verbalizer: Verbalizer, config: RL) -> None:
        self.verbalizer, self.config = verbalizer, config
        self.model, self.device = verbalizer.model, verbalizer.device
        self.reference = Frozen(self.model)
        self.bfloat16 = in_bfloat16(config.dtype, self.device.type)
        self.sampler = verbalizer
        if self.bfloat16 and any(p.requires_grad for p in self.model.parameters()):
            self.sampler = replace(verbalizer, model=_plain_copy(self.model))
            adapters.cast_by_autocast(self.model)
        self.engine = Lockstep(self.sampler.model, verbalizer.tokenizer, config.rollout_rows)

    def refresh(self) -> None:
        """Let the sampler see the weights as they are now."""
        if self.sampler is not self.verbalizer:
            _copy_weights(self.model, self.sampler.model)

    def sample(self, vectors: Float[Tensor, "n d"], n: int, sampling: Sampling) -> list[list[Explanation]]:
        """`n` explanations of each vector, from the weights as they were at the last `refresh`."""
        with torch.inference_mode():
            prompt = self.sampler.prompt(vectors)
        return self.engine.generate(prompt, n, sampling)

    def update(
        self,
        vectors: Float[Tensor, "p d"],
        responses: Sequence[Sequence[int]],
        advantages: Float[Tensor, " n"] | None,
        micro_tokens: int,
    ) -> Told:
        """Add the gradient of the policy loss over `responses`, a whole number for each vector, to the parameters.

        With `advantages` None nothing is added: the log-probabilities and the divergence alone are asked for.
        Otherwise the divergence is left at 0 where the loss has no weight for it.
        """
        lengths = [len(response) for response in responses]
        prompt = len(self.verbalizer.prompt_ids)
        rows = packs(lengths, len(responses) // len(vectors), prompt, prompt + _row_limit(self.model))
        starts = np.concatenate([[0], np.cumsum(lengths)])
        told = Told(torch.empty(int(starts[-1])), torch.zeros(int(starts[-1])))
        denominator = len(responses) * self.config.max_tokens
        with attention.switched_on(self.model):
            for some in length_batches([row.tokens for row in rows], micro_tokens):
                batch = _lay_out([rows[i] for i in some], responses, prompt, self.device)
                worth = None if advantages is None else advantages.to(self.device)[batch.response]
                with nullcontext() if worth is not None else torch.no_grad():
                    loss, logprobs, kl = self._loss(vectors, batch, worth)
                if worth is not None:
                    (loss / denominator).backward()
                where = torch.from_numpy(starts[batch.response.cpu().numpy()]) + batch.place.cpu()
                told.logprobs[where], told.kl[where] = logprobs.float().cpu(), kl.float().cpu()
        return told

    def _loss(
        self, vectors: Float[Tensor, "p d"], batch: "_Rows", worth: Float[Tensor, " m"] | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        reference: Tensor | None = None
        head = families.head(self.model)
        before: Any = None
        if self.config.kl > 0 or worth is None:
            with self.reference.in_place(), self.autocast():
                states = self._states(vectors, batch)
                if self.config.kl_form == "full":
                    reference, before = states, self.reference.of(head)
                else:
                    reference = self._logprobs(states, batch.targets)
        with self.autocast():
            states = self._states(vectors, batch)

            def piece(states: Tensor, targets: Tensor, worth: Tensor, reference: Tensor | None) -> tuple[Tensor, ...]:
                logits = families.logits(self.model, states).float() / self.config.temperature
                logprobs = torch.log_softmax(logits, dim=-1).gather(1, targets[:, None])[:, 0]
                if reference is None:
                    kl = torch.zeros_like(logprobs)
                elif before is None:
                    kl = k3(logprobs, reference, self.config.kl_clamp)
                else:
                    other = families.logits(self.model, reference, before).float() / self.config.temperature
                    kl = full_kl(logits, other)
                return policy_loss(logprobs, worth, kl, self.config.kl), logprobs.detach(), kl.detach()

            size = self._pieces()
            worth = torch.zeros(len(states), device=self.device) if worth is None else worth
            told: list[Any] = []
            for i in range(0, len(states), size):
                j = slice(i, i + size)
                given = (states[j], batch.targets[j], worth[j], None if reference is None else reference[j])
                told.append(checkpoint(piece, *given, use_reentrant=False) if len(states) > size else piece(*given))
        losses, logprobs, kl = zip(*told, strict=True)
        return torch.stack(losses).sum(), torch.cat(logprobs), torch.cat(kl)

    def _states(self, vectors: Float[Tensor, "p d"], batch: "_Rows") -> Float[Tensor, "m d"]:
        """Final hidden states from which the responses' tokens are predicted."""
        ready = self.verbalizer.slot_vectors(vectors[batch.vectors])
        embeds, more = self.verbalizer.inputs(ready)
        embeds = torch.cat([embeds, families.embed(self.model, batch.ids)], dim=1)
        hidden = families.text_model(self.model)(
            inputs_embeds=embeds,
            position_ids=batch.layout.queries,
            use_cache=False,
            **attention.arguments(batch.layout),
            **more,
        ).last_hidden_state
        return hidden[batch.row, batch.column]

    def _logprobs(self, states: Float[Tensor, "m d"], targets: Tensor) -> Float[Tensor, " m"]:
        out = []
        for some, ids in zip(states.split(self._pieces()), targets.split(self._pieces()), strict=True):
            logits = families.logits(self.model, some).float() / self.config.temperature
            out.append(torch.log_softmax(logits, dim=-1).gather(1, ids[:, None])[:, 0])
        return torch.cat(out)

    def _pieces(self) -> int:
        return max(1, _LOGITS // families.text_model(self.model).config.vocab_size)

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)


@dataclass(frozen=True)
class _Rows:
    """Packed rows on the device. `ids` are what stands behind the prompts; the last five are a number a target."""

    vectors: list[int]
    ids: Tensor
    layout: Layout
    row: Tensor
    column: Tensor
    targets: Tensor
    response: Tensor
    place: Tensor


def _lay_out(rows: Sequence[Pack], responses: Sequence[Sequence[int]], prompt: int, device: torch.device) -> _Rows:
    width = max(row.tokens for row in rows)
    ids = np.zeros((len(rows), width), np.int64)
    places, segments = np.zeros_like(ids), np.full_like(ids, -1)  # padding is a segment that nothing else sees
    places[:, :prompt], segments[:, :prompt] = np.arange(prompt), 0
    columns: list[list[np.ndarray]] = [[], [], [], [], []]
    for i, row in enumerate(rows):
        at = prompt
        for segment, r in enumerate(row.responses, 1):
            response = np.asarray(responses[r], np.int64)
            n = len(response)
            inner = np.arange(at, at + n - 1)
            ids[i, inner], places[i, inner], segments[i, inner] = response[:-1], prompt + np.arange(n - 1), segment
            # The first token is predicted from the prompt's last, each other one from the token before it.
            sources = np.concatenate([[prompt - 1], inner])
            for column, value in zip(columns, (i, sources, response, r, np.arange(n)), strict=True):
                column.append(np.broadcast_to(value, n))
            at += n - 1
    row, column, targets, response, place = (torch.from_numpy(np.concatenate(c)).to(device) for c in columns)
    where, which = torch.from_numpy(places).to(device), torch.from_numpy(segments).to(device)
    layout = Layout(where, where, (which, which))
    behind = torch.from_numpy(ids[:, prompt:]).to(device)
    return _Rows([pack.vector for pack in rows], behind, layout, row, column, targets, response, place)


def _row_limit(model: nn.Module) -> int:
    """Tokens of a row behind its prompt: so many that attention over what is not seen costs a tenth of the rest.

    A block multiplies each token with about 12 d² weights, and attention over a row of n tokens takes 2 n d
    multiplications a token; longer rows share the prompt among more responses.
    """
    return max(64, int(0.6 * families.d_model(model)))


def _plain_copy(model: Any) -> Any:
    """The model in bfloat16 with its adapter merged, weights of its own."""
    copied = copy.deepcopy(model)
    if hasattr(copied, "merge_and_unload"):
        copied = copied.merge_and_unload()
    for parameter in copied.parameters():  # no buffers: bfloat16 is too coarse for the frequencies of positions
        parameter.data = parameter.data.to(torch.bfloat16)
    return copied.eval().requires_grad_(False)


@torch.no_grad()
def _copy_weights(model: Any, plain: Any) -> None:
    if not hasattr(model, "peft_config"):
        for ours, theirs in zip(plain.parameters(), model.parameters(), strict=True):
            ours.copy_(theirs)
        return
    for name, module in model.get_base_model().named_modules():
        if hasattr(module, "get_delta_weight"):
            delta = module.get_delta_weight(model.active_adapter)
            plain.get_submodule(name).weight.copy_(module.base_layer.weight + delta)
