"""A vector enters exactly where it should, at the norm it should, with the gradient it should have."""

from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from thinkaloud import families, injection
from thinkaloud.config.train import AVWarmStart
from thinkaloud.errors import UserError
from thinkaloud.pair.doctor.halves import check_verbalizer
from thinkaloud.pair.formats import save
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.rollout.base import Sampling

FAMILIES = ["llama", "qwen2", "gemma2", "gemma3_text", "gemma3", "gpt2", "gpt_neox", "olmo2", "phi3"]
TWO_SLOTS = "First [{injection_char}] and then [{injection_char}]."


def av(name: str = "llama", double: bool = False, **changes: Any) -> Verbalizer:
    out = tiny.verbalizer(name, **changes)
    if double:
        out.model.double()
    return out


def states(model: Any, embeds: Tensor, **arguments: Any) -> tuple[Tensor, ...]:
    """The residual stream before block 0 and behind every block, as hooks on the blocks see it."""
    seen: list[Tensor] = []
    stack = families.blocks(model)

    def before(_module: nn.Module, args: tuple, kwargs: dict) -> None:
        seen.append(args[0] if args else kwargs["hidden_states"])

    hooks = [block.register_forward_pre_hook(before, with_kwargs=True) for block in stack]
    hooks.append(
        stack[-1].register_forward_hook(lambda _m, _a, out: seen.append(out if torch.is_tensor(out) else out[0]))
    )
    try:
        families.text_model(model)(inputs_embeds=embeds, use_cache=False, **arguments)
    finally:
        for hook in hooks:
            hook.remove()
    return tuple(seen)


@pytest.mark.parametrize("name", FAMILIES)
def test_replace_equals_inputs_embeds_to_the_bit(name: str) -> None:
    reader, vectors = av(name), tiny.vectors(3)
    ids = reader.prompt_ids
    table = families.embedding(reader.model)
    with torch.no_grad():
        wanted = table(ids[None].repeat(3, 1))
        for row, vector in enumerate(vectors):
            wanted[row, reader.slots[0]] = vector / (vector.norm() / 3.0)
        found, arguments = reader.inputs(reader.slot_vectors(vectors))
        assert arguments == {}
        assert torch.equal(found, wanted)
        by_call = reader.model(inputs_embeds=found).logits
        by_hand = reader.model(inputs_embeds=wanted).logits
        entering = reader.prompt_embeds(vectors)
        first = states(reader.model, found)[0]
    assert torch.equal(by_call, by_hand)
    assert torch.equal(entering, first), "prompt_embeds is what block 0 sees"
    if families.family_of(reader.model.config).positions is None:
        norms = entering[:, reader.slots[0]].norm(dim=-1)
        torch.testing.assert_close(norms, torch.full((3,), 3.0)), "never multiplied by an embedding scale"


@pytest.mark.parametrize("name", FAMILIES)
def test_add_equals_a_computation_without_hooks(name: str) -> None:
    """Blocks 0 and 1 run alone, the vector is added by hand, and a second run takes over from there."""
    reader, vectors = av(name, injection="add", injection_scale=None), tiny.vectors(3)
    slot = reader.slots[0]
    with torch.no_grad():
        embeds, arguments = reader.inputs(reader.slot_vectors(vectors))
        found = states(reader.model, embeds, **arguments)
        without = states(reader.model, embeds)
        h = without[2][:, slot]
        wanted = h + h.norm(dim=-1, keepdim=True) * vectors / vectors.norm(dim=-1, keepdim=True)
        torch.testing.assert_close(found[2][:, slot], wanted, atol=1e-6, rtol=1e-5)
        resumed = without[2].clone()
        resumed[:, slot] = found[2][:, slot]

        def swap(_module: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
            return ((resumed, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": resumed})

        hook = families.blocks(reader.model)[2].register_forward_pre_hook(swap, with_kwargs=True)
        carried_on = states(reader.model, embeds)
        hook.remove()
    assert torch.equal(found[-1], carried_on[-1])


@pytest.mark.parametrize("how", ["replace", "add"])
@pytest.mark.parametrize("name", FAMILIES)
def test_what_stands_before_the_marker_is_untouched(name: str, how: str) -> None:
    reader = av(name, injection=how)
    slot = reader.slots[0]
    with torch.no_grad():
        runs = []
        for seed in (1, 2):
            embeds, arguments = reader.inputs(reader.slot_vectors(tiny.vectors(2, seed=seed)))
            runs.append(states(reader.model, embeds, **arguments))
        plain = states(reader.model, families.embed(reader.model, reader.prompt_ids)[None].expand(2, -1, -1))
    for layer, (one, other, bare) in enumerate(zip(*runs, plain, strict=True)):
        assert torch.equal(one[:, :slot], other[:, :slot])
        assert torch.equal(one[:, :slot], bare[:, :slot])
        reached = layer >= (0 if how == "replace" else 2)
        assert torch.equal(one[:, slot], other[:, slot]) is not reached
    assert not torch.equal(runs[0][-1][:, -1], runs[1][-1][:, -1]), "the end of the prompt knows of the vector"


@pytest.mark.parametrize("how", ["replace", "add"])
def test_several_slots_take_a_vector_each(how: str) -> None:
    reader = av(av_template=TWO_SLOTS, injection=how)
    assert len(reader.slots) == 2
    vectors = tiny.vectors(4).reshape(2, 2, 32)
    with torch.no_grad():
        embeds, arguments = reader.inputs(reader.slot_vectors(vectors))
        found = states(reader.model, embeds, **arguments)
        bare = states(reader.model, families.embed(reader.model, reader.prompt_ids)[None].expand(2, -1, -1))
    if how == "replace":
        wanted = vectors * 3.0 / vectors.norm(dim=-1, keepdim=True)
        torch.testing.assert_close(found[0][:, reader.slots], wanted)
    else:
        h = bare[2][:, reader.slots]
        wanted = h + h.norm(dim=-1, keepdim=True) * vectors / vectors.norm(dim=-1, keepdim=True)
        torch.testing.assert_close(found[2][:, reader.slots], wanted, atol=1e-6, rtol=1e-5)
    with pytest.raises(UserError, match="takes 2 vectors a prompt, found 1"):
        reader.slot_vectors(tiny.vectors(2))


def loss(reader: Verbalizer, vectors: Tensor) -> Tensor:
    """A scalar of the logits behind the marker; it depends on every weight and on the vectors."""
    embeds, arguments = reader.inputs(vectors)
    hidden = families.text_model(reader.model)(inputs_embeds=embeds, use_cache=False, **arguments).last_hidden_state
    out = families.logits(reader.model, hidden[:, reader.slots[0] + 1 :])
    return torch.log_softmax(out, dim=-1)[..., 65].sum()


@pytest.mark.parametrize("how", ["replace", "add"])
@pytest.mark.parametrize("name", ["gpt2", "gpt_neox"])
def test_gradients_equal_finite_differences(name: str, how: str) -> None:
    """In float64, with families whose norms stay in it (RMS norms of Transformers round to float32 on the way)."""
    reader = av(name, double=True, injection=how)
    reader.model.requires_grad_(True)
    vectors = tiny.vectors(2)[:, None].double().requires_grad_()
    loss(reader, vectors).backward()
    matrices = [p for block in families.blocks(reader.model)[:3] for p in block.parameters() if p.ndim == 2]
    assert len(matrices) == 12
    places: list[tuple[Tensor, tuple[int, ...]]] = [(vectors, (0, 0, 3)), (vectors, (1, 0, 17))]
    places += [(matrix, (5, 7)) for matrix in matrices]
    places += [(families.embedding(reader.model).weight, (int(reader.prompt_ids[4]), 9))]
    step = 1e-6
    for tensor, place in places:
        assert tensor.grad is not None
        values = []
        for sign in (1, -1):
            with torch.no_grad():
                tensor[place] += sign * step
                values.append(float(loss(reader, vectors)))
                tensor[place] -= sign * step
        difference = (values[0] - values[1]) / (2 * step)
        assert abs(difference) > 1e-6, "a place that matters"
        assert float(tensor.grad[place]) == pytest.approx(difference, rel=1e-5, abs=1e-7)


@pytest.mark.parametrize("how", ["replace", "add"])
@pytest.mark.parametrize("name", ["llama", "gemma2", "gemma3", "gpt2", "gpt_neox", "olmo2", "phi3"])
def test_checkpointed_gradients_equal_plain_ones(name: str, how: str) -> None:
    grads: list[dict[str, Tensor]] = []
    for checkpointing in (False, True):
        reader = av(name, injection=how)
        reader.model.requires_grad_(True).eval()
        for module in reader.model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0
        if checkpointing:
            reader.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        reader.model.train()
        calls = [0]
        inside = next(families.blocks(reader.model)[1].children())  # hooks of the block itself may stay outside
        hook = inside.register_forward_pre_hook(lambda *_, calls=calls: calls.__setitem__(0, calls[0] + 1))
        vectors = tiny.vectors(2)[:, None].requires_grad_()
        loss(reader, vectors).backward()
        hook.remove()
        assert calls[0] == (2 if checkpointing else 1), "the block runs again in the backward pass"
        assert vectors.grad is not None
        found = {name: p.grad for name, p in reader.model.named_parameters() if p.grad is not None}
        grads.append({"vectors": vectors.grad, **found})
    plain, checkpointed = grads
    assert plain.keys() == checkpointed.keys()
    assert float(plain["vectors"].abs().max()) > 1e-4
    for key, value in plain.items():
        assert torch.equal(checkpointed[key], value), key


@pytest.mark.parametrize("how", ["replace", "add"])
def test_checkpointed_gradients_of_an_adapter(how: str) -> None:
    from peft import LoraConfig, get_peft_model

    grads = []
    for checkpointing in (False, True):
        tok = tiny.tokenizer()
        torch.manual_seed(0)
        wrapped: Any = get_peft_model(tiny.model("llama"), LoraConfig(r=2, target_modules=["q_proj", "down_proj"]))
        reader = Verbalizer(wrapped, tok, tiny.av_contract(tok, injection=how))
        if checkpointing:
            wrapped.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        wrapped.train()
        loss(reader, tiny.vectors(2)[:, None]).backward()
        found = {name: p.grad for name, p in wrapped.named_parameters() if p.grad is not None}
        assert found
        assert all("lora_" in name for name in found)
        grads.append(found)
    assert grads[0].keys() == grads[1].keys()
    assert all(torch.equal(grads[0][name], grads[1][name]) for name in grads[0])
    assert max(float(gradient.abs().max()) for gradient in grads[0].values()) > 1e-4


def test_the_caller_keeps_its_vectors() -> None:
    """Nothing is written in place: neither the embeddings' table nor the vectors handed in."""
    for how in ("replace", "add"):
        reader, vectors = av(injection=how), tiny.vectors(2)
        table, kept = families.embedding(reader.model).weight.clone(), vectors.clone()
        reader.explain(vectors)
        assert torch.equal(families.embedding(reader.model).weight, table)
        assert torch.equal(vectors, kept)


def test_installing_twice_adds_once() -> None:
    reader, vectors = av(injection="add"), tiny.vectors(2)
    with torch.no_grad():
        embeds, arguments = reader.inputs(reader.slot_vectors(vectors))
        once = states(reader.model, embeds, **arguments)[-1]
        reader.injection.install(reader.model)
        twice = states(reader.model, embeds, **arguments)[-1]
    assert torch.equal(once, twice)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (lambda v: v[:, :-1], "vectors must be 32 wide, found 31: they are of another model"),
        (lambda v: v.index_fill(0, torch.tensor([1]), float("nan")), "vector 1 holds NaN or infinity: 1 of 3 do"),
        (lambda v: v.index_fill(1, torch.tensor([4]), float("inf")), "vector 0 holds NaN or infinity: 3 of 3 do"),
        (lambda v: v.index_fill(0, torch.tensor([2]), 0.0), "vector 2 is zero and has no direction: 1 of 3 are"),
    ],
)
def test_vectors_that_cannot_be_read_are_refused(change: Any, line: str) -> None:
    with pytest.raises(UserError) as caught:
        av().explain(change(tiny.vectors(3)))
    assert str(caught.value) == line


@settings(max_examples=50)
@given(
    st.integers(1, 4), st.integers(1, 3), st.integers(0, 2**31), st.floats(0.01, 1e5), st.sampled_from([1e-3, 1.0, 1e4])
)
def test_scaling_and_slots(rows: int, slots: int, seed: int, norm: float, size: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    vectors = size * torch.randn(rows, slots, 8, generator=generator)
    embeds = torch.randn(rows, 6, 8, generator=generator)
    places = torch.randperm(6, generator=generator)[:slots].tolist()
    scaled = injection.scaled(vectors, norm)
    torch.testing.assert_close(scaled.norm(dim=-1), torch.full((rows, slots), norm), rtol=1e-4, atol=0)
    cosine = torch.nn.functional.cosine_similarity(scaled, vectors, dim=-1)
    torch.testing.assert_close(cosine, torch.ones(rows, slots))
    out, _ = injection.kind("replace").apply(embeds, places, scaled)
    for slot in range(6):
        wanted = scaled[:, places.index(slot)] if slot in places else embeds[:, slot]
        assert torch.equal(out[:, slot], wanted)


def test_a_new_kind_is_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered from outside the package, it is read with, kept in a contract, checked and warm-started with."""
    monkeypatch.setattr(injection.injection, "_parts", dict(injection.injection))
    import new_injection

    reader, vectors = av(injection="embedding_sum"), tiny.vectors(3)
    with torch.no_grad():
        embeds, _ = reader.inputs(reader.slot_vectors(vectors))
        plain = families.embed(reader.model, reader.prompt_ids)
        wanted = plain[None].repeat(3, 1, 1)
        wanted[:, reader.slots[0]] += 3.0 * vectors / vectors.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(embeds, wanted)
    found = reader.explain(vectors, sampling=Sampling(max_tokens=8))
    by_hand = reader.model.generate(
        inputs_embeds=wanted, attention_mask=torch.ones(wanted.shape[:2]), do_sample=False, max_new_tokens=8
    )
    for row, ids in zip(found, by_hand.tolist(), strict=True):
        assert list(row[0].token_ids) == ids[: len(row[0].token_ids)]
    save(reader, tmp_path / "av")
    assert isinstance(Verbalizer.from_pretrained(tmp_path / "av").injection, new_injection.EmbeddingSum)
    checks = {check.name: check for check in check_verbalizer(reader)}
    assert checks["injection"].found == "added to the marker's embedding; nothing before the marker changes"
    AVWarmStart.of(data="data", model="model", out="out", injection="embedding_sum")
    with pytest.raises(UserError, match="injection must be one of replace, add, embedding_sum"):
        AVWarmStart.of(data="data", model="model", out="out", injection="nowhere")


def test_prompts_with_the_same_injection_are_read_together() -> None:
    av = tiny.verbalizer()
    one, two = av.prompt(torch.ones(1, 32)), av.prompt(2 * torch.ones(3, 32))
    assert one.shared == two.shared
