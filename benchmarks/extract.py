"""How fast are activations taken, against the usual way and against the arithmetic?

    python benchmarks/extract.py --shape qwen2.5-7b --device cuda

Ours is the whole path: reading JSONL, tokenising, choosing positions, the forward pass to the site, shards and
manifest on disk. The usual way is timed on its forward passes alone: batches of 16 as the corpus has them, padded and
masked, all blocks and the output head, the site's hidden states copied whole to the CPU in float32. Weights are random;
the matmul ceiling that the floor rests on is measured in the same run. Prints one JSON line.
"""

import argparse
import json
import platform
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, Qwen2Config

from thinkaloud import families
from thinkaloud.activations import Activations, ExtractOptions, extract_to, read_corpus
from thinkaloud.activations.tokens import encode
from thinkaloud.site import Site

SHAPES: dict[str, dict[str, Any]] = {
    "qwen2.5-7b": {
        "hidden_size": 3584,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
        "intermediate_size": 18944,
        "vocab_size": 152064,
        "max_position_embeddings": 32768,
    },
    "tiny": {
        "hidden_size": 256,
        "num_hidden_layers": 9,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
        "intermediate_size": 1024,
        "vocab_size": 8192,
        "max_position_embeddings": 4096,
    },
}
LAYER = {"qwen2.5-7b": 20, "tiny": 5}
DOCUMENTS = {"qwen2.5-7b": (512, 160), "tiny": (32, 16)}  # ours, the usual way
PEER_BATCH = 16


def make_tokenizer(vocab_size: int) -> Any:
    """One token a word, `w0` to the end of the vocabulary: any text of such words has a known length."""
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(vocab_size)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words)


def make_model(shape: str, device: torch.device) -> Any:
    """A model of the shape with random weights, drawn on the device."""
    config = Qwen2Config(**SHAPES[shape], tie_word_embeddings=False)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=dtype)
    return model.eval().requires_grad_(False)


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
    manifest = extract_to(folder, model, tokenizer, read_corpus(corpus), site, ExtractOptions(), "random weights")
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


def matmul_ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """Floating-point operations a second of a large square matmul: the best of ten."""
    n = 8192 if device.type == "cuda" else 1024
    a = torch.randn(n, n, device=device, dtype=dtype)
    best = float("inf")
    for _ in range(10):
        begin = time.perf_counter()
        torch.matmul(a, a)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - begin)
    return 2 * n**3 / best


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
        "machine": torch.cuda.get_device_name()
        if device.type == "cuda"
        else platform.processor() or platform.machine(),
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
