"""Checkpoints written by hand as the released ones are: config, safetensors, tokenizer; no model class is involved."""

import json
from pathlib import Path
from typing import Any

import tiny
import torch
from safetensors.torch import save_file
from torch import Tensor

D, WIDTH, HEADS, SHARED, INNER = 32, 16, 4, 2, 48

COMMON: dict[str, Any] = {
    "vocab_size": tiny.VOCABULARY,
    "hidden_size": D,
    "intermediate_size": INNER,
    "num_attention_heads": HEADS,
    "num_key_value_heads": SHARED,
    "max_position_embeddings": 256,
    "rms_norm_eps": 1e-6,
    "torch_dtype": "float32",
    "bos_token_id": 256,
    "eos_token_id": 257,
}
# The spelling of released config.json files, which were written by Transformers 4.
FAMILIES: dict[str, dict[str, Any]] = {
    "qwen2": {
        **COMMON,
        "model_type": "qwen2",
        "architectures": ["Qwen2ForCausalLM"],
        "head_dim": D // HEADS,
        "hidden_act": "silu",
        "rope_theta": 1000000.0,
        "tie_word_embeddings": False,
        "use_sliding_window": False,
        "sliding_window": 131072,
        "max_window_layers": 28,
    },
    "llama": {
        **COMMON,
        "model_type": "llama",
        "architectures": ["LlamaForCausalLM"],
        "head_dim": WIDTH,
        "hidden_act": "silu",
        "rope_theta": 500000.0,
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": False,
    },
    "gemma3_text": {
        **COMMON,
        "model_type": "gemma3_text",
        "architectures": ["Gemma3ForCausalLM"],
        "head_dim": WIDTH,
        "hidden_activation": "gelu_pytorch_tanh",
        "query_pre_attn_scalar": 24,
        "rope_theta": 1000000.0,
        "rope_local_base_freq": 10000.0,
        "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
        "sliding_window": 8,
        "sliding_window_pattern": 2,
        "attention_bias": False,
        "tie_word_embeddings": True,
    },
}


def config(family: str, blocks: int) -> dict[str, Any]:
    return {**FAMILIES[family], "num_hidden_layers": blocks}


def tensors(family: str, blocks: int, seed: int = 0, whole: bool = True) -> dict[str, Tensor]:
    """Random weights by name; without `whole` no final norm and no head, as an AR is saved."""
    settings = config(family, blocks)
    generator = torch.Generator().manual_seed(seed)
    q, kv = HEADS * settings["head_dim"], SHARED * settings["head_dim"]
    gemma = family == "gemma3_text"

    def random(*shape: int, scale: float = 0.15, around: float = 0.0) -> Tensor:
        return around + scale * torch.randn(*shape, generator=generator)

    def norm(width: int = D) -> Tensor:
        return random(width, scale=0.3, around=-0.5 if gemma else 1.0)

    out = {"model.embed_tokens.weight": random(tiny.VOCABULARY, D)}
    for layer in range(blocks):
        name = f"model.layers.{layer}"
        for part, rows, columns in (("q", q, D), ("k", kv, D), ("v", kv, D), ("o", D, q)):
            out[f"{name}.self_attn.{part}_proj.weight"] = random(rows, columns)
            if family == "qwen2" and part != "o":
                out[f"{name}.self_attn.{part}_proj.bias"] = random(rows)
        for part, rows, columns in (("gate", INNER, D), ("up", INNER, D), ("down", D, INNER)):
            out[f"{name}.mlp.{part}_proj.weight"] = random(rows, columns)
        names = ["input_layernorm", "post_attention_layernorm"]
        if gemma:
            names += ["pre_feedforward_layernorm", "post_feedforward_layernorm"]
            out |= {f"{name}.self_attn.{which}_norm.weight": norm(settings["head_dim"]) for which in "qk"}
        out |= {f"{name}.{which}.weight": norm() for which in names}
    if whole:
        out["model.norm.weight"] = norm()
        if not settings["tie_word_embeddings"]:
            out["lm_head.weight"] = random(tiny.VOCABULARY, D)
    return out


def write(folder: Path, settings: dict[str, Any], weights: dict[str, Tensor]) -> Path:
    """A Transformers folder with tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings))
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    tiny.tokenizer().save_pretrained(str(folder))
    return folder


def base(folder: Path, family: str, blocks: int = 5, seed: int = 0) -> dict[str, Tensor]:
    """A whole base model in `folder`; returns its tensors."""
    weights = tensors(family, blocks, seed)
    write(folder, config(family, blocks), weights)
    return weights


def av_ids() -> tuple[list[int], int]:
    """The AV prompt's ids in the tiny tokenizer, letter by letter, and the marker's place."""
    alphabet = tiny.tokenizer().get_vocab()
    before, after = tiny.AV_TEMPLATE.split("{injection_char}")
    left = [256, 258, *(alphabet[c.replace(" ", "Ġ")] for c in before)]
    right = [*(alphabet[c.replace(" ", "Ġ")] for c in after), 257, 259]
    return [*left, alphabet[tiny.MARKER], *right], len(left)


def ar_ids(text: str) -> list[int]:
    """The AR prompt's ids for `text` of plain letters."""
    alphabet = tiny.tokenizer().get_vocab()
    prompt = tiny.AR_TEMPLATE.replace("{explanation}", text)
    return [256, *(alphabet[c.replace(" ", "Ġ").replace("\n", "Ċ")] for c in prompt)]


def token_section() -> dict[str, Any]:
    """`tokens` of a sidecar."""
    ids, place = av_ids()
    return {
        "injection_char": tiny.MARKER,
        "injection_token_id": ids[place],
        "injection_left_neighbor_id": ids[place - 1],
        "injection_right_neighbor_id": ids[place + 1],
        "critic_suffix_ids": ar_ids("x")[-5:],
    }
