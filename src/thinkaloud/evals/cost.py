"""Evaluation of cost: tokens, time and memory of an explanation, and of reading one, on this machine."""

import os
import platform
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from thinkaloud.evals.base import Bench, Evaluation, Measured, Records, Row
from thinkaloud.evals.explained import evaluation

BATCH = 32


@evaluation("cost")
class Cost(Evaluation):
    """Cost: tokens, seconds and memory of an explanation"""

    source = "None: figures to plan by."
    metric = (
        f"A batch of {BATCH} greedy explanations, made anew, in wall time; and the same texts read by the AR. "
        "Tokens an explanation are those of all greedy ones, tags included. Memory is the most that the process "
        "has held since it began, on a GPU the most allocated there in this batch."
    )
    limits = "What another batch size, machine or load would give; the first batch of a process may be slower."

    def measure(self, bench: Bench) -> Records:
        rows = np.unique(np.linspace(0, len(bench.data) - 1, min(BATCH, len(bench.data))).round().astype(int))
        device = bench.nla.verbalizer.device
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        vectors = bench.vectors[torch.from_numpy(rows)]
        started = time.perf_counter()
        said = [one[0] for one in bench.explain(vectors, "cost")]
        explained = time.perf_counter() - started
        started = time.perf_counter()
        bench.reconstruct([bench.texts[row] for row in rows])
        read = time.perf_counter() - started
        return [
            {
                "explanations": len(said),
                "tokens": sum(len(one.token_ids) for one in said),
                "explain_s": explained,
                "read_s": read,
                "memory": _memory(device),
                "device": torch.cuda.get_device_name(device) if device.type == "cuda" else _processor(),
                "platform": platform.platform(),
                "threads": torch.get_num_threads(),
                "cores": os.cpu_count() or 0,
            }
        ]

    def rows(self, found: Measured) -> Iterator[Row]:
        if found.own.empty:
            return
        one = found.own.iloc[0]
        n, seconds = int(one["explanations"]), float(one["explain_s"])
        machine = f"{one['device']}, {one['threads']} threads of {one['cores']} cores, {one['platform']}"
        quantities: list[tuple[str, Any]] = [
            ("tokens an explanation", found.share(found.greedy["tokens"], found.docs)),
            (f"seconds an explanation, {n} at once", seconds / n),
            ("tokens a second", float(one["tokens"]) / seconds),
            ("texts a second that the AR reads", n / float(one["read_s"])),
            ("peak memory, GiB", float(one["memory"]) / 2**30),
            ("machine", machine),
        ]
        for name, value in quantities:
            yield {"cost": name}, {"value": value}


def _memory(device: torch.device) -> int:
    """The most bytes held so far."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # not on Windows
        return 0
    unit = 1 if platform.system() == "Darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _processor() -> str:
    """The processor's name where the system says it."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
