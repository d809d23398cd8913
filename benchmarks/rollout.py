"""Speed of rollouts, against Transformers' generate and against the arithmetic floor.

    python benchmarks/rollout.py --device cpu --nla pocket
    python benchmarks/rollout.py --device cuda --shape qwen2.5-7b --rows 512

With `--nla`, a pair's own verbalizer explains activations of the pocket world: texts end where they end, and both sides
are given the same vectors, temperature 1, and `--rows` rows at a time. With `--shape`, weights are random and every row
runs to the cap of 150 tokens behind a prompt of 125. Prefill is counted on both sides. Generate is run twice: as
training needs it, with the log-probabilities of its tokens, which lockstep always gives, and for the tokens alone.
Prints a JSON line for each, with the `ratio` of tokens a second to the first generate that fits into memory, and one
for the floor.
"""

import argparse
import gc
import json
import time
from dataclasses import replace
from typing import Any

import torch
from shapes import SHAPES, machine, make_model, make_tokenizer, matmul_ceiling

from thinkaloud import NLA, extract, families
from thinkaloud.contract import CLOSE
from thinkaloud.injection import kind
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.pocket.world import episodes
from thinkaloud.rollout.base import Prompt, Sampling
from thinkaloud.rollout.lockstep import Lockstep

PROMPT, SLOT = 125, 40  # tokens of a prompt at a shape, and where the vector stands


def of_a_pair(name: str, device: str, vectors: int) -> tuple[Any, Any, Prompt]:
    """A pair's model, its tokenizer, and prompts with activations of held-out episodes."""
    nla = NLA.from_pretrained(name, device=device)
    texts = [episode.text for episode in episodes(7, vectors, "heldout")]
    found = extract(nla.model, texts, nla.site, 1, nla.tokenizer).vectors[:vectors]
    av: Verbalizer = nla.verbalizer
    with torch.inference_mode():
        return av.model, av.tokenizer, av.prompt(found)


def of_a_shape(shape: str, device: torch.device, vectors: int) -> tuple[Any, Any, Prompt]:
    """A random model of a shape, and prompts that differ in one place."""
    model, tokenizer = make_model(shape, device), make_tokenizer(SHAPES[shape]["vocab_size"])
    with torch.inference_mode():
        ids = torch.arange(PROMPT, device=device)
        embeds = families.embed(model, ids)
        found = torch.randn(vectors, embeds.shape[1], device=device, dtype=embeds.dtype)

        ready = kind("replace").prepare(found[:, None], float(embeds[SLOT].norm()))
    return model, tokenizer, Prompt(tuple(range(PROMPT)), (SLOT,), ready, kind("replace"))


def time_lockstep(engine: Lockstep, prompt: Prompt, group: int, cap: int, seed: int) -> tuple[float, int]:
    """(seconds, tokens)."""
    begin = time.perf_counter()
    found = engine.generate(prompt, group, Sampling(1.0, cap, seed))
    return time.perf_counter() - begin, sum(len(one.token_ids) for row in found for one in row)


@torch.inference_mode()
def time_generate(
    model: Any, tokenizer: Any, prompt: Prompt, group: int, cap: int, rows: int, logprobs: bool
) -> tuple[float, int]:
    """(seconds, tokens up to each row's end): `rows` rows at a time, each batch until its last row has ended."""
    options: dict[str, Any] = {"return_dict_in_generate": True, "output_logits": True} if logprobs else {}
    seconds, tokens = 0.0, 0
    ends = torch.tensor(families.end_ids(model, tokenizer))
    if len(ends):
        options |= {"eos_token_id": ends.tolist(), "pad_token_id": int(ends[0])}
    step = rows // group
    for start in range(0, prompt.n, step):
        begin = time.perf_counter()
        vectors = prompt.vectors[start : start + step]
        embeds = families.embed(model, torch.tensor(prompt.ids, device=vectors.device)).expand(len(vectors), -1, -1)
        whole = prompt.injection.apply(embeds, prompt.slots, vectors)[0].repeat_interleave(group, dim=0)
        mask = torch.ones(whole.shape[:2], dtype=torch.int64, device=whole.device)
        out = model.generate(
            inputs_embeds=whole,
            attention_mask=mask,
            max_new_tokens=cap,
            do_sample=True,
            temperature=1.0,
            top_k=0,
            top_p=1.0,
            **options,
        )
        if logprobs:
            model.compute_transition_scores(out.sequences, out.logits, normalize_logits=True)
            out = out.sequences
        if out.is_cuda:
            torch.cuda.synchronize()
        seconds += time.perf_counter() - begin
        for row in out.tolist():
            tokens += length_of(row, ends.tolist(), tokenizer)
    return seconds, tokens


def length_of(row: list[int], ends: list[int], tokenizer: Any) -> int:
    """Tokens of a response up to the one that closes or ends it."""
    for i, token in enumerate(row):
        if token in ends or (">" in tokenizer.convert_ids_to_tokens(token) and CLOSE in tokenizer.decode(row[: i + 1])):
            return i + 1
    return len(row)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--nla", help="a pair whose verbalizer is run")
    parser.add_argument("--shape", choices=SHAPES, help="a shape with random weights")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--rows", type=int, default=64, help="rows at a time")
    parser.add_argument("--responses", type=int, help="responses in all; default: 8 batches with --nla, 1 with --shape")
    parser.add_argument("--group", type=int, default=8, help="responses a vector")
    parser.add_argument("--cap", type=int, default=150, help="tokens of a response at most")
    args = parser.parse_args()
    device = torch.device(args.device)
    responses = args.responses or args.rows * (1 if args.shape else 8)
    vectors = responses // args.group
    if args.shape:
        model, tokenizer, prompt = of_a_shape(args.shape, device, vectors)
    else:
        model, tokenizer, prompt = of_a_pair(args.nla or "pocket", args.device, vectors)
    engine = Lockstep(model, tokenizer, args.rows)
    first, _ = time_lockstep(engine, prompt, args.group, args.cap, seed=1)  # makes the graphs
    runs: dict[str, tuple[float, int] | None] = {}
    runs["lockstep"] = time_lockstep(engine, prompt, args.group, args.cap, seed=2)
    del engine  # its cache is as large as a peer's
    few = replace(prompt, vectors=prompt.vectors[: args.rows // args.group])
    for name, both in (("with log-probabilities", True), ("tokens alone", False)):
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            time_generate(model, tokenizer, few, args.group, 8, args.rows, both)
            timed = time_generate(model, tokenizer, prompt, args.group, args.cap, args.rows, both)
        except torch.OutOfMemoryError:
            timed = None
        runs[f"transformers generate, {name}"] = timed
    weights = [*families.blocks(model).parameters(), *families.head(model).parameters()]
    floor = matmul_ceiling(device, families.embedding(model).weight.dtype) / (2 * sum(w.numel() for w in weights))
    of = {
        "benchmark": "rollout",
        "machine": machine(device),
        "torch": torch.__version__,
        "model": args.shape or args.nla or "pocket",
        "rows": args.rows,
        "responses": responses,
        "group": args.group,
        "prompt_tokens": prompt.length,
        "cap": args.cap,
        "first_call_s": round(first, 2),
    }
    peer_rate = next((made / took for took, made in filter(None, list(runs.values())[1:])), None)

    def ratio(rate: float) -> float | None:
        return round(rate / peer_rate, 2) if peer_rate else None

    for name, run in runs.items():
        if run is None:
            print(json.dumps({**of, "engine": name, "error": "out of memory"}))
            continue
        took, made = run
        line = {"tokens_s": round(made / took), "mean_tokens": round(made / responses, 1), "seconds": round(took, 2)}
        print(json.dumps({**of, "engine": name, **line, "ratio": ratio(made / took)}))
    line = {"tokens_s": round(floor), "ratio": ratio(floor)}
    print(json.dumps({**of, "engine": "floor of the matrix products", **line}))


if __name__ == "__main__":
    main()
