"""Activations on accelerators: every one of them gives what the CPU gives, whichever is the current one."""

import pytest
import tiny
import torch

from thinkaloud.activations.forward import Pass
from thinkaloud.site import Site

pytestmark = pytest.mark.gpu


def test_every_gpu_reads_what_the_cpu_reads() -> None:
    """Large enough that a copy to memory which is not waited for would still be under way."""
    sequences = [[(7 * i + j) % 50 for j in range(200)] for i in range(400)]
    positions = [list(range(0, 200, 5))] * len(sequences)
    model, site = tiny.model("llama"), Site("resid_post", 1)
    wanted = Pass(model, site)(sequences, positions, 4096)().vectors
    for k in range(torch.cuda.device_count()):
        found = Pass(model.to(f"cuda:{k}"), site)(sequences, positions, 100_000)().vectors
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)
