"""Adapters in weight space give what peft's own layers give: outputs, gradients, and nothing where they are off."""

from typing import Any

import pytest
import tiny
import torch

from thinkaloud import families
from thinkaloud.config.groups import Lora
from thinkaloud.pair.formats import adapters
from thinkaloud.training.learner import require_gradients
from thinkaloud.training.reference import Reference


def adapted(name: str, dtype: torch.dtype = torch.float32) -> Any:
    """A tiny model with an adapter that adds something, in peft's own form."""
    model = adapters.fresh(tiny.model(name).to(dtype), 4, 16)
    torch.manual_seed(3)
    for key, parameter in model.named_parameters():
        if "lora_B" in key:
            torch.nn.init.normal_(parameter, std=0.05)
    return model


@pytest.mark.parametrize("name", ["llama", "qwen2", "gemma3_text", "gpt2"])
def test_outputs_and_gradients_are_those_of_peft(name: str) -> None:
    found = []
    for in_weight_space in (False, True):
        model = adapted(name)
        if in_weight_space:
            adapters.in_weight_space(model)
        out = model(input_ids=torch.arange(3, 23).view(2, 10)).logits
        out.square().mean().backward()
        found.append([out.detach(), *(p.grad for k, p in model.named_parameters() if "lora_" in k)])
    plain, other = found
    assert any(float(grad.abs().max()) > 1e-6 for grad in plain[1:])
    for one, two in zip(plain, other, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-3)


def test_switched_off_merged_and_reference_adapters() -> None:
    ids = torch.arange(3, 23).view(2, 10)
    model = require_gradients(adapted("llama"), "auto", Lora(rank=4, alpha=16))
    base = families.unwrap(model)
    with torch.no_grad(), model.disable_adapter():
        off = model(input_ids=ids).logits
    reference = Reference(model)
    before = model(input_ids=ids).logits.detach()
    assert not torch.allclose(off, before, atol=1e-3)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "lora_B" in key and parameter.requires_grad:
                parameter.mul_(2)
    with reference.reference_weights() as kept:
        torch.testing.assert_close(kept(input_ids=ids).logits, before)
    now = model(input_ids=ids).logits.detach()
    assert not torch.allclose(now, before, atol=1e-3)
    model.merge_adapter()
    torch.testing.assert_close(base(input_ids=ids).logits.detach(), now, atol=1e-5, rtol=1e-3)


def test_a_base_in_bfloat16_keeps_what_a_small_adapter_adds() -> None:
    """The sum is made in float32, so that the adapter's gradient is that of peft to the rounding of bfloat16."""
    ids = torch.arange(3, 23).view(2, 10)
    grads = []
    for in_weight_space in (False, True):
        model = adapted("llama", torch.bfloat16)
        if in_weight_space:
            adapters.in_weight_space(model)
        with torch.autocast("cpu", torch.bfloat16):
            model(input_ids=ids).logits.float().square().mean().backward()
        grads.append(torch.cat([p.grad.flatten().float() for k, p in model.named_parameters() if "lora_A" in k]))
    assert float(torch.nn.functional.cosine_similarity(*grads, dim=0)) > 0.99
