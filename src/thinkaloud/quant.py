"""Weights in eight bits: a state dict packed to int8 rows with one scale each, and unpacked again.

Small bundled models are stored this way (a quarter of float32, half of bfloat16). Matrices are symmetric int8 with a
float16 scale a row; everything else (norms) stays float16. The file is an ordinary safetensors file.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

FORMAT = "thinkaloud-int8"
SCALE = ".int8_scale"


def pack(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """int8 matrices and float16 scales [rows, 1]; the scale is rounded before the division, so unpacking is exact."""
    out: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if tensor.ndim != 2:
            out[name] = tensor.detach().cpu().to(torch.float16).contiguous()
            continue
        weight = tensor.detach().float().cpu()
        scale = (weight.abs().amax(dim=1, keepdim=True) / 127).clamp_min(1e-7).to(torch.float16)
        out[name] = (weight / scale.float()).round().clamp(-127, 127).to(torch.int8)
        out[name + SCALE] = scale
    return out


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The float32 state dict of a packed one."""
    return {
        name: tensor.float() * packed[name + SCALE].float() if name + SCALE in packed else tensor.float()
        for name, tensor in packed.items()
        if not name.endswith(SCALE)
    }


def save(state: Mapping[str, Tensor], path: str | Path) -> None:
    """Write a packed state dict; `is_packed` recognises the file."""
    save_file(pack(state), str(path), metadata={"format": FORMAT})


def is_packed(path: str | Path) -> bool:
    with safe_open(str(path), framework="pt") as file:
        return (file.metadata() or {}).get("format") == FORMAT
