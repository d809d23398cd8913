"""Reference weights: the model as it was at the start of a run, for the KL penalty and the figures of the frozen AR."""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

ADAPTER = "reference"


class Reference:
    """A model with its weights as they are now; `module` computes with them inside `reference_weights`.

    Where all weights learn that is a second model: a copy of what learns, and what does not is shared. Where an adapter
    learns it is the same model with the adapter replaced: by a frozen copy, or by nothing where the adapter adds zero
    so far, as a fresh one does.

    Make it before the model is sharded and shard `module` too: nothing here puts storage under a parameter, which FSDP2
    would not notice.
    """

    def __init__(self, model: nn.Module) -> None:
        from peft import PeftModel
        from peft.tuners.tuners_utils import BaseTunerLayer

        self.layers: list[Any] = [part for part in model.modules() if isinstance(part, BaseTunerLayer)]
        for layer in self.layers:
            _keep_adapter(layer)
        shared: list[Any] = [part for part in model.modules() if isinstance(part, PeftModel)]
        shared += [parameter for parameter in model.parameters() if not parameter.requires_grad]
        self.module: Any = copy.deepcopy(model, {id(part): part for part in shared})
        live = {id(parameter) for parameter in model.parameters()}
        for parameter in self.module.parameters():
            if id(parameter) not in live:
                parameter.requires_grad_(False)

    @contextmanager
    def reference_weights(self) -> Iterator[Any]:
        """Inside, `module`, which is given, computes with the reference weights and makes no gradients."""
        live = [layer.active_adapter for layer in self.layers]
        try:
            for layer in self.layers:
                # Peft's own set_adapter would also change which parameters ask for gradients.
                layer._active_adapter = ADAPTER
            with torch.no_grad():
                yield self.module
        finally:
            for layer, adapter in zip(self.layers, live, strict=True):
                layer._active_adapter = adapter


def _keep_adapter(layer: Any) -> None:
    """Give an adapted layer a frozen copy of its adapter under another name, where the adapter adds anything."""
    (active,) = layer.active_adapters
    second = ("lora_B.", "lora_embedding_B.")  # the factor that starts as zero
    if not any(factor.any() for name, factor in layer.named_parameters() if name.startswith(second)):
        return
    for name in (*layer.adapter_layer_names, *layer.other_param_names):
        table = getattr(layer, name, {})
        if active in table:
            kept = copy.deepcopy(table[active])
            table[ADAPTER] = kept.requires_grad_(False) if isinstance(kept, nn.Module | nn.Parameter) else kept
