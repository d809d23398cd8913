"""Llama, Qwen2 and Gemma-3 decoders in plain PyTorch, straight from a checkpoint's tensors: no model class is involved.

Written from the architectures' published descriptions: what the package computes is held against it.
"""

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

Tensors = Mapping[str, Tensor]


def rms_norm(x: Tensor, weight: Tensor, eps: float, one_plus: bool) -> Tensor:
    scaled = x / torch.sqrt((x * x).mean(-1, keepdim=True) + eps)
    return scaled * (1.0 + weight if one_plus else weight)


def rotate(x: Tensor, theta: float, factor: float) -> Tensor:
    """Rotary positions on [T, heads, head_dim], the halves paired as (i, i + head_dim / 2)."""
    steps, _, width = x.shape
    half = width // 2
    frequencies = torch.tensor([theta ** (-2 * i / width) / factor for i in range(half)], dtype=torch.float64)
    angles = torch.arange(steps, dtype=torch.float64)[:, None] * frequencies
    cos, sin = angles.cos()[:, None].to(x.dtype), angles.sin()[:, None].to(x.dtype)
    first, second = x[..., :half], x[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)


def linear(tensors: Tensors, name: str, x: Tensor) -> Tensor:
    """x Wᵀ + b, and the LoRA that `tensors` may hold for it under `name`.lora: (A, B, factor)."""
    out = x @ tensors[f"{name}.weight"].T
    if f"{name}.bias" in tensors:
        out = out + tensors[f"{name}.bias"]
    if f"{name}.lora_A" in tensors:
        low = x @ tensors[f"{name}.lora_A"].T @ tensors[f"{name}.lora_B"].T
        out = out + low * tensors[f"{name}.lora_factor"]
    return out


def attention(tensors: Tensors, name: str, x: Tensor, config: Mapping[str, Any], sliding: bool) -> Tensor:
    heads, shared, width = config["num_attention_heads"], config["num_key_value_heads"], config["head_dim"]
    gemma = config["model_type"] == "gemma3_text"
    q = linear(tensors, f"{name}.q_proj", x).view(len(x), heads, width)
    k = linear(tensors, f"{name}.k_proj", x).view(len(x), shared, width)
    v = linear(tensors, f"{name}.v_proj", x).view(len(x), shared, width)
    theta, factor, scale = config["rope_theta"], 1.0, width**-0.5
    if gemma:
        q = rms_norm(q, tensors[f"{name}.q_norm.weight"], config["rms_norm_eps"], True)
        k = rms_norm(k, tensors[f"{name}.k_norm.weight"], config["rms_norm_eps"], True)
        scale = config["query_pre_attn_scalar"] ** -0.5
        if sliding:
            theta = config["rope_local_base_freq"]
        elif config.get("rope_scaling"):
            factor = config["rope_scaling"]["factor"]
    q, k = rotate(q, theta, factor), rotate(k, theta, factor)
    out = torch.empty_like(q)
    for head in range(heads):
        group = head // (heads // shared)
        weights = q[:, head] @ k[:, group].T * scale
        for i in range(len(x)):
            weights[i, i + 1 :] = -math.inf
            if sliding:
                weights[i, : max(0, i - config["sliding_window"] + 1)] = -math.inf
        out[:, head] = torch.softmax(weights, dim=-1) @ v[:, group]
    return linear(tensors, f"{name}.o_proj", out.reshape(len(x), heads * width))


def feed_forward(tensors: Tensors, name: str, x: Tensor, gemma: bool) -> Tensor:
    gate = linear(tensors, f"{name}.gate_proj", x)
    if gemma:
        active = 0.5 * gate * (1 + torch.tanh(math.sqrt(2 / math.pi) * (gate + 0.044715 * gate**3)))
    else:
        active = gate / (1 + torch.exp(-gate))
    return linear(tensors, f"{name}.down_proj", active * linear(tensors, f"{name}.up_proj", x))


def block(tensors: Tensors, config: Mapping[str, Any], layer: int, x: Tensor) -> Tensor:
    """The output of decoder block `layer` for the residual stream x [T, d]."""
    name, eps = f"model.layers.{layer}", config["rms_norm_eps"]
    gemma = config["model_type"] == "gemma3_text"

    def norm(which: str, y: Tensor) -> Tensor:
        return rms_norm(y, tensors[f"{name}.{which}.weight"], eps, gemma)

    sliding = gemma and (layer + 1) % config["sliding_window_pattern"] != 0
    attended = attention(tensors, f"{name}.self_attn", norm("input_layernorm", x), config, sliding)
    if not gemma:
        x = x + attended
        return x + feed_forward(tensors, f"{name}.mlp", norm("post_attention_layernorm", x), False)
    x = x + norm("post_attention_layernorm", attended)
    fed = feed_forward(tensors, f"{name}.mlp", norm("pre_feedforward_layernorm", x), True)
    return x + norm("post_feedforward_layernorm", fed)


def embed(tensors: Tensors, config: Mapping[str, Any], ids: list[int]) -> Tensor:
    scale = math.sqrt(config["hidden_size"]) if config["model_type"] == "gemma3_text" else 1.0
    return tensors["model.embed_tokens.weight"][ids] * scale


def blocks(tensors: Tensors, config: Mapping[str, Any], x: Tensor, first: int, last: int) -> Tensor:
    """The residual stream behind blocks first … last."""
    for layer in range(first, last + 1):
        x = block(tensors, config, layer, x)
    return x


def logits(tensors: Tensors, config: Mapping[str, Any], x: Tensor) -> Tensor:
    """Logits of the residual stream behind the last block."""
    gemma = config["model_type"] == "gemma3_text"
    head = tensors.get("lm_head.weight", tensors["model.embed_tokens.weight"])
    return rms_norm(x, tensors["model.norm.weight"], config["rms_norm_eps"], gemma) @ head.T
