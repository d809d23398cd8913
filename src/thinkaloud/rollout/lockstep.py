"""Batched sampling over a static KV cache, in process, from the weights that are being trained.

All prompts have the same length and differ in one place, the vector, so they are decoded in step: the part before the
vector is read once for all, the rest of a prompt once for all its samples, and then every row takes one token at a
time, over keys and values that stay in place. A row that has ended makes room: the last row moves into its place, and
prompts that wait are let in. On a GPU a step is one CUDA graph for each length bucket, and the rows are looked at once
in a few steps only, so nothing waits for the processor.

A row's random numbers depend on the seed, its prompt's index and its sample's index alone: which rows are decoded
beside it changes nothing about what is drawn.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from thinkaloud import attention, families
from thinkaloud.attention import Layout
from thinkaloud.contract import CLOSE
from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation
from thinkaloud.rollout.base import Prompt, Sampling, uniforms
from thinkaloud.rollout.draw import draw

_TAIL = 16  # tokens decoded to look for the closing tag; it is never longer than this
_BUCKET = 32  # places: a graph is made for each multiple
_PREFILL_TOKENS = 16384  # read at once


@dataclass
class _Row:
    """A response under way."""

    prompt: int
    sample: int
    ids: list[int]
    logprobs: list[float]
    ended: bool = False


class Lockstep:
    """A sampler over `model`'s own weights, whatever they are when it is called. Keep it, and its graphs are kept.

    `rows` bounds the responses decoded at once.
    """

    def __init__(self, model: Any, tokenizer: Any, rows: int = 256) -> None:
        self.model, self.tokenizer, self.rows = model, tokenizer, rows
        self.device = families.embedding(model).weight.device
        self.on_gpu = self.device.type == "cuda"
        self.stride = 8 if self.on_gpu else 1  # steps between two looks at the rows
        self.closers = closing_tokens(tokenizer)
        self.ends = frozenset(families.end_ids(model, tokenizer))
        self._kept: _Batch | None = None

    @torch.inference_mode()
    def generate(
        self,
        prompt: Prompt,
        n: int = 1,
        sampling: Sampling | None = None,
        prefixes: Sequence[Sequence[Sequence[int]]] | None = None,
        watch: Callable[[int], None] = lambda rows: None,
    ) -> list[list[Explanation]]:
        """`n` explanations for every prompt, as `rollout.base.Rollout` says. Tokens given have log-probability nan."""
        sampling = sampling or Sampling()
        self._check(prompt, n, sampling, prefixes)
        capacity = max(n, min(self.rows, prompt.n * n))
        batch = self._batch(capacity, prompt.length + sampling.max_tokens + self.stride)
        done: dict[tuple[int, int], Explanation] = {}
        live: list[_Row] = []
        waiting = 0  # the first prompt that is not in yet
        with attention.reading(self.model):
            before = self._shared(prompt)
            while waiting < prompt.n or live:
                room = (capacity - len(live)) // n
                if waiting < prompt.n and room and (not live or room * n >= capacity // 8):
                    new = slice(waiting, min(prompt.n, waiting + room, waiting + _at_once(prompt)))
                    live += self._admit(batch, prompt, before, new, n, sampling, prefixes, len(live))
                    waiting = new.stop
                else:
                    self._advance(batch, live, prompt.length, sampling)
                ended = [row for row in live if row.ended]
                for row in ended:
                    done[row.prompt, row.sample] = self._explanation(row, sampling)
                if ended:
                    live = batch.close_up(live, prompt.length)
                    watch(len(ended))
        return [[done[i, j] for j in range(n)] for i in range(prompt.n)]

    def _check(self, prompt: Prompt, n: int, sampling: Sampling, prefixes: Any) -> None:
        if n < 1:
            raise UserError(f"samples must be 1 or more, found {n}")
        if prompt.length + sampling.max_tokens > families.context_length(self.model):
            room = families.context_length(self.model) - prompt.length
            raise UserError(f"max tokens {sampling.max_tokens} do not fit behind the prompt: the context leaves {room}")
        if prefixes is None:
            return
        if len(prefixes) != prompt.n or any(len(row) != n for row in prefixes):
            raise UserError(f"expected {n} prefixes for each of {prompt.n} prompts")
        for i, row in enumerate(prefixes):
            for ids in row:
                if len(ids) >= sampling.max_tokens:
                    cap = sampling.max_tokens
                    raise UserError(f"a prefix of prompt {i} has {len(ids)} tokens: the cap of {cap} leaves no room")
                if self.ends.intersection(ids) or CLOSE in self.tokenizer.decode(ids):
                    raise UserError(f"a prefix of prompt {i} has ended already: nothing can follow it")

    def _batch(self, rows: int, places: int) -> "_Batch":
        """Room for so many rows and places: what is kept from before, if it is large enough and not too large."""
        kept = self._kept
        if kept is None or not rows <= kept.rows <= max(rows, self.rows) or kept.places < places:
            kept = self._kept = None  # two would not always fit
            places = -(-places // _BUCKET) * _BUCKET
            self._kept = kept = _Batch(rows, places, self.device, families.context_length(self.model))
        return kept

    def _shared(self, prompt: Prompt) -> "_Growing":
        """Keys and values of what stands before the first vector, one row."""
        cache = _Growing(None)
        if prompt.slots[0]:
            ids = torch.tensor(prompt.ids[: prompt.slots[0]], device=self.device)
            self._read(families.embed(self.model, ids)[None], cache, 0, {})
        return cache

    def _read(self, embeds: Float[Tensor, "n t d"], cache: Any, start: int, more: dict[str, Any]) -> Any:
        """Final hidden states of embeddings whose first place is `start`, with all that `cache` holds before them."""
        places = torch.arange(start, start + embeds.shape[1], device=self.device)[None]
        layout = Layout(places, torch.arange(start + embeds.shape[1], device=self.device)[None])
        return self._forward(embeds, places.expand(len(embeds), -1), cache, layout, more)

    def _forward(self, embeds: Tensor, places: Tensor, cache: Any, layout: Layout, more: dict[str, Any]) -> Any:
        return families.text_model(self.model)(
            inputs_embeds=embeds,
            position_ids=places,
            past_key_values=cache,
            use_cache=True,
            **attention.arguments(layout),
            **more,
        ).last_hidden_state

    def _admit(
        self,
        batch: "_Batch",
        prompt: Prompt,
        before: "_Growing",
        new: slice,
        n: int,
        sampling: Sampling,
        prefixes: Any,
        at: int,
    ) -> list[_Row]:
        """Read these prompts into the rows from `at` on, let them draw their first tokens, and return them."""
        rows = [
            _Row(i, j, *([], []) if prefixes is None else (list(prefixes[i][j]), [float("nan")] * len(prefixes[i][j])))
            for i in range(new.start, new.stop)
            for j in range(n)
        ]
        here = slice(at, at + len(rows))
        first, vectors = prompt.slots[0], prompt.vectors[new].to(self.device)
        embeds = families.embed(self.model, torch.tensor(prompt.ids[first:], device=self.device))
        embeds = embeds[None].expand(len(vectors), -1, -1)
        embeds, more = prompt.injection.apply(embeds, [slot - first for slot in prompt.slots], vectors)
        cache = _Growing(before)
        hidden = self._read(embeds, cache, first, more)[:, -1]
        batch.fill(here, cache, n)
        lengths = [len(row.ids) for row in rows]
        if any(lengths):
            hidden = self._read_prefixes(batch, here, rows, prompt.length, hidden.repeat_interleave(n, dim=0))
            logits = families.logits(self.model, hidden)
        else:
            logits = families.logits(self.model, hidden).repeat_interleave(n, dim=0)
        noise = None
        if sampling.temperature > 0:
            streams = [uniforms(sampling.seed, row.prompt, row.sample, sampling.max_tokens) for row in rows]
            noise = torch.from_numpy(np.stack(streams))
        batch.begin(here, [prompt.length + length for length in lengths], lengths, noise)
        self._draw(batch, here, logits, sampling.temperature)
        self._take(batch, here, rows, 1, sampling)
        return rows

    def _read_prefixes(
        self, batch: "_Batch", here: slice, rows: Sequence[_Row], start: int, hidden: Float[Tensor, "n d"]
    ) -> Float[Tensor, "n d"]:
        """Hidden states at the ends of the rows' prefixes, read behind their prompts, whose last states are `hidden`.

        Shorter prefixes are padded. What is kept of the padding stands behind the row's own place and is written over
        before any query comes to see it.
        """
        lengths = torch.tensor([len(row.ids) for row in rows], device=self.device)
        ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = torch.tensor(row.ids, dtype=torch.int64)
        batch.show(here, slice(start, start + ids.shape[1]), start + ids.shape[1])
        read = self._read(families.embed(self.model, ids.to(self.device)), batch, start, {})
        every = torch.cat([hidden[:, None], read], dim=1)
        return every[torch.arange(len(rows), device=self.device), lengths]

    def _advance(self, batch: "_Batch", live: Sequence[_Row], prompt_length: int, sampling: Sampling) -> None:
        """One token for every live row, or a stride of them."""
        longest = prompt_length + max(len(row.ids) for row in live) + self.stride - 1
        if self.on_gpu:
            rows = batch.rounded(len(live))
            length = min(batch.places, -(-longest // _BUCKET) * _BUCKET)
            graph = self._graph(batch, rows, length, sampling.temperature)
            for _ in range(self.stride):
                graph.replay()
        else:
            self._step(batch, len(live), longest, sampling.temperature)
        self._take(batch, slice(0, len(live)), live, self.stride, sampling)

    def _step(self, batch: "_Batch", rows: int, length: int, temperature: float) -> None:
        """Rows 0 to `rows` take their last token in and draw the next; nothing here waits for the device."""
        here = slice(0, rows)
        places = batch.next_place[here, None]
        batch.show(here, places, length)
        embeds = families.embed(self.model, batch.tokens[here, None])
        hidden = self._forward(embeds, places, batch, Layout(places, batch.range[None, :length]), {})[:, -1]
        batch.next_place[here] = (batch.next_place[here] + 1).clamp_max(batch.last_place)
        self._draw(batch, here, families.logits(self.model, hidden), temperature)

    def _draw(self, batch: "_Batch", here: slice, logits: Float[Tensor, "n v"], temperature: float) -> None:
        """Draw for these rows and note what was drawn."""
        u = None
        if temperature > 0:
            u = batch.noise[here].gather(1, batch.drawn[here, None])[:, 0]
        ids, logprobs = draw(logits, temperature, u)
        batch.tokens[here] = ids
        batch.drawn[here] = (batch.drawn[here] + 1).clamp_max(batch.noise.shape[1] - 1)
        batch.log_ids[batch.turn, here] = ids
        batch.log_logprobs[batch.turn, here] = logprobs
        batch.turn += 1

    def _take(self, batch: "_Batch", here: slice, rows: Sequence[_Row], steps: int, sampling: Sampling) -> None:
        """Fetch what these rows drew in the last steps; what stands behind a row's end is dropped."""
        ids, logprobs = batch.log_ids[:steps, here].T.tolist(), batch.log_logprobs[:steps, here].T.tolist()
        batch.turn.zero_()
        for row, tokens, values in zip(rows, ids, logprobs, strict=True):
            for token, value in zip(tokens, values, strict=True):
                row.ids.append(token)
                row.logprobs.append(value)
                closed = token in self.closers and CLOSE in self.tokenizer.decode(row.ids[-_TAIL:])
                row.ended = closed or token in self.ends or len(row.ids) == sampling.max_tokens
                if row.ended:
                    break

    def _explanation(self, row: _Row, sampling: Sampling) -> Explanation:
        is_end = row.ids[-1] in self.ends
        raw = self.tokenizer.decode(row.ids[:-1] if is_end else row.ids)
        cut = len(row.ids) == sampling.max_tokens and not is_end
        return Explanation.parse(raw, tuple(row.ids), tuple(row.logprobs), cut=cut)

    def _graph(self, batch: "_Batch", rows: int, length: int, temperature: float) -> Any:
        """The CUDA graph of a step, made when it is first asked for: the step is run once to warm up, then undone."""
        key = (rows, length, temperature)
        if key not in batch.graphs:
            state = [tensor.clone() for tensor in batch.counters()]
            stream = torch.cuda.Stream(self.device)
            stream.wait_stream(torch.cuda.current_stream(self.device))
            with torch.cuda.stream(stream):
                self._step(batch, rows, length, temperature)
            torch.cuda.current_stream(self.device).wait_stream(stream)
            for tensor, before in zip(batch.counters(), state, strict=True):
                tensor.copy_(before)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=batch.pool):
                self._step(batch, rows, length, temperature)
            batch.pool = graph.pool()
            batch.graphs[key] = graph
        return batch.graphs[key]


class _Growing:
    """Keys and values of prompts while they are read, behind those of the part they share. A cache to Transformers."""

    def __init__(self, before: "_Growing | None") -> None:
        self.before, self.layers = before, []

    def update(self, key: Tensor, value: Tensor, layer: int, *_: Any) -> tuple[Tensor, Tensor]:
        if self.before is not None and self.before.layers:
            first = [kept.expand(len(key), -1, -1, -1) for kept in self.before.layers[layer]]
            key, value = (torch.cat(parts, dim=2) for parts in zip(first, (key, value), strict=True))
        self.layers.append((key, value))
        return key, value


class _Batch:
    """All that is on the device for rows in step, in place for as long as the engine lives. A cache to Transformers.

    Rows that are live stand together at the front. `tokens` are their last tokens, `next_place` where these go,
    `drawn` how many tokens each has drawn, prefix included.
    """

    def __init__(self, rows: int, places: int, device: torch.device, context: int) -> None:
        self.rows, self.places, self.device = rows, places, device
        self.last_place = min(places, context) - 1  # rows past their end stay there until they are looked at
        self.tokens = torch.zeros(rows, dtype=torch.int64, device=device)
        self.next_place = torch.zeros_like(self.tokens)
        self.drawn = torch.zeros_like(self.tokens)
        self.noise = torch.zeros(rows, places, dtype=torch.float64, device=device)
        self.range = torch.arange(places, device=device)
        self.turn = torch.zeros(1, dtype=torch.int64, device=device)
        self.log_ids = torch.zeros(_BUCKET, rows, dtype=torch.int64, device=device)
        self.log_logprobs = torch.zeros(_BUCKET, rows, device=device)
        self.layers: list[tuple[Tensor, Tensor]] = []
        self.graphs: dict[tuple[int, int, float], Any] = {}
        self.pool: Any = None

    def counters(self) -> list[Tensor]:
        """What a step moves on."""
        return [self.tokens, self.next_place, self.drawn, self.turn]

    def rounded(self, rows: int) -> int:
        """The least of eight sizes that holds so many rows: a graph is for one size."""
        eighth = -(-self.rows // 8)
        return min(self.rows, -(-rows // eighth) * eighth)

    def fill(self, here: slice, cache: _Growing, n: int) -> None:
        """Keys and values of prompts that were read, each for its `n` rows."""
        if not self.layers:
            for key, value in cache.layers:
                shapes = [(self.rows, kept.shape[1], self.places, kept.shape[3]) for kept in (key, value)]
                # Zeros: what is masked is multiplied by zero, and must be finite.
                self.layers.append((key.new_zeros(shapes[0]), value.new_zeros(shapes[1])))
        for layer, read in zip(self.layers, cache.layers, strict=True):
            for kept, new in zip(layer, read, strict=True):
                kept[here, :, : new.shape[2]] = new.repeat_interleave(n, dim=0)

    def begin(self, here: slice, places: list[int], drawn: list[int], noise: Tensor | None) -> None:
        """Rows at the places where their next tokens go, with the random numbers that draw them."""
        self.next_place[here] = torch.tensor(places, device=self.device)
        self.drawn[here] = torch.tensor(drawn, device=self.device)
        if noise is not None:
            self.noise[here, : noise.shape[1]] = noise.to(self.device)

    def show(self, here: slice, places: slice | Tensor, length: int) -> None:
        """From now on write keys and values of these rows at `places`, and let queries see the first `length`."""
        self._here, self._places, self._length = here, places, length

    def update(self, key: Tensor, value: Tensor, layer: int, *_: Any) -> tuple[Tensor, Tensor]:
        views = []
        for kept, new in zip(self.layers[layer], (key, value), strict=True):
            view = kept[self._here]
            if isinstance(self._places, slice):
                view[:, :, self._places] = new
            else:
                view.scatter_(2, self._places[:, None, :, None].expand_as(new), new)
            views.append(view[:, :, : self._length])
        return views[0], views[1]

    def close_up(self, live: list[_Row], prompt_length: int) -> list[_Row]:
        """The rows that have not ended, moved together: the last ones into the places of those that have."""
        left = sum(not row.ended for row in live)
        holes = [i for i in range(left) if live[i].ended]
        movers = [i for i in range(left, len(live)) if not live[i].ended]
        if holes:
            length = prompt_length + max(len(live[i].ids) for i in movers)
            to, source = torch.tensor(holes, device=self.device), torch.tensor(movers, device=self.device)
            for layer in self.layers:
                for kept in layer:
                    kept[to, :, :length] = kept[source, :, :length]
            for tensor in (self.tokens, self.next_place, self.drawn, self.noise):
                tensor[to] = tensor[source]
            for hole, mover in zip(holes, movers, strict=True):
                live[hole] = live[mover]
        return live[:left]


def closing_tokens(tokenizer: Any) -> frozenset[int]:
    """Ids of the tokens that can end the closing tag: those whose text holds its last character."""
    return frozenset(index for token, index in tokenizer.get_vocab().items() if CLOSE[-1] in token)


def _at_once(prompt: Prompt) -> int:
    """How many prompts are read at once."""
    return max(1, _PREFILL_TOKENS // prompt.length)
