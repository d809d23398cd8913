"""Model families: module paths of blocks, norms, embeddings and hook points, and how embeddings enter.

Everything else in the package reaches into a model only through the functions here.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from thinkaloud.errors import UserError
from thinkaloud.site import Site


@dataclass(frozen=True)
class Family:
    """One architecture. `blocks`, `norm` and `embed` name modules of its decoder stack, `attn_out`, `mid` and `mlp_out`
    modules of a block.
    """

    name: str
    blocks: str = "layers"
    norm: str = "norm"
    embed: str = "embed_tokens"
    attn_out: str = "self_attn"  # what it gives is added to the stream behind attention (TransformerLens attn_out)
    mid: str = "post_attention_layernorm"  # what enters it is the stream between attention and MLP
    mlp_out: str = "mlp"  # what it gives is added to the stream behind the MLP
    positions: str | None = None  # a learned position embedding that is added before block 0
    scales_embeddings: bool = False  # token embeddings are multiplied by √d inside the embedding module
    needs_bos: bool = False  # without BOS before a text its activations are not those of its training


_GEMMA = Family(
    "gemma2",
    attn_out="post_attention_layernorm",
    mid="pre_feedforward_layernorm",
    mlp_out="post_feedforward_layernorm",
    scales_embeddings=True,
    needs_bos=True,
)
FAMILIES: dict[str, Family] = {
    "llama": Family("llama"),
    "mistral": Family("mistral"),
    "qwen2": Family("qwen2"),
    "qwen3": Family("qwen3"),
    "gemma2": _GEMMA,
    "gemma3_text": replace(_GEMMA, name="gemma3_text"),
    "gpt2": Family("gpt2", blocks="h", norm="ln_f", embed="wte", attn_out="attn", mid="ln_2", positions="wpe"),
    "gpt_neox": Family("gpt_neox", norm="final_layer_norm", embed="embed_in", attn_out="attention"),
    "olmo2": Family("olmo2", attn_out="post_attention_layernorm", mid="mlp", mlp_out="post_feedforward_layernorm"),
    "phi3": Family("phi3"),
}
WRAPPERS = {"gemma3": "gemma3_text"}  # multimodal models with a text model of a known family inside


def text_config(config: Any) -> Any:
    """The configuration of the text model: the one inside a multimodal wrapper, else `config` itself."""
    return config.text_config if config.model_type in WRAPPERS else config


def family_of(config: Any) -> Family:
    """The family of a model's configuration."""
    model_type = text_config(config).model_type
    if model_type not in FAMILIES:
        known = ", ".join([*FAMILIES, *WRAPPERS])
        raise UserError(f"model type {model_type!r} is not supported: expected one of {known}")
    return FAMILIES[model_type]


def unwrap(model: nn.Module) -> nn.Module:
    """The Transformers model inside a peft wrapper (its adapters stay in place), or the model itself."""
    return cast(nn.Module, cast(Any, model).get_base_model()) if hasattr(model, "get_base_model") else model


def text_model(model: nn.Module) -> Any:
    """The decoder stack (token embedding, blocks, final norm) of a causal model, a wrapper, or the stack itself."""
    inner = unwrap(model)
    family = family_of(inner.config)
    while not hasattr(inner, family.blocks):
        for name in ("language_model", "model", "transformer", "gpt_neox"):
            if isinstance(getattr(inner, name, None), nn.Module):
                inner = getattr(inner, name)
                break
        else:
            raise UserError(f"no decoder blocks ({family.blocks!r}) in {type(inner).__name__}")
    return inner


def blocks(model: nn.Module) -> nn.ModuleList:
    """The decoder blocks in order."""
    inner = text_model(model)
    return getattr(inner, family_of(inner.config).blocks)


def place(model: nn.Module, site: Site) -> tuple[nn.Module, bool]:
    """The module at a site, and whether the site is what enters it rather than what it gives."""
    block, config = blocks(model)[site.layer], text_model(model).config
    family = family_of(config)
    if site.kind in ("resid_pre", "resid_post"):
        return block, site.kind == "resid_pre"
    if site.kind == "resid_mid" and getattr(config, "use_parallel_residual", False):
        raise UserError(f"{site} is not there: attention and MLP of this model read the same stream")
    name = {"attn_out": family.attn_out, "resid_mid": family.mid, "mlp_out": family.mlp_out}[site.kind]
    return block.get_submodule(name), site.kind == "resid_mid"


def compile_blocks(*models: nn.Module) -> None:
    """Have torch.compile fuse what lies between the matrix products of each block.

    The first calls take seconds to minutes. Blocks of one shape share a graph, for any number and length of rows.
    """
    torch._dynamo.config.recompile_limit = 64  # policy, reference and reward model, each with gradients and without
    for model in models:
        for block in blocks(model):
            block.compile(dynamic=True)


def n_blocks(model: nn.Module) -> int:
    return len(blocks(model))


def d_model(model: nn.Module) -> int:
    return int(text_model(model).config.hidden_size)


def size(model: nn.Module) -> int:
    """How many weights there are, shared ones counted once."""
    return sum(parameter.numel() for parameter in model.parameters())


def embedding(model: nn.Module) -> Any:
    """The token embedding module."""
    inner = text_model(model)
    return getattr(inner, family_of(inner.config).embed)


def embed(model: nn.Module, ids: Int[Tensor, "*n"]) -> Float[Tensor, "*n d"]:
    """Token embeddings as `inputs_embeds` takes them: already scaled where the family scales, without positions."""
    return embedding(model)(ids)


def embed_scale(model: nn.Module) -> float:
    """What the family multiplies token embeddings by (√d for Gemma, else 1). Injected vectors are never multiplied."""
    return float(d_model(model)) ** 0.5 if family_of(text_model(model).config).scales_embeddings else 1.0


def entering_block_0(
    model: nn.Module, embeds: Float[Tensor, "n t d"], position_ids: Int[Tensor, "n t"] | None = None
) -> Float[Tensor, "n t d"]:
    """`inputs_embeds` as block 0 sees them: with the learned position embedding of families that have one."""
    inner = text_model(model)
    name = family_of(inner.config).positions
    if name is None:
        return embeds
    if position_ids is None:
        position_ids = torch.arange(embeds.shape[1], device=embeds.device)[None]
    return embeds + getattr(inner, name)(position_ids)


def head(model: nn.Module) -> nn.Module:
    """The output head that turns final hidden states into logits."""
    found = cast(Any, unwrap(model)).get_output_embeddings()
    if found is None:
        raise UserError(f"{type(unwrap(model)).__name__} has no output head: load it as a causal language model")
    return found


def final_norm(model: nn.Module) -> nn.Module:
    """The norm between the last block and the head."""
    inner = text_model(model)
    return getattr(inner, family_of(inner.config).norm)


def logits(model: nn.Module, hidden: Float[Tensor, "... d"]) -> Float[Tensor, "... v"]:
    """Logits of final (normed) hidden states, with the family's soft cap where its configuration has one."""
    out = head(model)(hidden)
    cap = getattr(text_model(model).config, "final_logit_softcapping", None)
    return cap * torch.tanh(out / cap) if cap else out


def truncate_config(config: Any, n: int) -> Any:
    """A copy of a text configuration that describes its first `n` blocks, per-layer lists included."""
    config = copy.deepcopy(text_config(config))
    old = config.num_hidden_layers
    for key in ("layer_types", "no_rope_layers", "mlp_layer_types"):
        value = getattr(config, key, None)
        if isinstance(value, list) and len(value) == old:
            setattr(config, key, value[:n])
    if hasattr(config, "max_window_layers"):
        config.max_window_layers = min(config.max_window_layers, n)
    config.num_hidden_layers = n
    return config


def truncated(model: nn.Module, layer: int) -> Any:
    """A view of `model` that ends with the output of block `layer`: no later block, no final norm, no head.

    The weights are shared, nothing is copied; calling it gives `last_hidden_state` = the vectors of that site.
    """
    inner = text_model(model)
    family = family_of(inner.config)
    view = copy.copy(inner)
    view._modules = dict(inner._modules)
    view.config = truncate_config(inner.config, layer + 1)
    setattr(view, family.blocks, nn.ModuleList(list(getattr(inner, family.blocks))[: layer + 1]))
    setattr(view, family.norm, nn.Identity())
    return view


def twin(model: Any) -> Any:
    """A second model of the same weights: modules and configuration are copied, tensors are shared."""
    tensors = (*model.parameters(), *model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def end_ids(model: nn.Module, tokenizer: Any) -> tuple[int, ...]:
    """Every end-of-text id: the generation configuration's (some models have two), and the tokenizer's."""
    ids: set[int] = set()
    for source in (getattr(unwrap(model), "generation_config", None), tokenizer):
        value = getattr(source, "eos_token_id", None)
        ids.update(value if isinstance(value, list | tuple) else [] if value is None else [value])
    return tuple(sorted(int(i) for i in ids))


def merged_weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """Every weight under its name in a plain model, with the active adapter's share added where there is one."""
    base = unwrap(model)
    for name, weight in base.named_parameters(remove_duplicate=False):  # a tied head too: vLLM keeps its own layout
        module, _, last = name.rpartition(".")
        if ".lora_" in name:
            continue
        if module.endswith(".base_layer"):
            module = module.removesuffix(".base_layer")
            if last == "weight":
                adapted: Any = base.get_submodule(module)
                weight = weight + adapted.get_delta_weight(cast(Any, model).active_adapter)
        yield f"{module}.{last}", weight.detach()


def context_length(model: nn.Module) -> int:
    """The most tokens the model takes."""
    return context_of(text_model(model).config)


def context_of(config: Any) -> int:
    """The most tokens that a model of this configuration takes."""
    return int(getattr(text_config(config), "max_position_embeddings", 1 << 30))
