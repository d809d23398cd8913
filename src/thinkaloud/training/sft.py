"""Warm start: supervised training of an AV or an AR on written explanations, resumable to the bit on a CPU.

A run folder holds `config.json`, `metrics.jsonl`, `samples.jsonl`, `checkpoints/step-N/`, `STATUS` and, when it is
done, `model/` in the official layout.
"""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from thinkaloud.atomic import write_text
from thinkaloud.attention import evaluating
from thinkaloud.errors import UserError
from thinkaloud.fingerprint import at, fingerprint, revision
from thinkaloud.loading import resolve
from thinkaloud.lock import held
from thinkaloud.pair.formats import adapters
from thinkaloud.pair.reconstructor import length_batches
from thinkaloud.training import checkpoint, run_folder
from thinkaloud.training.config import WarmStart, cosine_lr, in_bfloat16
from thinkaloud.training.data import load_rows, step_rows
from thinkaloud.training.provenance import provenance
from thinkaloud.training.tasks import ARTask, AVTask, base_model, build

LOG_EVERY = 20
# Where a run is computed and how often it saves may change between a stop and its resumption; nothing else may.
FREE = ("device", "save_every", "out")


def warm_start(config: WarmStart, watch: Callable[[dict[str, Any]], None] = lambda metrics: None) -> Path:
    """Run, or resume, a warm start; returns the folder of the finished model. `watch` sees every metrics line.

    A line may be a note in words, {"note": …}. UserError where another process is at work in the folder.
    """
    out = Path(config.out)
    if run_folder.status(out) == "finished":
        run_folder.same_config(out, config.to_dict(), FREE)
        return out / "model"
    with held(out):
        return _begin_or_go_on(config, out, watch)


def _begin_or_go_on(config: WarmStart, out: Path, watch: Callable[[dict[str, Any]], None]) -> Path:
    begun = run_folder.begun_with(out) if (out / run_folder.CONFIG).exists() else {}
    if begun:
        run_folder.same_config(out, config.to_dict(), FREE)
        run_folder.same_data(out, config.data)
    commit = begun.get("model", {}).get("commit")
    train, found = load_rows(config.data, "train", config.seed, config.rows)
    held_rows, _ = load_rows(config.data, "heldout", config.seed, config.eval_rows)
    assert found.manifest is not None  # loaded from a folder
    source = at(base_model(config, found.manifest), commit)
    model = {"commit": revision(resolve(source)), "weights": fingerprint(source)}
    if begun:
        run_folder.same_model(out, model)
    task = build(config, train, held_rows, found.manifest, commit)
    steps = config.epochs * -(-len(train) // config.batch)
    if not begun:
        run = {"config": config.to_dict(), "steps": steps, "rows": len(train), "data": run_folder.digest(config.data)}
        write_text(out / run_folder.CONFIG, json.dumps({**run, "model": model, **provenance()}, indent=1))
    _run(config, task, steps, out, watch)
    task.save(out / "model")
    write_text(out / run_folder.STATUS, "finished")
    return out / "model"


def _run(
    config: WarmStart, task: AVTask | ARTask, steps: int, out: Path, watch: Callable[[dict[str, Any]], None]
) -> None:
    parameters = checkpoint.trainable(task.module)
    matrices = [p for p in parameters.values() if p.ndim >= 2]
    vectors = [p for p in parameters.values() if p.ndim < 2]
    device = next(iter(parameters.values())).device
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": config.weight_decay}, {"params": vectors, "weight_decay": 0.0}],
        lr=config.lr,
        betas=(0.9, 0.95),
        fused=device.type == "cuda",
    )
    folder, start, skipped = out / "checkpoints", 0, 0
    total, counted = 0.0, 0  # what the next line of the log is the mean of
    done = checkpoint.newest(folder, lambda text: watch({"note": text}))
    if done is not None:
        state = checkpoint.load(folder, done, task.module, optimizer)
        start, skipped, total, counted = (state[name] for name in ("step", "skipped", "total", "counted"))
    run_folder.forget_after(out / run_folder.METRICS, start)
    run_folder.forget_after(out / run_folder.SAMPLES, start)
    bfloat16 = in_bfloat16(config.dtype, device.type)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)
    if bfloat16:
        adapters.cast_by_autocast(task.module)
    since, tokens = time.perf_counter(), 0
    for step in range(start, steps):
        rows = step_rows(step, len(task.train), config.batch, config.seed)
        lr = cosine_lr(step, steps, config.lr, config.final_lr, config.warmup)
        for group in optimizer.param_groups:
            group["lr"] = lr
        sizes, weight = task.sizes(rows), task.weight(rows)
        step_loss = torch.zeros((), device=device)
        for micro in length_batches(sizes, config.micro_tokens):
            with autocast:
                loss = task.loss([rows[i] for i in micro]) / weight
            loss.backward()
            step_loss += loss.detach()
        norm = float(torch.nn.utils.clip_grad_norm_(list(parameters.values()), config.clip))
        if math.isfinite(norm):
            optimizer.step()
            total, counted = total + float(step_loss), counted + 1
        else:
            skipped += 1
        optimizer.zero_grad(set_to_none=True)
        tokens += sum(sizes)
        last = step + 1 == steps
        if (step + 1) % LOG_EVERY == 0 or last or (step + 1) % config.eval_every == 0:
            seconds = max(time.perf_counter() - since, 1e-9)
            metrics: dict[str, Any] = {
                "step": step + 1,
                "steps": steps,
                "loss": total / counted if counted else None,
                "lr": lr,
                "grad_norm": norm if math.isfinite(norm) else None,
                "skipped": skipped,
                "tokens_per_second": round(tokens / seconds),
            }
            tokens, total, counted = 0, 0.0, 0
            if last or (step + 1) % config.eval_every == 0:
                with autocast, evaluating(task.module):
                    figures, samples = task.evaluate()
                metrics |= figures
                run_folder.append(out / "samples.jsonl", [{"step": step + 1, **sample} for sample in samples])
            run_folder.append(out / "metrics.jsonl", [metrics])
            watch(metrics)
            since = time.perf_counter()
        if (step + 1) % config.save_every == 0 or last:
            state = {"skipped": skipped, "total": total, "counted": counted}
            checkpoint.save(folder, step + 1, task.module, optimizer, state)
            write_text(out / "STATUS", f"running {step + 1} of {steps}")
        if skipped > 20 and skipped > (step + 1) // 2:
            raise UserError(f"{skipped} of {step + 1} steps had non-finite gradients: lower --lr, or look at the data")
