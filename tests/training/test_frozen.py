"""Does a model compute with what it was at the start while that is in place, and go on as it was afterwards?"""

from collections.abc import Mapping
from typing import Any

import pytest
import tiny
import torch
from torch import Tensor, nn

from thinkaloud import families
from thinkaloud.training.frozen import Frozen


def layers() -> Any:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


INPUT = torch.linspace(-1, 1, 6).reshape(2, 3)


def learn(module: Any, steps: int = 3) -> None:
    learns = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learns, lr=0.1, weight_decay=0.1)
    for _ in range(steps):
        module(INPUT).square().sum().backward()
        optimizer.step()
        optimizer.zero_grad()


def test_the_start_is_put_in_place_and_taken_out() -> None:
    module = layers()
    frozen, start = Frozen(module), module(INPUT)
    learn(module)
    live, places = module(INPUT), [p.data_ptr() for p in module.parameters()]
    assert not torch.allclose(live, start, atol=0.01)
    for _ in range(2):
        with frozen.reference_weights():
            assert torch.equal(module(INPUT), start)
            with frozen.reference_weights():
                assert torch.equal(module(INPUT), start)
            assert torch.equal(module(INPUT), start)
        assert torch.equal(module(INPUT), live)
    assert [p.data_ptr() for p in module.parameters()] == places, "an optimizer finds its parameters where they were"
    learn(module)
    with frozen.reference_weights():
        assert torch.equal(module(INPUT), start), "what was learned since did not touch the copy"


def test_an_exception_inside_restores() -> None:
    module = layers()
    frozen = Frozen(module)
    learn(module)
    live = module(INPUT)
    with pytest.raises(ZeroDivisionError), frozen.reference_weights():
        raise ZeroDivisionError
    assert torch.equal(module(INPUT), live)


def test_no_gradient_is_made_inside_and_none_is_lost() -> None:
    module = layers()
    frozen = Frozen(module)
    module(INPUT).sum().backward()
    before = [p.grad for p in module.parameters()]
    with frozen.reference_weights():
        assert not module(INPUT).requires_grad
    assert all(p.grad is gradient for p, gradient in zip(module.parameters(), before, strict=True))
    assert module(INPUT).requires_grad


def test_what_does_not_learn_is_shared() -> None:
    module = layers()
    module[0].requires_grad_(False)
    frozen = Frozen(module)
    assert set(frozen.of(module)) == {"2.weight", "2.bias"}
    with torch.no_grad():
        module[0].weight.zero_()
    with frozen.reference_weights():
        assert not module[0].weight.any()


def same(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


def test_a_part_is_named_by_itself_whatever_is_in_place() -> None:
    module = layers()
    frozen = Frozen(module)
    start = {name: p.detach().clone() for name, p in module[2].named_parameters()}
    learn(module)
    assert not torch.equal(module[2].weight, start["weight"])
    assert same(frozen.of(module[2]), start)
    with frozen.reference_weights():
        assert same(frozen.of(module[2]), start)
    assert same(frozen.of(module[2]), start)
    assert not frozen.of(nn.Linear(4, 2))


def test_tied_weights_are_kept_once_and_stay_tied() -> None:
    model = tiny.model("gemma2")
    embedding, head = families.embedding(model), model.lm_head
    assert embedding.weight is head.weight
    frozen = Frozen(model)
    start = embedding.weight.detach().clone()
    with torch.no_grad():
        embedding.weight.add_(1.0)
    assert torch.equal(frozen.of(head)["weight"], start)
    with frozen.reference_weights():
        assert embedding.weight is head.weight
        assert torch.equal(head.weight, start)
    assert torch.equal(head.weight, start + 1.0)
