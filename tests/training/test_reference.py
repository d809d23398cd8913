"""The reference weights are those of the start, whatever learns since, with adapters and under FSDP2 as well."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from torch import nn

from thinkaloud import families
from thinkaloud.config.groups import Lora
from thinkaloud.pair.formats import adapters, save
from thinkaloud.training.learner import require_gradients
from thinkaloud.training.reference import Reference

INPUT = torch.linspace(-1, 1, 6).reshape(2, 3)
IDS = torch.arange(40, 60)[None]


def layers() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def learn(module: Any, given: Any = INPUT, steps: int = 3) -> None:
    learns = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learns, lr=0.1, weight_decay=0.1)
    for _ in range(steps):
        out = module(given)
        getattr(out, "logits", out).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_the_reference_stays_and_the_model_learns() -> None:
    module = layers()
    reference, start = Reference(module), module(INPUT)
    learn(module)
    live, places = module(INPUT), [p.data_ptr() for p in module.parameters()]
    assert not torch.allclose(live, start, atol=0.01)
    for _ in range(2):
        with reference.reference_weights() as before:
            assert torch.equal(before(INPUT), start)
        assert torch.equal(module(INPUT), live)
    assert [p.data_ptr() for p in module.parameters()] == places, "an optimizer finds its parameters where they were"
    learn(module)
    with reference.reference_weights() as before:
        assert torch.equal(before(INPUT), start), "what was learned since did not touch the copy"


def test_no_gradient_is_made_inside_and_none_is_lost() -> None:
    module = layers()
    reference = Reference(module)
    module(INPUT).sum().backward()
    kept = [p.grad for p in module.parameters()]
    with reference.reference_weights() as before:
        assert not before(INPUT).requires_grad
    assert not any(p.requires_grad for p in reference.module.parameters())
    assert all(p.grad is gradient for p, gradient in zip(module.parameters(), kept, strict=True))
    assert module(INPUT).requires_grad


def test_what_does_not_learn_is_shared() -> None:
    module = layers()
    module[0].requires_grad_(False)
    reference = Reference(module)
    assert reference.module[0].weight is module[0].weight
    assert reference.module[2].weight is not module[2].weight
    assert module[2].weight.requires_grad


def test_tied_weights_are_kept_once_and_stay_tied() -> None:
    model = tiny.model("gemma2")
    reference = Reference(model)
    start = families.embedding(model).weight.detach().clone()
    with torch.no_grad():
        families.embedding(model).weight.add_(1.0)
    with reference.reference_weights() as before:
        assert families.embedding(before).weight is before.lm_head.weight
        assert torch.equal(before.lm_head.weight, start)
    assert torch.equal(model.lm_head.weight, start + 1.0)


def adapted(name: str, zero: bool) -> Any:
    model = require_gradients(tiny.model(name), "adapter", Lora(rank=4, alpha=4))
    if not zero:
        learn(model, IDS, 2)
    return model


@pytest.mark.parametrize("zero", [True, False], ids=["fresh", "learned"])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_reference_of_an_adapter_is_the_adapter_as_it_was(name: str, zero: bool) -> None:
    model = adapted(name, zero)
    start = model(IDS).logits.detach()
    asked = {parameter: parameter.requires_grad for parameter in model.parameters()}
    reference = Reference(model)
    assert reference.module is model, "one base model for both"
    assert any("reference" in part for part, _ in model.named_parameters()) == (not zero)
    learn(model, IDS)
    live = model(IDS).logits
    assert (live - start).abs().max() > 0.1
    with reference.reference_weights() as before:
        assert torch.equal(before(IDS).logits, start)
        with reference.reference_weights():
            assert torch.equal(before(IDS).logits, start)
        assert torch.equal(before(IDS).logits, start)
    with pytest.raises(ZeroDivisionError), reference.reference_weights():
        raise ZeroDivisionError
    assert torch.equal(model(IDS).logits, live)
    assert all(parameter.requires_grad is asks for parameter, asks in asked.items())
    assert torch.allclose(model.merge_and_unload()(IDS).logits, live, atol=1e-4), "the one that learned is merged"


def test_a_head_beside_an_adapter_is_kept_too() -> None:
    module: Any = nn.ModuleDict({"backbone": adapted("llama", False), "head": nn.Linear(32, 32)})
    reference = Reference(module)
    assert reference.module["backbone"] is module["backbone"]
    start = module["head"].weight.detach().clone()
    with torch.no_grad():
        module["head"].weight.add_(1.0)
    assert torch.equal(reference.module["head"].weight, start)
    assert module["head"].weight.requires_grad
    assert not reference.module["head"].weight.requires_grad


def test_a_saved_adapter_has_no_reference(tmp_path: Path) -> None:
    av = tiny.verbalizer()
    av.model = adapted("llama", False)
    save(av, tmp_path / "before")
    Reference(av.model)
    save(av, tmp_path / "after")
    files = [tmp_path / name / adapters.WEIGHTS for name in ("before", "after")]
    assert files[0].read_bytes() == files[1].read_bytes()


# Two processes, each with half of every matrix, go through updates beside the same policy in one piece.
SHARDED = """
import json, sys
import test_policy as given
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from thinkaloud import attention, families
from thinkaloud.training.policy import Policy

rank, av, form, out = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
dist.init_process_group("gloo", init_method=f"file://{out}/store", rank=rank, world_size=2)
mesh = init_device_mesh("cpu", (2,))

def shard(model):
    for part in (*families.blocks(model), families.head(model), families.embedding(model)):
        fully_shard(part, mesh=mesh, reshard_after_forward=True)

def reference_logprobs(policy):
    found = []
    with policy._packed_attention(), policy.reference.reference_weights() as model:
        for batch in policy._batches(given.RESPONSES, 3, 60):
            states = policy._states(policy.reference_verbalizer, given.VECTORS, batch)
            found.append(policy._logprobs(model, states, batch.targets))
    return torch.cat(found).tolist()

said = {}
for sharded in (False, True):
    policy = Policy(getattr(given, av)(), given.config(kl_form=form, kl=0.3))
    if sharded:
        for model in {id(m): m for m in (policy.model, policy.reference.module)}.values():
            shard(model)
    optimizer = torch.optim.AdamW([p for p in policy.model.parameters() if p.requires_grad], lr=3e-3)
    kls = []
    for _ in range(3):
        kls.append(policy.update(given.VECTORS, given.RESPONSES, given.WORTH, 60).kl.tolist())
        optimizer.step()
        optimizer.zero_grad()
    last = policy.evaluate(given.VECTORS, given.RESPONSES, 60)
    said["sharded" if sharded else "whole"] = {
        "reference": reference_logprobs(policy), "kls": kls, "logprobs": last.logprobs.tolist(), "kl": last.kl.tolist()
    }
with open(f"{out}/{rank}.json", "w") as file:
    json.dump(said, file)
dist.barrier()  # who leaves while the other still talks to it may be aborted
dist.destroy_process_group()
"""


@pytest.mark.parametrize("form", ["k3", pytest.param("full", marks=pytest.mark.slow)])
@pytest.mark.parametrize("av", ["whole", pytest.param("adapted", marks=pytest.mark.slow)])
def test_the_reference_is_the_same_when_weights_are_sharded(av: str, form: str, tmp_path: Path) -> None:
    here = Path(__file__).parent
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(here), str(here.parent), *sys.path])}
    running = [
        subprocess.Popen(
            [sys.executable, "-c", SHARDED, str(rank), av, form, str(tmp_path)], stderr=subprocess.PIPE, env=environment
        )
        for rank in range(2)
    ]
    errors = [process.communicate()[1].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0], errors
    for rank in range(2):
        said = json.loads((tmp_path / f"{rank}.json").read_text())
        found, wanted = ({n: torch.tensor(v) for n, v in said[k].items()} for k in ("sharded", "whole"))
        for name, value in wanted.items():
            torch.testing.assert_close(found[name], value, atol=1e-4, rtol=1e-3)
        assert found["kls"][0].max() < 1e-6
        assert found["kls"][1:].mean() > 1e-3, "the policy has left its reference"
        assert (found["reference"] - found["logprobs"]).abs().max() > 0.1
