"""The official checkpoint layout: whole models written, an AR's `value_head.safetensors` read; see `contract.py`."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING

from thinkaloud import families, quant
from thinkaloud.errors import UserError
from thinkaloud.loading import WEIGHTS, load_state, quiet

HEAD = "value_head.safetensors"


def read_head(folder: Path, d_model: int) -> torch.Tensor:
    """The d × d matrix of an AR's head. It cannot be derived from the backbone, so its absence is refused."""
    file = folder / HEAD
    if not file.is_file():
        raise UserError(f"no {HEAD} in {folder}: an AR is useless without its head; fetch the whole checkpoint")
    state = load_state(file)
    if set(state) != {"weight"}:
        raise UserError(f"{file} must hold the key 'weight' alone, found {', '.join(sorted(state))}")
    if state["weight"].shape != (d_model, d_model):
        raise UserError(f"{file} is {tuple(state['weight'].shape)}, the contract says d_model {d_model}")
    return state["weight"]


def head_from(weight: torch.Tensor) -> nn.Linear:
    """A float32 head without bias that holds `weight` [d, d]."""
    head = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float32)
    with torch.no_grad():
        head.weight.copy_(weight)
    return head.requires_grad_(False)


def save_model(model: Any, folder: Path, packed: bool) -> None:
    """Write a causal model, or a decoder stack under the key names its causal model would have.

    The config.json of an AR's stack says K+1 blocks, so no loader makes up further ones.
    """
    causal = hasattr(model, "get_output_embeddings") and model.get_output_embeddings() is not None
    if causal and not packed:
        with quiet():
            model.save_pretrained(str(folder))
        return
    config = model.config if causal else families.text_model(model).config
    kind: Any = MODEL_FOR_CAUSAL_LM_MAPPING[type(families.text_config(config))]
    prefix = "" if causal else f"{kind.base_model_prefix}."
    state = {prefix + key: value for key, value in model.state_dict().items()}
    if getattr(config, "tie_word_embeddings", False):
        state = {key: value for key, value in state.items() if not key.startswith("lm_head.")}
    config.architectures = [kind.__name__]
    config.save_pretrained(str(folder))
    if causal:
        model.generation_config.save_pretrained(str(folder))  # its end ids may be more than the config's
    if packed:
        quant.save(state, folder / WEIGHTS)
    else:
        plain = {key: value.detach().cpu().contiguous() for key, value in state.items()}
        save_file(plain, str(folder / WEIGHTS), metadata={"format": "pt"})
