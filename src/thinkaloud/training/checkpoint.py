"""The state of a run on disk: written whole or not at all, without pickle, and read back to the bit."""

import json
import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from thinkaloud.atomic import whole_folder, write_text
from thinkaloud.errors import UserError

KEEP = 2
TENSORS = (WEIGHTS, OPTIMIZER, GENERATORS) = ("weights.safetensors", "optimizer.safetensors", "generators.safetensors")
STATE = "state.json"


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that learn, by name."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def save(
    folder: Path,
    step: int,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    state: Mapping[str, Any],
    also: Collection[int] = (),
    keep: int = KEEP,
) -> None:
    """Write `checkpoints/step-N` with weights, optimizer, generators and `state`.

    The last `keep` checkpoints stay, this one among them, and those of the steps in `also`.
    """
    names = {id(p): name for name, p in trainable(module).items()}
    moments: dict[str, Tensor] = {}
    for parameter, slots in optimizer.state.items():
        for slot, value in slots.items():
            moments[f"{names[id(parameter)]}/{slot}"] = torch.as_tensor(value).detach().cpu().contiguous()
    generators = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        generators["cuda"] = torch.cuda.get_rng_state()
    with whole_folder(folder / f"step-{step}") as partial:
        save_file(_plain(trainable(module)), str(partial / WEIGHTS))
        save_file(moments, str(partial / OPTIMIZER))
        save_file(generators, str(partial / GENERATORS))
        write_text(partial / STATE, json.dumps({"step": step, **state}))
    for old in set(steps(folder)[:-keep]) - set(also):
        shutil.rmtree(folder / f"step-{old}")


def steps(folder: Path) -> list[int]:
    """Steps that have a whole checkpoint, ascending."""
    return sorted(int(path.name.removeprefix("step-")) for path in folder.glob("step-*") if path.is_dir())


def newest(folder: Path, note: Callable[[str], None]) -> int | None:
    """The last step whose checkpoint is whole; None if there is no checkpoint at all.

    Damaged checkpoints after it are removed, each with a note. UserError where none is whole: nothing is removed then.
    """
    damaged: dict[int, str] = {}
    for step in reversed(steps(folder)):
        problem = damage(folder, step)
        if not problem:
            for other, why in damaged.items():
                note(f"the checkpoint of step {other} cannot be read ({why}): going on from step {step}")
                shutil.rmtree(folder / f"step-{other}")
            return step
        damaged[step] = problem
    if damaged:
        raise UserError(f"no checkpoint in {folder} can be read ({next(iter(damaged.values()))}): begin another run")
    return None


def damage(folder: Path, step: int) -> str:
    """What of a checkpoint is missing, cut off or no JSON; empty if it is whole."""
    name = ""
    try:
        for name in (*TENSORS, STATE):
            path = folder / f"step-{step}" / name
            if not path.is_file():
                return f"there is no {name}"
            if name == STATE:
                json.loads(path.read_text(encoding="utf-8"))["step"]
            else:
                with safe_open(str(path), framework="pt"):
                    pass  # its header and its length are checked
    except (SafetensorError, ValueError, KeyError, TypeError) as error:
        return f"{name}: {error}"
    return ""


def load(folder: Path, step: int, module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """Restore weights, optimizer and generators in place; returns the saved state."""
    path = folder / f"step-{step}"
    weights = load_file(str(path / WEIGHTS))
    parameters = trainable(module)
    if set(weights) != set(parameters):
        odd = sorted(set(weights) ^ set(parameters))[0]
        raise UserError(f"{path} holds other weights than this run trains ({odd} differs): it is of another run")
    with torch.no_grad():
        for name, parameter in parameters.items():
            parameter.copy_(weights[name])
    moments = load_file(str(path / OPTIMIZER))
    for name, parameter in parameters.items():
        prefix = f"{name}/"
        slots = {key.removeprefix(prefix): value for key, value in moments.items() if key.startswith(prefix)}
        optimizer.state[parameter] = {
            slot: value if slot == "step" and not _capturable(optimizer) else value.to(parameter.device)
            for slot, value in slots.items()
        }
    generators = load_file(str(path / GENERATORS))
    torch.set_rng_state(generators["cpu"])
    if "cuda" in generators and torch.cuda.is_available():
        torch.cuda.set_rng_state(generators["cuda"])
    return json.loads((path / STATE).read_text(encoding="utf-8"))


def _capturable(optimizer: torch.optim.Optimizer) -> bool:
    """Whether the optimizer keeps its step counters on the device (fused or capturable)."""
    return any(group.get("fused") or group.get("capturable") for group in optimizer.param_groups)


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
