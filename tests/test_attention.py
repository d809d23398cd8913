"""Every query sees the keys its layout gives it and no others: in the function alone, and inside every family."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import tiny
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from thinkaloud import attention, families
from thinkaloud.attention import Layout


def sees(layout: Layout, window: int | None, rows: int, row: int, q: int, k: int) -> bool:
    def at(table: Tensor, index: int) -> int:
        return int(table.expand(rows, -1)[row, index])

    distance = at(layout.queries, q) - at(layout.keys, k)
    if distance < 0 or (window is not None and distance >= window):
        return False
    return layout.segments is None or at(layout.segments[1], k) in (0, at(layout.segments[0], q))


def softmax_attention(
    query: Tensor, key: Tensor, value: Tensor, seen: Tensor, scaling: float, softcap: float | None
) -> Tensor:
    """[n, q, h, w] in float64; `seen` is [n, q, k]."""
    shared = query.shape[1] // key.shape[1]
    key, value = (x.double().repeat_interleave(shared, dim=1) for x in (key, value))
    scores = torch.einsum("nhqw,nhkw->nhqk", query.double(), key) * scaling
    if softcap is not None:
        scores = softcap * torch.tanh(scores / softcap)
    weights = torch.softmax(scores.masked_fill(~seen[:, None], -torch.inf), dim=-1)
    return torch.einsum("nhqk,nhkw->nqhw", weights, value)


@settings(max_examples=150)
@given(st.data(), st.integers(0, 2**31))
def test_attend_equals_a_plain_softmax(data: st.DataObject, seed: int) -> None:
    def count(low: int, high: int) -> int:
        return data.draw(st.integers(low, high))

    rows, groups, shared, queries, keys, width = (count(1, high) for high in (3, 3, 3, 4, 7, 5))
    generator = torch.Generator().manual_seed(seed)

    def places(n: int, top: int) -> Tensor:
        leading = data.draw(st.sampled_from([1, rows]))
        return torch.randint(0, top, (leading, n), generator=generator)

    segments = (places(queries, 3), places(keys, 3)) if data.draw(st.booleans()) else None
    layout = Layout(places(queries, 7), places(keys, 7), segments)
    query = 2 * torch.randn(rows, groups * shared, queries, width, generator=generator)
    key, value = torch.randn(2, rows, groups, keys, width, generator=generator).unbind()
    scaling, softcap = data.draw(st.sampled_from([None, 0.3])), data.draw(st.sampled_from([None, 0.7]))
    for window in (None, count(1, 4), None):  # a layout is asked by layers with and without a window
        seen = torch.tensor(
            [
                [[sees(layout, window, rows, row, q, k) for k in range(keys)] for q in range(queries)]
                for row in range(rows)
            ]
        )
        defined = seen.any(dim=-1)
        assume(defined.any())
        out, weights = attention.attend(
            nn.Identity(),
            query,
            key,
            value,
            None,
            scaling=scaling,
            softcap=softcap,
            sliding_window=window,
            **attention.arguments(layout),
        )
        wanted = softmax_attention(query, key, value, seen, scaling or width**-0.5, softcap)
        assert weights is None
        torch.testing.assert_close(out[defined].double(), wanted[defined], atol=1e-5, rtol=0)


@pytest.mark.parametrize("softcap", [None, 5.0])
def test_dropout_keeps_the_mean(softcap: float | None) -> None:
    layout = Layout(torch.arange(6)[None], torch.arange(6)[None])
    query, key, value = torch.randn(3, 2, 2, 6, 4, generator=torch.Generator().manual_seed(0)).unbind()
    module = nn.Identity()

    def out(dropout: float) -> Tensor:
        given = {"dropout": dropout, "softcap": softcap, **attention.arguments(layout)}
        return attention.attend(module, query, key, value, None, **given)[0]

    assert torch.equal(out(1.0), torch.zeros(2, 6, 2, 4))
    torch.manual_seed(0)
    mean = torch.stack([out(0.5) for _ in range(500)]).mean(dim=0)
    torch.testing.assert_close(mean, out(0.0), atol=0.3, rtol=0)


def implementations(model: Any) -> list[str]:
    return [module.config._attn_implementation for module in model.modules() if hasattr(module, "config")]


@pytest.mark.parametrize("context", [attention.switched_on, attention.reading])
@pytest.mark.parametrize("before", ["eager", "sdpa"])
@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_the_model_is_left_as_it_was_found(
    name: str, before: str, context: Callable[[nn.Module], AbstractContextManager[None]]
) -> None:
    model = tiny.model(name).train()
    model.set_attn_implementation(before)
    found = implementations(model)
    assert before in found
    with context(model), context(model):
        assert implementations(model) != found
    assert implementations(model) == found
    with pytest.raises(ZeroDivisionError), context(model):
        raise ZeroDivisionError
    assert implementations(model) == found
    assert all(module.training for module in model.modules())


def test_reading_leaves_every_part_in_the_mode_it_was_in() -> None:
    """A peft wrapper says it is in training, whatever the model inside it is."""
    from peft import LoraConfig, get_peft_model

    model: Any = get_peft_model(tiny.model("gpt2"), LoraConfig(r=2, target_modules=["c_attn"], fan_in_fan_out=True))
    before = {name: module.training for name, module in model.named_modules()}
    assert set(before.values()) == {True, False}
    with attention.reading(model):
        assert not any(module.training for module in model.modules())
    assert {name: module.training for name, module in model.named_modules()} == before


PROMPT = 7  # with a longer response more than the window of 8
LENGTHS = [(9, 1, 5), (3, 8, 4)]
TEXTS = [(row, i + 1) for row, lengths in enumerate(LENGTHS) for i in range(len(lengths))]


class Packed:
    """Two rows, each a prompt and three responses end to end; a text is a prompt with one of its responses."""

    def __init__(self, model: Any) -> None:
        self.model = model
        places = [[*range(PROMPT), *(PROMPT + i for n in lengths for i in range(n))] for lengths in LENGTHS]
        segments = [[0] * PROMPT + [i + 1 for i, n in enumerate(lengths) for _ in range(n)] for lengths in LENGTHS]
        self.places, self.segments = torch.tensor(places), torch.tensor(segments)
        ids = torch.randint(0, 256, self.places.shape, generator=torch.Generator().manual_seed(4))
        self.embeds = families.embed(model, ids).detach().requires_grad_()

    def together(self) -> list[Tensor]:
        """Final hidden states of every text, from one call; to be called inside `switched_on`."""
        layout = Layout(self.places, self.places, (self.segments, self.segments))
        hidden = self._hidden(self.embeds, position_ids=self.places, **attention.arguments(layout))
        return [hidden[row, self._of(row, segment)] for row, segment in TEXTS]

    def apart(self) -> list[Tensor]:
        """The same, a call for each."""
        return [self._hidden(self.embeds[row, self._of(row, segment)][None])[0] for row, segment in TEXTS]

    def _of(self, row: int, segment: int) -> Tensor:
        return (self.segments[row] == 0) | (self.segments[row] == segment)

    def _hidden(self, embeds: Tensor, **more: Any) -> Tensor:
        return families.text_model(self.model)(inputs_embeds=embeds, use_cache=False, **more).last_hidden_state


@pytest.mark.parametrize("name", sorted(tiny.CONFIGS))
def test_a_packed_row_equals_its_responses_alone(name: str) -> None:
    model = tiny.model(name)
    packed = Packed(model)
    with torch.no_grad():
        wanted = packed.apart()
        with attention.switched_on(model):
            found = packed.together()
    assert [len(text) for text in found] == [PROMPT + n for lengths in LENGTHS for n in lengths]
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, atol=2e-5, rtol=0)


def gradients(model: Any, packed: Packed, texts: list[Tensor]) -> dict[str, Tensor]:
    """Of a loss of the responses' states, in every weight and in the embeddings."""
    generator = torch.Generator().manual_seed(6)
    responses = torch.cat([text[PROMPT:] for text in texts])
    (responses * torch.randn(responses.shape, generator=generator)).sum().backward()
    found = {name: p.grad for name, p in families.text_model(model).named_parameters()} | {"embeds": packed.embeds.grad}
    return {name: gradient for name, gradient in found.items() if gradient is not None}


@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize(("name", "changes"), [("gemma2", {"attn_logit_softcapping": 1.0}), ("qwen3", {})])
def test_a_packed_row_gives_the_gradients_of_its_responses_alone(
    name: str, changes: dict[str, Any], checkpointing: bool
) -> None:
    model = tiny.model(name, **changes)
    packed = Packed(model)
    wanted = gradients(model, packed, packed.apart())
    model = tiny.model(name, **changes)
    packed = Packed(model)
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.train()
    calls: list[int] = []
    next(families.blocks(model)[1].children()).register_forward_pre_hook(lambda *_: calls.append(1))
    with attention.switched_on(model):
        found = gradients(model, packed, packed.together())
    assert len(calls) == (2 if checkpointing else 1), "the block runs again in the backward pass"
    assert found.keys() == wanted.keys()
    assert len(found) > 40
    for key, value in wanted.items():
        size = float(value.abs().max())
        assert size > 0, key
        torch.testing.assert_close(found[key], value, atol=2e-5 * size, rtol=0, msg=key)
