"""Train the pocket base model: an 8-layer Llama that reads prose, chats and the pocket world.

Run on one GPU: `python -m thinkaloud.pocket.base --corpus FOLDER --out DIR`. It trains the tokenizer (unless one is
given), the model, packs it to eight bits, and from there on only the packed model counts: its held-out bits a byte go
into `metrics.json`, and every vector the NLA learns from is the packed model's.
"""

import json
import math
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.nn import functional as F

from thinkaloud import loading, quant
from thinkaloud.activations.corpus import split_of
from thinkaloud.config.train import cosine_lr
from thinkaloud.errors import UserError
from thinkaloud.pocket import corpus as pocket_corpus
from thinkaloud.pocket import tokenizer as pocket_tokenizer
from thinkaloud.training.trainer import adamw


@dataclass(frozen=True)
class BaseConfig:
    """The pocket base model and its training. Rows are `context` tokens; a batch holds `batch` rows."""

    d_model: int = 256
    layers: int = 8
    heads: int = 4
    kv_heads: int = 2
    intermediate: int = 736
    context: int = 512
    steps: int = 3000
    batch: int = 256
    lr: float = 3e-3
    final_lr: float = 1e-4  # of the step after the last
    warmup: int = 100
    weight_decay: float = 0.1
    world_share: float = 0.25
    world_documents: int = 240_000
    seed: int = 0


def build(config: BaseConfig, tokenizer: Any) -> Any:
    """A fresh model with weights drawn from `config.seed`."""
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(config.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.d_model,
            intermediate_size=config.intermediate,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.kv_heads,
            max_position_embeddings=config.context,
            tie_word_embeddings=True,
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )


def encode(tokenizer: Any, texts: list[str]) -> list[np.ndarray]:
    """Token ids of every text without BOS, as uint16."""
    encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
    return [np.asarray(ids, dtype=np.uint16) for ids in encoded]


def rows(documents: Iterable[np.ndarray], bos: int, context: int) -> np.ndarray:
    """Documents laid end to end in rows of `context` + 1 tokens; rows and pieces of documents open with BOS.

    A rest that does not fill the last row is left out. UserError if there is no whole row.
    """
    out, row = [], []
    for ids in documents:
        start = 0
        while start < len(ids):
            piece = ids[start : start + context - len(row)]
            row += [bos, *piece.tolist()]
            start += len(piece)
            if len(row) > context - 8:
                out.append(row[: context + 1] + [bos] * (context + 1 - len(row)))
                row = []
    if not out:
        raise UserError(f"the documents fill no row of {context} tokens: more text is needed")
    return np.asarray(out, dtype=np.uint16)


def batches(main: Tensor, world: Tensor, config: BaseConfig) -> Iterator[Tensor]:
    """Batches [batch, context + 1] of int64: `world_share` of each from the world, both shuffled anew every epoch."""
    generator = torch.Generator().manual_seed(config.seed)
    share = round(config.batch * config.world_share)

    def stream(table: Tensor, n: int) -> Iterator[Tensor]:
        order = torch.empty(0, dtype=torch.int64)
        while True:
            while len(order) < n:
                order = torch.cat([order, torch.randperm(len(table), generator=generator)])
            yield table[order[:n].to(table.device)]
            order = order[n:]

    for a, b in zip(stream(main, config.batch - share), stream(world, share), strict=False):
        yield torch.cat([a, b]).long()


def loss_of(model: Any, batch: Tensor, bos: int) -> Tensor:
    """Mean next-token cross-entropy (nats) over targets that are not BOS."""
    logits = model(input_ids=batch[:, :-1], use_cache=False).logits
    return F.cross_entropy(logits.float().flatten(0, 1), batch[:, 1:].flatten(), ignore_index=bos)


def train(
    model: Any, main: np.ndarray, world: np.ndarray, config: BaseConfig, bos: int, device: str
) -> list[dict[str, float]]:
    """AdamW with float32 weights and bfloat16 matmuls on a GPU; returns the log."""
    model.to(device).train()
    optimizer = adamw([model.parameters()], config.weight_decay, (0.9, 0.95))
    step_loss = torch.compile(loss_of) if device == "cuda" else loss_of
    to = lambda table: torch.from_numpy(table.astype(np.int16)).to(device)  # noqa: E731 (vocabulary < 32,768)
    log, started = [], time.time()
    for step, batch in enumerate(batches(to(main), to(world), config)):
        if step == config.steps:
            break
        for group in optimizer.param_groups:
            group["lr"] = cosine_lr(step, config.steps + 1, config.lr, config.final_lr, config.warmup)
        with torch.autocast(device, dtype=torch.bfloat16, enabled=device == "cuda"):
            loss = step_loss(model, batch, bos)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 100 == 0 or step == config.steps - 1:
            log.append({"step": step, "loss": loss.item(), "seconds": round(time.time() - started, 1)})
            print(json.dumps(log[-1]), flush=True)
    return log


@torch.inference_mode()
def bits_per_byte(model: Any, tokenizer: Any, texts: list[str], context: int = 512) -> float:
    """Bits a UTF-8 byte over windows of `context` tokens, each opened with BOS: every token is predicted once."""
    device = next(model.parameters()).device
    bos, nats, n_bytes = tokenizer.bos_token_id, 0.0, sum(len(t.encode()) for t in texts)
    windows = [
        torch.from_numpy(np.concatenate([[bos], ids[s : s + context - 1]]).astype(np.int64))
        for ids in encode(tokenizer, texts)
        for s in range(0, len(ids), context - 1)
    ]
    windows.sort(key=len)
    for i in range(0, len(windows), 64):
        batch = torch.nn.utils.rnn.pad_sequence(windows[i : i + 64], batch_first=True, padding_value=-100).to(device)
        logits = model(input_ids=batch.clamp_min(0), use_cache=False).logits[:, :-1].float()
        nats += float(F.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="sum"))
    return nats / math.log(2) / n_bytes


def _parted(documents: Iterable[dict[str, Any]]) -> tuple[list[str], list[str]]:
    """The texts of train and of held-out documents."""
    parts: dict[str, list[str]] = {"train": [], "heldout": []}
    for document in documents:
        parts[split_of(document["id"], pocket_corpus.HELDOUT)].append(pocket_corpus.as_text(document))
    return parts["train"], parts["heldout"]


def main(
    corpus: Path,
    out: Path,
    config: tyro.conf.OmitArgPrefixes[BaseConfig] = BaseConfig(),
    tokenizer: Path | None = None,
    tokenizer_only: bool = False,
    also: Path | None = None,
) -> None:
    """Train the pocket base model and pack it to eight bits.

    Args:
        corpus: folder with prose-*.txt.xz and chat-*.jsonl.xz
        out: folder to write
        tokenizer: folder of a tokenizer to use, in place of training one
        tokenizer_only: stop when the tokenizer is there
        also: further text for the tokenizer, such as a sample of explanations
    """
    out.mkdir(parents=True, exist_ok=True)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if not any(corpus.glob("*.xz")):
        raise SystemExit(f"no prose-*.txt.xz and no chat-*.jsonl.xz in {corpus}")
    prose, prose_held = _parted(pocket_corpus.prose(corpus))
    chats, chats_held = _parted(pocket_corpus.chats(corpus))
    with ProcessPoolExecutor() as pool:
        document = partial(pocket_corpus.world_document, seed=config.seed)
        world, world_held = _parted(pool.map(document, range(config.world_documents), chunksize=2000))
    print(f"documents: prose {len(prose)}, chats {len(chats)}, world {len(world)}", flush=True)

    if tokenizer:
        tok = loading.load_tokenizer(tokenizer)
    else:
        more = [also.read_text(encoding="utf-8")] if also else []
        tok = pocket_tokenizer.train(prose[::5] + chats[::5] + world[::40] + more)
    tok.save_pretrained(str(out))
    if tokenizer_only:
        return

    main_rows, world_rows = (
        rows(encode(tok, texts), tok.bos_token_id, config.context) for texts in (prose + chats, world)
    )
    print(f"rows of {config.context}: prose and chats {len(main_rows)}, world {len(world_rows)}", flush=True)
    model = build(config, tok)
    started = time.time()
    log = train(model, main_rows, world_rows, config, tok.bos_token_id, device)
    seconds = time.time() - started

    quant.save({k: v for k, v in model.state_dict().items() if k != "lm_head.weight"}, out / "model.safetensors")
    model.config.save_pretrained(out)
    model = loading.load_causal_lm(out, device, "float32")
    held = {
        "prose, held-out books and articles": [d["text"] for d in pocket_corpus.prose(corpus, "prose-heldout.txt.xz")],
        "prose, held-out documents": prose_held[:150],
        "chats, held-out": chats_held[:400],
        "world, held-out": world_held[:1000],
    }
    metrics = {
        "config": asdict(config),
        "parameters": sum(p.numel() for p in model.parameters()),
        "tokens": config.steps * config.batch * config.context,
        "rows": {"prose_and_chats": len(main_rows), "world": len(world_rows)},
        "seconds": round(seconds, 1),
        "bits_per_byte": {name: bits_per_byte(model, tok, texts, config.context) for name, texts in held.items()},
        "log": log,
    }
    (out / "metrics.json").write_text(json.dumps(metrics, indent=1))
    print(json.dumps({k: v for k, v in metrics.items() if k != "log"}, indent=1))


if __name__ == "__main__":
    tyro.cli(main, prog="python -m thinkaloud.pocket.base")
