"""Speed of extraction, against the usual way and against the arithmetic floor.

    python benchmarks/extract.py --shape qwen2.5-7b --device cuda

Ours is the whole path: reading JSONL, tokenising, choosing positions, the forward pass to the site, shards and
manifest on disk. The usual way is timed on its forward passes alone: batches of 16 as the corpus has them, padded and
masked, all blocks and the output head, the site's hidden states copied whole to the CPU in float32. Weights are random;
the matmul ceiling that the floor rests on is measured in the same run. Prints one JSON line.
"""

import argparse
import json
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import torch
from shapes import LAYER, SHAPES, machine, make_model, make_tokenizer, matmul_ceiling

from thinkaloud import families
from thinkaloud.activations import Activations, extract_to, read_corpus
from thinkaloud.activations.tokens import encode
from thinkaloud.config.data import Extract
from thinkaloud.site import Site

DOCUMENTS = {"qwen2.5-7b": (512, 160), "qwen2.5-1.5b": (512, 160), "tiny": (32, 16)}  # ours, the usual way
PEER_BATCH = 16


def write_corpus(path: Path, n: int, vocab_size: int, seed: int) -> None:
    """`n` documents of 1,000 to 2,000 tokens."""
    rng = random.Random(seed)
    with path.open("w") as file:
        for _ in range(n):
            text = " ".join(f"w{rng.randrange(1, vocab_size)}" for _ in range(rng.randint(1000, 2000)))
            file.write(json.dumps({"text": text}) + "\n")


def time_ours(folder: Path, corpus: Path, model: Any, tokenizer: Any, site: Site) -> tuple[float, int, int]:
    """(seconds, tokens of the documents, tokens that entered the model)."""
    begin = time.perf_counter()
    config = Extract(corpus=str(corpus), out=folder)
    manifest = extract_to(config, model, tokenizer, read_corpus(corpus), site, "random weights")
    seconds = time.perf_counter() - begin
    assert manifest is not None
    last = Activations.load(folder).table.group_by("doc_id").aggregate([("position", "max")])["position_max"]
    return seconds, manifest["counts"]["tokens"], int(pc.sum(pc.add(last, 1)).as_py())  # type: ignore[attr-defined]


@torch.no_grad()
def time_usual_way(documents: Sequence[Sequence[int]], model: Any, site: Site, device: torch.device) -> float:
    """Seconds for all blocks and the output head on padded batches in the order of the corpus."""
    found: list[torch.Tensor] = []

    def keep(_module: Any, _inputs: Any, output: Any) -> None:
        found.append((output[0] if isinstance(output, tuple) else output).float().cpu())

    hook = families.blocks(model)[site.layer].register_forward_hook(keep)
    begin = time.perf_counter()
    for start in range(0, len(documents), PEER_BATCH):
        batch = documents[start : start + PEER_BATCH]
        ids = torch.zeros(len(batch), max(map(len, batch)), dtype=torch.int64)
        mask = torch.zeros_like(ids)
        for row, document in enumerate(batch):
            ids[row, : len(document)] = torch.tensor(document)
            mask[row, : len(document)] = 1
        model(input_ids=ids.to(device), attention_mask=mask.to(device), use_cache=False)
        found.clear()
    seconds = time.perf_counter() - begin
    hook.remove()
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--shape", choices=SHAPES, default="tiny")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    device, site = torch.device(args.device), Site("resid_post", LAYER[args.shape])
    vocab_size = SHAPES[args.shape]["vocab_size"]
    model, tokenizer = make_model(args.shape, device), make_tokenizer(vocab_size)
    n_ours, n_peer = DOCUMENTS[args.shape]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_corpus(folder / "warm.jsonl", 32, vocab_size, seed=1)
        write_corpus(folder / "corpus.jsonl", n_ours, vocab_size, seed=0)
        time_ours(folder / "warm", folder / "warm.jsonl", model, tokenizer, site)
        seconds, tokens, tokens_run = time_ours(folder / "out", folder / "corpus.jsonl", model, tokenizer, site)
        peer_documents = [ids for ids in encode(tokenizer, list(read_corpus(folder / "corpus.jsonl"))[:n_peer]) if ids]
    time_usual_way(peer_documents[:PEER_BATCH], model, site, device)
    peer_seconds = time_usual_way(peer_documents, model, site, device)
    blocks = families.blocks(model)[: site.layer + 1]
    ceiling = matmul_ceiling(device, next(model.parameters()).dtype)
    floor = ceiling / (2 * sum(p.numel() for p in blocks.parameters()))
    peer = sum(map(len, peer_documents)) / peer_seconds
    result = {
        "benchmark": "extract",
        "machine": machine(device),
        "torch": torch.__version__,
        "shape": args.shape,
        "layer": site.layer,
        "documents": n_ours,
        "tok_s": round(tokens / seconds),
        "peer_tok_s": round(peer),
        "times_peer": round(tokens / seconds / peer, 2),
        "ceiling_tflop_s": round(ceiling / 1e12, 2),
        "floor_tok_s": round(floor),
        "share_of_floor": round(tokens_run / seconds / floor, 3),
        "share_of_tokens_run": round(tokens_run / tokens, 3),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
