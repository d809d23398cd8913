"""The AV in a step: rollouts from its own weights, the policy gradient on them, log-probabilities and KL per token.

The responses of a group are laid end to end behind their prompt, each seeing the prompt and itself, so the prompt is
read once; only response positions get logits, a bounded number at a time. The reference, the AV as it was at the start,
reads the same rows.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from thinkaloud import attention, families
from thinkaloud.attention import Layout
from thinkaloud.batching import length_batches
from thinkaloud.config.train import RL
from thinkaloud.explanation import Explanation
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.rollout.base import Sampling
from thinkaloud.rollout.base import engine as engines
from thinkaloud.training.learner import compute_in_bfloat16
from thinkaloud.training.losses import full_kl, k3, policy_loss
from thinkaloud.training.memory import logits_in_pieces
from thinkaloud.training.reference import Reference


@dataclass(frozen=True)
class PackedRow:
    """The prompt of one vector, and behind it some of its responses, by their index; `tokens` with the prompt."""

    vector: int
    responses: tuple[int, ...]
    tokens: int


@dataclass(frozen=True)
class TokenStats:
    """Log-probabilities and KL to the reference per token, nats; responses are laid end to end in their order."""

    logprobs: Float[Tensor, " m"]
    kl: Float[Tensor, " m"]


def pack_rows(lengths: Sequence[int], group: int, prompt: int, limit: int) -> list[PackedRow]:
    """Shared-prefix packing of responses of these lengths, `group` a vector: as many a row as `limit` tokens hold."""
    out: list[PackedRow] = []
    for start in range(0, len(lengths), group):
        mine: list[int] = []
        tokens = prompt
        for i in range(start, start + group):
            if mine and tokens + lengths[i] - 1 > limit:
                out.append(PackedRow(start // group, tuple(mine), tokens))
                mine, tokens = [], prompt
            mine.append(i)
            tokens += lengths[i] - 1  # nothing is predicted from a response's last token
        out.append(PackedRow(start // group, tuple(mine), tokens))
    return out


class Policy:
    """An AV that learns, the reference policy, and the sampler over its weights.

    Where weights are kept in float32 or in an adapter and the device computes in bfloat16, the sampler runs on a copy
    in bfloat16, adapter merged, which `refresh` brings up to date after every update.
    """

    def __init__(self, verbalizer: Verbalizer, config: RL) -> None:
        self.verbalizer, self.config = verbalizer, config
        self.model, self.device = verbalizer.model, verbalizer.device
        self.bfloat16 = config.compute.in_bfloat16(self.device.type)
        self.sampler = verbalizer
        if self.bfloat16 and any(p.requires_grad for p in self.model.parameters()):
            if config.rollout.engine == "lockstep":  # another engine keeps a copy anyway
                self.sampler = replace(verbalizer, model=_plain_copy(self.model))
            compute_in_bfloat16(self.model)
        self.reference = Reference(self.model)
        self.reference_verbalizer = replace(verbalizer, model=self.reference.module)
        if config.compute.compile:
            families.compile_blocks(self.model, self.reference.module)
        dtype = torch.bfloat16 if self.bfloat16 else None
        tokenizer = verbalizer.tokenizer
        make = engines.find(config.rollout.engine)
        self.engine = make(self.sampler.model, tokenizer, config.rollout.rows, dtype)

    def refresh(self) -> None:
        """Let the sampler see the weights as they are now."""
        if self.sampler is not self.verbalizer:
            _copy_weights(self.model, self.sampler.model)
        self.engine.refresh()

    def sample(
        self, vectors: Float[Tensor, "n d"], n: int, sampling: Sampling, rows: int | None = None
    ) -> list[list[Explanation]]:
        """`n` explanations of each vector, from the weights as they were at the last `refresh`.

        `rows` bounds the explanations sampled at once from now on; it changes nothing about what is drawn.
        """
        self.engine.rows = rows or self.engine.rows
        return self.engine.generate(self.sampler.prompt(vectors), n, sampling)

    def update(
        self,
        vectors: Float[Tensor, "p d"],
        responses: Sequence[Sequence[int]],
        advantages: Float[Tensor, " n"],
        micro_tokens: int,
    ) -> TokenStats:
        """Add the gradient of the policy loss over `responses`, a whole number for each vector, to the parameters.

        KL is as the loss has it: k3 or exact, and 0 where it has no weight.
        """
        stats, denominator = _no_stats(responses), len(responses) * self.config.rollout.max_tokens
        form = self.config.kl.estimator if self.config.kl.coef > 0 else None
        with self._packed_attention():
            for batch in self._batches(responses, len(responses) // len(vectors), micro_tokens):
                each = advantages.to(self.device)[batch.response]
                loss, logprobs, kl = self._loss(vectors, batch, each, form)
                (loss / denominator).backward()
                _note(stats, batch, logprobs, kl)
        return stats

    @torch.no_grad()
    def evaluate(
        self, vectors: Float[Tensor, "p d"], responses: Sequence[Sequence[int]], micro_tokens: int
    ) -> TokenStats:
        """Log-probabilities of `responses`, and the exact KL over the vocabulary where each token is predicted.

        k3 estimates the KL only on tokens that were sampled from the policy; on greedy ones it is none.
        """
        stats = _no_stats(responses)
        with self._packed_attention():
            for batch in self._batches(responses, len(responses) // len(vectors), micro_tokens):
                nothing = torch.zeros(len(batch.targets), device=self.device)
                _, logprobs, kl = self._loss(vectors, batch, nothing, "exact")
                _note(stats, batch, logprobs, kl)
        return stats

    def _batches(self, responses: Sequence[Sequence[int]], group: int, micro_tokens: int) -> Iterator["_Rows"]:
        """Packed rows on the device, as many at a time as `micro_tokens` padded tokens hold; one response at least."""
        prompt = len(self.verbalizer.prompt_ids)
        limit = min(prompt + _row_limit(self.model), micro_tokens)
        rows = pack_rows([len(response) for response in responses], group, prompt, limit)
        for some in length_batches([row.tokens for row in rows], micro_tokens):
            yield _lay_out([rows[i] for i in some], responses, prompt, self.device)

    def _loss(
        self,
        vectors: Float[Tensor, "p d"],
        batch: "_Rows",
        advantages: Float[Tensor, " m"],
        form: Literal["k3", "exact"] | None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The policy loss summed over the batch, and log-probability and KL (in this form; None: 0) of each token."""
        reference: Tensor | None = None
        if form is not None:
            with self.reference.reference_weights() as model, self.autocast():
                states = self._states(self.reference_verbalizer, vectors, batch)
                reference = states if form == "exact" else self._logprobs(model, states, batch.targets)
        with self.autocast():
            states = self._states(self.verbalizer, vectors, batch)

            def piece(
                states: Tensor, targets: Tensor, advantages: Tensor, reference: Tensor | None
            ) -> tuple[Tensor, ...]:
                logits = families.logits(self.model, states).float() / self.config.rollout.temperature
                logprobs = torch.log_softmax(logits, dim=-1).gather(1, targets[:, None])[:, 0]
                if reference is None:
                    kl = torch.zeros_like(logprobs)
                elif form == "k3":
                    kl = k3(logprobs, reference, self.config.kl.clamp)
                else:
                    with self.reference.reference_weights() as model:
                        other = families.logits(model, reference).float() / self.config.rollout.temperature
                    kl = full_kl(logits, other)
                return policy_loss(logprobs, advantages, kl, self.config.kl.coef), logprobs.detach(), kl.detach()

            pieces = logits_in_pieces(self.model, piece, states, batch.targets, advantages, reference)
        losses, logprobs, kl = zip(*pieces, strict=True)
        return torch.stack(losses).sum(), torch.cat(logprobs), torch.cat(kl)

    @staticmethod
    def _states(verbalizer: Verbalizer, vectors: Float[Tensor, "p d"], batch: "_Rows") -> Float[Tensor, "m d"]:
        """Final hidden states from which the responses' tokens are predicted."""
        model, ready = verbalizer.model, verbalizer.slot_vectors(vectors[batch.vectors])
        embeds, more = verbalizer.inputs(ready)
        embeds = torch.cat([embeds, families.embed(model, batch.ids)], dim=1)
        hidden = families.text_model(model)(
            inputs_embeds=embeds,
            position_ids=batch.layout.queries,
            use_cache=False,
            **attention.arguments(batch.layout),
            **more,
        ).last_hidden_state
        return hidden[batch.row, batch.column]

    def _logprobs(self, model: Any, states: Float[Tensor, "m d"], targets: Tensor) -> Float[Tensor, " m"]:
        def piece(states: Tensor, targets: Tensor) -> Tensor:
            logits = families.logits(model, states).float() / self.config.rollout.temperature
            return torch.log_softmax(logits, dim=-1).gather(1, targets[:, None])[:, 0]

        return torch.cat(logits_in_pieces(model, piece, states, targets))

    @contextmanager
    def _packed_attention(self) -> Iterator[None]:
        """Inside, the model and its reference attend within the segments of packed rows."""
        with attention.switched_on(self.model), attention.switched_on(self.reference.module):
            yield

    def autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bfloat16)


@dataclass(frozen=True)
class _Rows:
    """Packed rows on the device. `ids` are what stands behind the prompts; the last five are a number a target.

    `token`, on the CPU, counts a target's place among the tokens of all responses laid end to end.
    """

    vectors: list[int]
    ids: Tensor
    layout: Layout
    row: Tensor
    column: Tensor
    targets: Tensor
    response: Tensor
    token: Tensor


def _no_stats(responses: Sequence[Sequence[int]]) -> TokenStats:
    tokens = sum(len(response) for response in responses)
    return TokenStats(torch.empty(tokens), torch.zeros(tokens))


def _note(stats: TokenStats, batch: _Rows, logprobs: Tensor, kl: Tensor) -> None:
    """Put a batch's figures where its tokens stand."""
    stats.logprobs[batch.token], stats.kl[batch.token] = logprobs.detach().float().cpu(), kl.detach().float().cpu()


def _lay_out(rows: Sequence[PackedRow], responses: Sequence[Sequence[int]], prompt: int, device: torch.device) -> _Rows:
    width = max(row.tokens for row in rows)
    ids = np.zeros((len(rows), width), np.int64)
    places, segments = np.zeros_like(ids), np.full_like(ids, -1)  # padding is a segment that nothing else sees
    places[:, :prompt], segments[:, :prompt] = np.arange(prompt), 0
    starts = np.cumsum([0, *(len(response) for response in responses)])
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
            for column, value in zip(columns, (i, sources, response, r, starts[r] + np.arange(n)), strict=True):
                column.append(np.broadcast_to(value, n))
            at += n - 1
    *used, token = (torch.from_numpy(np.concatenate(c)) for c in columns)
    row, column, targets, response = (each.to(device) for each in used)
    where, which = torch.from_numpy(places).to(device), torch.from_numpy(segments).to(device)
    layout = Layout(where, where, (which, which))
    behind = torch.from_numpy(ids[:, prompt:]).to(device)
    return _Rows([packed.vector for packed in rows], behind, layout, row, column, targets, response, token)


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
    for name, weight in families.merged_weights(model):
        plain.get_parameter(name).copy_(weight)
