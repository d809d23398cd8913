"""Warm start (SFT) of an AV or an AR on written explanations, resumable to the bit on a CPU.

A run folder holds `config.json`, `metrics.jsonl`, `samples.jsonl`, `checkpoints/step-N/`, `STATUS` and, when it is
done, `model/` in the official layout.
"""

import json
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from thinkaloud import families, ledger
from thinkaloud.atomic import write_text
from thinkaloud.attention import evaluating
from thinkaloud.batching import length_batches
from thinkaloud.config.train import WarmStart, cosine_lr
from thinkaloud.errors import UserError
from thinkaloud.fingerprint import at, fingerprint, revision
from thinkaloud.loading import resolve
from thinkaloud.lock import held
from thinkaloud.pair.formats import save
from thinkaloud.render.text import duration
from thinkaloud.training import checkpoint, plan, run_folder
from thinkaloud.training.data import load_rows, step_rows
from thinkaloud.training.learner import compute_in_bfloat16
from thinkaloud.training.provenance import provenance
from thinkaloud.training.tasks import ARTask, AVTask, base_model, build
from thinkaloud.training.tracking import tracked
from thinkaloud.training.trainer import Part, Trainer

LOG_EVERY = 20
TIMED = 3  # steps after which the time left is told
# Where a run is computed and how often it saves may change between a stop and its resumption; nothing else may.
FREE = ("compute.device", "compute.compile", "save.every", "save.keep", "out", "report_to")


def warm_start(
    config: WarmStart,
    watch: Callable[[dict[str, Any]], None] = lambda metrics: None,
    say: Callable[[str], None] = lambda line: None,
    stop: Callable[[], bool] = lambda: False,
) -> Path:
    """Run, or resume, a warm start; returns the folder of the finished model, or the run's where it was stopped.

    `watch` sees the step it begins at, and every metrics line; `say` is told beforehand what there is to do and, after
    some steps, how long it is, and what a user has to know of a resumption. `stop` is asked after every step: if it
    says yes, the run is saved and ends, to go on by the same call. UserError where another process is at work
    in the folder.
    """
    out = Path(config.out)
    if run_folder.status(out) == "finished":
        run_folder.as_begun(out, config, FREE)
        return out / "model"
    with held(out), tracked(config.report_to, out, config.to_dict(), watch) as seen:
        return _begin_or_go_on(config, out, seen, say, stop)


def _begin_or_go_on(
    config: WarmStart,
    out: Path,
    watch: Callable[[dict[str, Any]], None],
    say: Callable[[str], None],
    stop: Callable[[], bool],
) -> Path:
    begun = run_folder.begun_with(out) if (out / run_folder.CONFIG).exists() else {}
    if begun:
        config = run_folder.as_begun(out, config, FREE)
        ledger.check(out, begun, {"data": run_folder.digest(config.data)})
    commit = begun.get("model", {}).get("commit")
    train, found = load_rows(config.data, "train", config.seed, config.rows)
    held_rows, _ = load_rows(config.data, "heldout", config.seed, config.eval.rows)
    assert found.manifest is not None  # loaded from a folder
    source = at(base_model(config, found.manifest), commit)
    model = {"commit": revision(resolve(source)), "weights": fingerprint(source)}
    if begun:
        ledger.check(out, begun, {"model": model})
    task = build(config, train, held_rows, found.manifest, commit)
    device = next(task.module.parameters()).device.type
    decided = plan.decide(config, families.size(task.module), len(train), device)
    config = config.but(**{name: value for name, value in asdict(decided).items() if name != "steps"})
    if left_out := train.left_out + held_rows.left_out:
        say(f"{left_out:,} rows are left out: their writer was asked and gave no text")
    for line in plan.announcement(config, decided, len(train), *_extent(task, decided.micro_tokens)):
        say(line)
    if task.part.contract.plain_prompt:
        say("the tokenizer has no chat template: the AV's prompt is a plain text")
    if not begun:
        run = {"config": config.to_dict(), "steps": decided.steps, "rows": len(train)}
        run |= {"data": run_folder.digest(config.data), "model": model}
        write_text(out / run_folder.CONFIG, json.dumps({**run, **provenance()}, indent=1))
    if not _run(config, decided, task, out, watch, say, stop):
        return out
    before = task.part.contract
    made = {**before.provenance, "rows": len(train) * config.epochs, "heldout": reached(out)}
    task.part.contract = replace(before, provenance=made)
    save(task.part, out / "model", config.save.dtype)
    write_text(out / run_folder.STATUS, "finished")
    return out / "model"


def reached(out: Path) -> dict[str, float]:
    """The held-out figures a run ended with."""
    last = run_folder.log(out / run_folder.METRICS)[-1]
    return {name: round(value, 4) for name, value in last.items() if name.startswith("heldout") or name == "closed"}


def _extent(task: AVTask | ARTask, micro_tokens: int) -> tuple[int, float]:
    """How many weights learn, and about how many bytes the run takes."""
    learning = sum(p.numel() for p in checkpoint.trainable(task.module).values())
    inner = families.text_model(task.model)
    vocabulary = inner.config.vocab_size if isinstance(task, AVTask) else 0
    shape = families.n_blocks(inner), families.d_model(inner), vocabulary, micro_tokens
    return learning, plan.memory(families.size(task.module), learning, *shape)


def _run(
    config: WarmStart,
    decided: plan.Plan,
    task: AVTask | ARTask,
    out: Path,
    watch: Callable[[dict[str, Any]], None],
    say: Callable[[str], None],
    stop: Callable[[], bool],
) -> bool:
    """Train to the end, or until `stop` says so; whether it came to the end."""
    steps, final = decided.steps, decided.lr * decided.final_lr_ratio
    device = next(task.module.parameters()).device
    rate = partial(cosine_lr, steps=steps, peak=decided.lr, final=final, warmup=decided.warmup_steps)
    trainer = Trainer(
        out,
        task.module,
        [Part("", task.module, rate)],
        steps=steps,
        optim=config.optim,
        betas=(0.9, 0.95),
        watch=watch,
        note=say,
    )
    trainer.state |= {"total": 0.0, "counted": 0}  # what the next line of the log is the mean of
    start = trainer.resume() or 0
    bfloat16 = config.compute.in_bfloat16(device.type)
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=bfloat16)
    if bfloat16:
        compute_in_bfloat16(task.model)
    if config.compute.compile:
        families.compile_blocks(task.model)
    watch({"step": start, "steps": steps})
    since, tokens = time.perf_counter(), 0
    for step in range(start, steps):
        if step == start + TIMED and steps - step > 1:
            each = (time.perf_counter() - since) / TIMED
            say(f"{each:.2g} s a step: about {duration(each * (steps - step))} left, evaluations aside")
        rows = step_rows(step, len(task.train), decided.batch_size, config.seed)
        sizes, weight = task.sizes(rows), task.weight(rows)
        step_loss = torch.zeros((), device=device)
        for micro in length_batches(sizes, decided.micro_tokens):
            with autocast:
                loss = task.loss([rows[i] for i in micro]) / weight
            loss.backward()
            step_loss += loss.detach()
        updated = trainer.update(step)
        if updated["grad_norm"] is not None:
            trainer.state["total"] += float(step_loss)
            trainer.state["counted"] += 1
        tokens += sum(sizes)
        last = step + 1 == steps
        if (step + 1) % LOG_EVERY == 0 or last or (step + 1) % config.eval.every == 0:
            seconds = max(time.perf_counter() - since, 1e-9)
            total, counted = trainer.state["total"], trainer.state["counted"]
            metrics: dict[str, Any] = {
                "step": step + 1,
                "steps": steps,
                "loss": total / counted if counted else None,
                **updated,
                "skipped": trainer.state["skipped"],
                "tokens_per_second": round(tokens / seconds),
            }
            tokens = 0
            trainer.state |= {"total": 0.0, "counted": 0}
            if last or (step + 1) % config.eval.every == 0:
                since = time.perf_counter()
                with autocast, evaluating(task.module):
                    figures, samples = task.evaluate()
                metrics |= {**figures, "seconds_eval": round(time.perf_counter() - since, 3)}
                run_folder.append(out / run_folder.SAMPLES, [{"step": step + 1, **sample} for sample in samples])
            trainer.log(metrics)
            since = time.perf_counter()
        stopped = stop() and not last
        if (step + 1) % config.save.every == 0 or last or stopped:
            trainer.save(step + 1, keep=config.save.keep)
        skipped = trainer.state["skipped"]
        if skipped > 20 and skipped > (step + 1) // 2:
            raise UserError(f"{skipped} of {step + 1} steps had non-finite gradients: lower --lr, or look at the data")
        if stopped:
            trainer.stopped(step + 1)
            return False
    return True
