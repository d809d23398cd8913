"""Speed of reconstruction, against one by one, batches of 32, and the arithmetic floor.

    python benchmarks/reconstruct.py --shape qwen2.5-7b --device cuda

Ours is `Reconstructor.reconstruct` on texts, as it is and after `compile()`: tokenising, batches by length, the blocks
up to the site, the head, the vectors on the CPU; the first call, which compiles, is timed apart. The usual ways are
given token ids, run the same blocks on one row, or on 32 padded and masked rows, and fetch every batch. Weights are
random. Prints one JSON line.
"""

import argparse
import json
import random
import time
from typing import Any

import torch
from shapes import LAYER, SHAPES, machine, make_model, make_tokenizer, matmul_ceiling

from thinkaloud import families
from thinkaloud.contract import Contract
from thinkaloud.pair.formats.official import head_from
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.site import Site

TEMPLATE = "{explanation}\nw1"
TEXTS = {"qwen2.5-7b": 2048, "qwen2.5-1.5b": 2048, "tiny": 256}


def make_ar(shape: str, device: torch.device) -> Reconstructor:
    """An AR of the shape with random weights and an identity head."""
    model, tokenizer = make_model(shape, device), make_tokenizer(SHAPES[shape]["vocab_size"])
    d_model, site = families.d_model(model), Site("resid_post", LAYER[shape])
    contract = Contract("ar", d_model, site, ar_template=TEMPLATE, mse_scale=d_model**0.5, ar_suffix_ids=(1,))
    head = head_from(torch.eye(d_model)).to(device)
    return Reconstructor(families.truncated(model, site.layer), head, tokenizer, contract)


def time_ours(ar: Reconstructor, texts: list[str]) -> float:
    """Texts a second, after a warm-up."""
    ar.reconstruct(texts[: len(texts) // 4])
    begin = time.perf_counter()
    ar.reconstruct(texts)
    return len(texts) / (time.perf_counter() - begin)


@torch.inference_mode()
def time_usual_way(ar: Reconstructor, encoded: list[list[int]], batch: int) -> float:
    """Seconds for padded, masked batches in the order given, each fetched before the next."""
    begin = time.perf_counter()
    for start in range(0, len(encoded), batch):
        rows = encoded[start : start + batch]
        ids = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = torch.tensor(row), 1
        last: Any = mask.sum(1) - 1
        out = ar.backbone(input_ids=ids.to(ar.device), attention_mask=mask.to(ar.device), use_cache=False)
        ar.head(out.last_hidden_state[torch.arange(len(rows)), last].float()).cpu()
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--tokens", type=int, default=140, help="tokens of a text")
    args = parser.parse_args()
    device, n = torch.device(args.device), TEXTS[args.shape]
    ar, rng, vocab = make_ar(args.shape, device), random.Random(0), SHAPES[args.shape]["vocab_size"]
    texts = [" ".join(f"w{rng.randrange(1, vocab)}" for _ in range(args.tokens)) for _ in range(n)]
    ours = time_ours(ar, texts)
    encoded = ar.encode(texts)
    rates = {}
    for batch, rows in ((1, n // 16), (32, n // 2)):
        time_usual_way(ar, encoded[: 2 * batch], batch)
        rates[batch] = rows / time_usual_way(ar, encoded[:rows], batch)
    begin = time.perf_counter()
    ar.compile().reconstruct(texts[: n // 4])
    compiling = time.perf_counter() - begin
    compiled = time_ours(ar, texts)
    ceiling = matmul_ceiling(device, next(ar.backbone.parameters()).dtype)
    blocks = families.blocks(ar.backbone)
    floor = ceiling / (2 * sum(p.numel() for p in blocks.parameters()) * len(encoded[0]))
    result = {
        "benchmark": "reconstruct",
        "machine": machine(device),
        "torch": torch.__version__,
        "shape": args.shape,
        "layer": LAYER[args.shape],
        "texts": n,
        "tokens": len(encoded[0]),
        "texts_s": round(compiled, 1),
        "not_compiled_texts_s": round(ours, 1),
        "first_call_s": round(compiling, 1),
        "one_by_one_texts_s": round(rates[1], 1),
        "batches_of_32_texts_s": round(rates[32], 1),
        "times_batches_of_32": round(compiled / rates[32], 2),
        "ceiling_tflop_s": round(ceiling / 1e12, 2),
        "floor_texts_s": round(floor, 1),
        "share_of_floor": round(compiled / floor, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
