"""Sampling in vLLM, in prompts of token ids with input embeddings where the vectors stand.

vLLM is in this process and begins with random weights: those of the model are handed to it in memory, adapter merged
and eight-bit rows unpacked, at the start and by every `refresh`. Only a configuration is written to disk.
"""

import os
import tempfile
from importlib import import_module
from typing import Any

import torch

from thinkaloud import families
from thinkaloud.contract import CLOSE
from thinkaloud.errors import UserError
from thinkaloud.rollout.base import Engine, Request, Row, engine, uniforms

_CONTEXT = 4096  # tokens of a prompt and its response at most: the cache is laid out for so many


@engine
class VLLM(Engine):
    """A sampler over a copy of `model`'s weights in vLLM, as they were at the last `refresh`.

    `memory` is the share of the device's memory that vLLM may use. Prompts of one text are in the engine at a time:
    prefix-cache keys do not say which tokens were embeddings, so the cache is reset between one text and another.
    """

    name = "vllm"
    _made = False

    def __init__(
        self, model: Any, tokenizer: Any, rows: int = 256, dtype: torch.dtype | None = None, memory: float = 0.4
    ) -> None:
        os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")  # weights are handed over within the process
        os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "2")
        try:
            self.vllm: Any = import_module("vllm")
        except ImportError as error:
            raise UserError(f"no vLLM here ({error}): pip install 'thinkaloud[vllm]', or --engine lockstep") from None
        if VLLM._made:
            raise UserError("one vLLM engine is in this process already, and it holds no second: start another process")
        VLLM._made = True
        super().__init__(model, tokenizer, rows, dtype)
        self.ending.context = min(self.ending.context, _CONTEXT)
        inner: Any = families.unwrap(model)
        with tempfile.TemporaryDirectory() as folder:
            inner.config.save_pretrained(folder)
            tokenizer.save_pretrained(folder)
            self.llm: Any = self.vllm.LLM(
                model=folder,
                load_format="dummy",
                dtype=str(self.dtype).removeprefix("torch."),
                max_model_len=self.ending.context,
                max_num_seqs=rows,
                gpu_memory_utilization=memory,
                enforce_eager=families.embedding(model).weight.device.type == "cpu",
                enable_prompt_embeds=True,
                enable_prefix_caching=True,
                logprobs_mode="processed_logprobs",
                disable_log_stats=True,
            )
        self.places: dict[str, Row] = {}
        self._shared: tuple[Any, ...] | None = None  # by the prompts in the cache
        self._named = 0
        self.refresh()

    def refresh(self) -> None:
        weights = ((name, weight.to(self.dtype)) for name, weight in families.merged_weights(self.model))
        self.llm.collective_rpc("reload_weights", kwargs={"weights_iterator": weights})
        self.llm.reset_prefix_cache()

    def check(self, request: Request) -> None:
        injection = request.prompt.injection
        if injection.entry_block:
            raise UserError(
                f"vLLM takes vectors as input embeddings, this AV takes them at block {injection.entry_block} "
                f"(injection {injection.name}): use --engine lockstep"
            )
        super().check(request)

    def cancel(self, request: Request) -> None:
        super().cancel(request)
        names = [name for name, place in self.places.items() if place.request is request]
        self.llm.llm_engine.abort_request(names)
        for name in names:
            del self.places[name]

    def advance(self) -> list[Row]:
        while self.waiting and (not self.places or self._shared == self.waiting[0].prompt.shared):
            self._begin(self.waiting.popleft())
        if not self.places:
            return []
        return [self._finished(self.places.pop(out.request_id), out) for out in self.llm.llm_engine.step()]

    def _begin(self, request: Request) -> None:
        prompt = request.prompt
        if self._shared != prompt.shared:
            self.llm.reset_prefix_cache()
            self._shared = prompt.shared
        vectors = prompt.vectors.detach().to("cpu", self.dtype)
        for row in (row for i in range(prompt.n) for row in request.rows(i)):
            ids = [*prompt.ids, *row.ids]
            embeds = vectors.new_zeros(len(ids), vectors.shape[-1])
            embeds[list(prompt.slots)] = vectors[row.prompt]
            inputs = {
                "prompt_token_ids": ids,
                "prompt_is_token_ids": [k not in prompt.slots for k in range(len(ids))],
                "prompt_embeds": embeds,
            }
            self._named += 1
            self.places[str(self._named)] = row
            self.llm.llm_engine.add_request(str(self._named), inputs, self._parameters(row))

    def _parameters(self, row: Row) -> Any:
        sampling = row.request.sampling
        seed = None
        if sampling.temperature > 0:
            seed = int(uniforms(sampling.seed, row.prompt, row.sample, 1)[0] * 2**53)
        return self.vllm.SamplingParams(
            temperature=sampling.temperature,
            seed=seed,
            max_tokens=sampling.max_tokens - len(row.ids),
            logprobs=0,  # those of the sampled tokens alone
            stop=[CLOSE],
            stop_token_ids=sorted(self.ending.tokens),
            skip_special_tokens=False,
            output_kind=self.vllm.sampling_params.RequestOutputKind.FINAL_ONLY,
        )

    def _finished(self, row: Row, out: Any) -> Row:
        (made,) = out.outputs
        for token, at in zip(made.token_ids, made.logprobs, strict=True):
            row.ids.append(token)
            row.logprobs.append(at[token].logprob)
            if self.ending.at(row.ids, row.request.sampling.max_tokens):
                break  # the tag may have begun in the prefix, where vLLM does not look for it
        return self.finish(row)
