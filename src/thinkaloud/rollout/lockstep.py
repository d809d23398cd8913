"""In-process decoding on the live weights: continuous batching, static KV cache, one CUDA graph a step.

Prompts of the same text differ in the vector alone: the part before it is read once for all, the rest of a prompt once
for all its samples. Then every row, of whatever prompt, takes one token at a time, over keys and values that stay in
place. A row that has ended makes room: the last row moves into its place, and prompts that wait are let in. On a GPU a
step is one CUDA graph for each length bucket, and the rows are looked at once in a few steps only, so nothing waits for
the processor.

A row's random numbers depend on the seed, its prompt's index and its sample's index alone: which rows are decoded
beside it changes nothing about what is drawn.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from thinkaloud import attention, families
from thinkaloud.attention import Layout
from thinkaloud.rollout.base import Engine, Prompt, Request, Row, engine, uniforms
from thinkaloud.rollout.draw import draw

_PREFILL_TOKENS = 16384  # read at once
_BUCKET = 32  # places: a graph is made for each multiple
_Mode = Literal["greedy", "plain", "mixed"]


@engine
class Lockstep(Engine):
    """A sampler over `model`'s own weights, whatever they are when it is called. Keep it, and its graphs are kept."""

    name = "lockstep"

    def __init__(self, model: Any, tokenizer: Any, rows: int = 256, dtype: torch.dtype | None = None) -> None:
        super().__init__(model, tokenizer, rows, dtype)
        self.live: list[Row] = []  # at the front of the batch
        self.device = families.embedding(model).weight.device
        self.on_gpu = self.device.type == "cuda"
        self.stride = 8 if self.on_gpu else 1  # steps between two looks at the rows
        self._kept: _Batch | None = None
        self._shared: dict[tuple[int, ...], _PrefillCache] = {}  # what stands before the first vector, while at work

    @contextmanager
    def running(self) -> Iterator[None]:
        with torch.inference_mode(), attention.reading(self.model):
            yield

    def cancel(self, request: Request) -> None:
        super().cancel(request)
        for row in self.live:
            row.ended |= row.request is request
        with self.running():
            self._compact()

    def advance(self) -> list[Row]:
        if new := self._next():
            here = len(self.live) + len(new)
            wait = sum(request.n * (request.prompt.n - request.admitted) for request in self.waiting)
            requests = {row.request for row in [*self.live, *new]}.union(self.waiting)
            places = max(request.prompt.length + request.sampling.max_tokens for request in requests)
            self._admit(new, max(here, min(self.rows, here + wait)), places)
            self.live += new
        elif self.live:
            self._decode()
        ended = [self.finish(row) for row in self.live if row.ended]
        if ended:
            self._compact()
        return ended

    def _next(self) -> list[Row]:
        """Rows of waiting prompts with the same token ids, taken from the queue as far as there is room for them.

        An eighth of the rows has to be free: reading a prompt holds up those that are being decoded.
        """
        rows: list[Row] = []
        free, tokens = self.rows - len(self.live), _PREFILL_TOKENS
        if self.live and self.waiting and free - free % self.waiting[0].n < self.rows // 8:
            return rows
        while self.waiting:
            request = self.waiting[0]
            prompt, n = request.prompt, request.n
            fits = n <= free or not (self.live or rows)
            if not fits or (rows and (prompt.length > tokens or prompt.shared != rows[0].request.prompt.shared)):
                break
            free, tokens = free - n, tokens - prompt.length
            rows += request.rows(request.admitted)
            request.admitted += 1
            if request.admitted == prompt.n:
                self.waiting.popleft()
        return rows

    def _batch(self, rows: int, places: int) -> "_Batch":
        """Room for so many rows and places: what is kept from before, grown if rows are live and it is too small."""
        kept, live = self._kept, len(self.live)
        fits = kept is not None and rows <= kept.rows and places <= kept.places
        if kept is not None and fits and (live or kept.rows <= max(rows, self.rows)):
            return kept
        places = -(-places // _BUCKET) * _BUCKET
        if kept is not None and live:
            rows, places = max(rows, min(self.rows, 2 * kept.rows)), max(kept.places, places)
        else:
            kept = self._kept = None  # two would not always fit
        self._kept = _Batch(rows, places, self.device, self.ending.context)
        if kept is not None:
            self._kept.take_over(kept, live)
        return self._kept

    def _before(self, prompt: Prompt) -> "_PrefillCache":
        """Keys and values of what stands before the first vector, one row."""
        ids = prompt.ids[: prompt.slots[0]]
        if ids not in self._shared:
            cache = _PrefillCache(None)
            if ids:
                self._read(families.embed(self.model, torch.tensor(ids, device=self.device))[None], cache, 0, {})
            self._shared[ids] = cache
        return self._shared[ids]

    def _read(self, embeds: Float[Tensor, "n t d"], cache: Any, start: int, more: dict[str, Any]) -> Any:
        """Final hidden states of embeddings whose first place is `start`, with all that `cache` holds before them."""
        places = torch.arange(start, start + embeds.shape[1], device=self.device)[None]
        layout = Layout(places, torch.arange(start + embeds.shape[1], device=self.device)[None])
        return self._forward(embeds, places.expand(len(embeds), -1), cache, layout, more)

    def _forward(self, embeds: Tensor, places: Tensor, cache: Any, layout: Layout, more: dict[str, Any]) -> Any:
        return families.text_model(self.model)(
            inputs_embeds=embeds,
            position_ids=places,
            use_cache=True,
            **attention.cached(self.model, cache),
            **attention.arguments(layout),
            **more,
        ).last_hidden_state

    def _admit(self, rows: Sequence[Row], wanted: int, places: int) -> None:
        """Read the prompts of these rows, which are of the same token ids, behind the live ones; draw a first token.

        `wanted` rows of `places` tokens will be needed for all that is known of.
        """
        batch, prompt = self._batch(wanted, places + self.stride), rows[0].request.prompt
        here = slice(len(self.live), len(self.live) + len(rows))
        first = prompt.slots[0]
        new = [row for row in rows if row.sample == 0]  # a prompt is read once for all its samples
        vectors = torch.stack([row.request.prompt.vectors[row.prompt] for row in new]).to(self.device)
        embeds = families.embed(self.model, torch.tensor(prompt.ids[first:], device=self.device))
        embeds = embeds[None].expand(len(new), -1, -1)
        embeds, more = prompt.injection.apply(embeds, [slot - first for slot in prompt.slots], vectors)
        cache = _PrefillCache(self._before(prompt))
        hidden = self._read(embeds, cache, first, more)[:, -1]
        repeats = torch.tensor([i for i, row in enumerate(new) for _ in range(row.request.n)], device=self.device)
        batch.fill(here, cache, repeats)
        lengths = [len(row.ids) for row in rows]
        if any(lengths):
            hidden = self._read_prefixes(batch, here, rows, prompt.length, hidden[repeats])
            logits = families.logits(self.model, hidden)
        else:
            logits = families.logits(self.model, hidden)[repeats]
        batch.begin(here, rows)
        self._draw(batch, here, logits, _mode(rows))
        self._take(batch, here, rows, 1)

    def _read_prefixes(
        self, batch: "_Batch", here: slice, rows: Sequence[Row], start: int, hidden: Float[Tensor, "n d"]
    ) -> Float[Tensor, "n d"]:
        """Hidden states at the ends of the rows' prefixes, read behind their prompts, whose last states are `hidden`.

        Shorter prefixes are padded. What is kept of the padding stands behind the row's own place and is written over
        before any query comes to see it.
        """
        lengths = torch.tensor([len(row.ids) for row in rows], device=self.device)
        ids = torch.zeros(len(rows), int(lengths.max()), dtype=torch.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row.ids)] = torch.tensor(row.ids, dtype=torch.int64)
        batch.set_write_slots(here, slice(start, start + ids.shape[1]), start + ids.shape[1])
        read = self._read(families.embed(self.model, ids.to(self.device)), batch, start, {})
        every = torch.cat([hidden[:, None], read], dim=1)
        return every[torch.arange(len(rows), device=self.device), lengths]

    def _decode(self) -> None:
        """The next tokens of every live row."""
        batch, mode = self._kept, _mode(self.live)
        assert batch is not None  # rows are live
        longest = max(row.length for row in self.live) + self.stride - 1
        if self.on_gpu:
            rows = batch.rounded(len(self.live))
            length = min(batch.places, -(-longest // _BUCKET) * _BUCKET)
            graph = self._graph(batch, rows, length, mode)
            for _ in range(self.stride):
                graph.replay()
        else:
            self._step(batch, len(self.live), longest, mode)
        self._take(batch, slice(0, len(self.live)), self.live, self.stride)

    def _compact(self) -> None:
        """Drop the live rows that have ended, and move the others together."""
        if self._kept is not None:
            self._kept.turn.zero_()  # a step that broke off has left it elsewhere
            self.live = self._kept.compact(self.live)
        if not self.live and not self.waiting:
            self._shared.clear()  # weights may be others when there is work again

    def _step(self, batch: "_Batch", rows: int, length: int, mode: "_Mode") -> None:
        """Rows 0 to `rows` take their last token in and draw the next; nothing here waits for the device."""
        here = slice(0, rows)
        places = batch.next_place[here, None]
        batch.set_write_slots(here, places, length)
        embeds = families.embed(self.model, batch.tokens[here, None])
        hidden = self._forward(embeds, places, batch, Layout(places, batch.range[None, :length]), {})[:, -1]
        batch.next_place[here] = (batch.next_place[here] + 1).clamp_max(batch.last_place)
        self._draw(batch, here, families.logits(self.model, hidden), mode)

    def _draw(self, batch: "_Batch", here: slice, logits: Float[Tensor, "n v"], mode: "_Mode") -> None:
        """Draw for these rows and note what was drawn."""
        u = None
        if mode != "greedy":
            u = batch.noise[here].gather(1, batch.drawn[here, None])[:, 0]
        ids, logprobs = draw(logits, batch.temperature[here] if mode == "mixed" else 1.0, u)
        batch.tokens[here] = ids
        batch.drawn[here] = (batch.drawn[here] + 1).clamp_max(batch.noise.shape[1] - 1)
        batch.log_ids[batch.turn, here] = ids
        batch.log_logprobs[batch.turn, here] = logprobs
        batch.turn += 1

    def _take(self, batch: "_Batch", here: slice, rows: Sequence[Row], steps: int) -> None:
        """Fetch what these rows drew in the last steps; what stands behind a row's end is dropped."""
        ids, logprobs = batch.log_ids[:steps, here].T.tolist(), batch.log_logprobs[:steps, here].T.tolist()
        batch.turn.zero_()
        for row, tokens, values in zip(rows, ids, logprobs, strict=True):
            for token, value in zip(tokens, values, strict=True):
                row.ids.append(token)
                row.logprobs.append(value)
                row.ended = self.ending.at(row.ids, row.request.sampling.max_tokens)
                if row.ended:
                    break

    def _graph(self, batch: "_Batch", rows: int, length: int, mode: "_Mode") -> Any:
        """The CUDA graph of a step, made when it is first asked for: the step is run once to warm up, then undone."""
        key = (rows, length, mode)
        if key not in batch.graphs:
            state = [tensor.clone() for tensor in batch.counters()]
            stream = torch.cuda.Stream(self.device)
            stream.wait_stream(torch.cuda.current_stream(self.device))
            with torch.cuda.stream(stream):
                self._step(batch, rows, length, mode)
            torch.cuda.current_stream(self.device).wait_stream(stream)
            for tensor, before in zip(batch.counters(), state, strict=True):
                tensor.copy_(before)
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph, pool=batch.pool):
                self._step(batch, rows, length, mode)
            batch.pool = graph.pool()
            batch.graphs[key] = graph
        return batch.graphs[key]


class _PrefillCache:
    """Keys and values of prompts while they are read, behind those of the part they share. A cache to Transformers."""

    def __init__(self, before: "_PrefillCache | None") -> None:
        self.before, self.layers = before, []

    def update(self, key: Tensor, value: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
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
        self.temperature = torch.ones(rows, device=device)
        self.noise = torch.zeros(rows, places, dtype=torch.float64, device=device)
        self.range = torch.arange(places, device=device)
        self.turn = torch.zeros(1, dtype=torch.int64, device=device)
        self.log_ids = torch.zeros(_BUCKET, rows, dtype=torch.int64, device=device)
        self.log_logprobs = torch.zeros(_BUCKET, rows, device=device)
        self.layers: list[tuple[Tensor, Tensor]] = []
        self.graphs: dict[tuple[int, int, _Mode], Any] = {}
        self.pool: Any = None

    def counters(self) -> list[Tensor]:
        """What a step moves on."""
        return [self.tokens, self.next_place, self.drawn, self.turn]

    def rounded(self, rows: int) -> int:
        """The least of eight sizes that holds so many rows: a graph is for one size."""
        eighth = -(-self.rows // 8)
        return min(self.rows, -(-rows // eighth) * eighth)

    def fill(self, here: slice, cache: _PrefillCache, repeats: Int[Tensor, " m"]) -> None:
        """Keys and values of prompts that were read, for the rows `here`: row i has those of prompt `repeats[i]`."""
        if not self.layers:
            self.layers = [(self._empty(key), self._empty(value)) for key, value in cache.layers]
        for layer, read in zip(self.layers, cache.layers, strict=True):
            for kept, new in zip(layer, read, strict=True):
                kept[here, :, : new.shape[2]] = new[repeats]

    def _empty(self, like: Tensor) -> Tensor:
        """A cache of keys or values. Zeros: what is masked is multiplied by zero, and must be finite."""
        return like.new_zeros(self.rows, like.shape[1], self.places, like.shape[3])

    def take_over(self, other: "_Batch", rows: int) -> None:
        """Begin with the first `rows` of a smaller batch."""
        self.layers = [(self._empty(key), self._empty(value)) for key, value in other.layers]
        for mine, old in zip(self.layers, other.layers, strict=True):
            for kept, new in zip(mine, old, strict=True):
                kept[:rows, :, : other.places] = new[:rows]
        self.noise[:rows, : other.places] = other.noise[:rows]
        for mine, old in zip(self._by_row(), other._by_row(), strict=True):
            mine[:rows] = old[:rows]

    def _by_row(self) -> list[Tensor]:
        return [self.tokens, self.next_place, self.drawn, self.temperature]

    def begin(self, here: slice, rows: Sequence[Row]) -> None:
        """Rows at the places where their next tokens go, with the random numbers that draw them."""
        self.next_place[here] = torch.tensor([row.length for row in rows], device=self.device)
        self.drawn[here] = torch.tensor([len(row.ids) for row in rows], device=self.device)
        samplings = [row.request.sampling for row in rows]
        self.temperature[here] = torch.tensor([sampling.temperature for sampling in samplings], device=self.device)
        if any(sampling.temperature > 0 for sampling in samplings):
            noise = np.zeros((len(rows), max(sampling.max_tokens for sampling in samplings)))
            for i, (row, sampling) in enumerate(zip(rows, samplings, strict=True)):
                noise[i, : sampling.max_tokens] = uniforms(sampling.seed, row.prompt, row.sample, sampling.max_tokens)
            self.noise[here, : noise.shape[1]] = torch.from_numpy(noise).to(self.device)

    def set_write_slots(self, here: slice, places: slice | Tensor, length: int) -> None:
        """From now on write keys and values of these rows at `places`, and let queries see the first `length`."""
        self._here, self._places, self._length = here, places, length

    def update(self, key: Tensor, value: Tensor, layer: int, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        views = []
        for kept, new in zip(self.layers[layer], (key, value), strict=True):
            view = kept[self._here]
            if isinstance(self._places, slice):
                view[:, :, self._places] = new
            else:
                view.scatter_(2, self._places[:, None, :, None].expand_as(new), new)
            views.append(view[:, :, : self._length])
        return views[0], views[1]

    def compact(self, live: list[Row]) -> list[Row]:
        """The rows that have not ended, moved together: the last ones into the places of those that have."""
        left = sum(not row.ended for row in live)
        holes = [i for i in range(left) if live[i].ended]
        movers = [i for i in range(left, len(live)) if not live[i].ended]
        if holes:
            length = max(live[i].length for i in movers)
            to, source = torch.tensor(holes, device=self.device), torch.tensor(movers, device=self.device)
            for layer in self.layers:
                for kept in layer:
                    kept[to, :, :length] = kept[source, :, :length]
            for tensor in [*self._by_row(), self.noise]:
                tensor[to] = tensor[source]
            for hole, mover in zip(holes, movers, strict=True):
                live[hole] = live[mover]
        return live[:left]


def _mode(rows: Sequence[Row]) -> _Mode:
    """How these rows draw: all greedy, all at temperature 1, or each at its own."""
    temperatures = {row.request.sampling.temperature for row in rows}
    return "greedy" if temperatures == {0.0} else "plain" if temperatures == {1.0} else "mixed"
