"""A step's gradient, of AV and AR, is that of a plain computation: one text at a time, nothing packed."""

import copy
import itertools
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from thinkaloud import families
from thinkaloud.config.groups import Lora
from thinkaloud.config.train import RL
from thinkaloud.errors import UserError
from thinkaloud.loading import load_causal_lm
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.rollout.base import Sampling
from thinkaloud.training.learner import require_gradients
from thinkaloud.training.policy import Policy, pack_rows
from thinkaloud.training.reward_model import RewardModel

VECTORS = tiny.vectors(2)
MARKER = tiny.tokenizer().get_vocab()[tiny.MARKER]
# Three responses of each vector; one holds the marker, which is no place of injection there.
RESPONSES = [
    [72, 101, 108, 108, 111],
    [7],
    [32, MARKER, 119, 97, 115, 32, MARKER, 46, 257],
    [200],
    [116, 104, 101, 32, 98, 111, 97, 116, 115, 46, 46, 257],
    [33, 33, 33],
]
WORTH = torch.tensor([1.0, -0.5, 0.3, 2.0, -1.2, 0.7])
FORMS = ["k3", "full"]


def config(**changes: Any) -> RL:
    return RL.of(**{"nla": "", "data": "", "out": "", "max_tokens": 20, "temperature": 0.7, "kl": 0.3} | changes)


def move(model: nn.Module, size: float = 0.02) -> None:
    """Change what learns, as an optimizer would."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.add_(size * torch.randn(parameter.shape, generator=generator))


def whole(name: str = "llama", injection: str = "replace") -> Verbalizer:
    """An AV all of whose weights learn; gemma2's logits are capped where it counts."""
    av = tiny.verbalizer(name, injection=injection)
    if name == "gemma2":
        av.model.config.final_logit_softcapping = 2.0
    av.model = require_gradients(av.model, "full", Lora(rank=4, alpha=4))
    return av


def adapted(name: str = "llama") -> Verbalizer:
    """An AV with an adapter that has learned something already."""
    av = tiny.verbalizer(name)
    av.model = require_gradients(av.model, "adapter", Lora(rank=4, alpha=4))
    move(av.model, 0.1)
    return av


def adapted_bfloat16(name: str = "llama") -> Verbalizer:
    """The same over weights in bfloat16, as adapters are trained on an accelerator."""
    av = tiny.verbalizer(name)
    for parameter in av.model.parameters():
        parameter.data = parameter.data.to(torch.bfloat16)
    av.model = require_gradients(av.model, "adapter", Lora(rank=4, alpha=4))
    move(av.model, 0.1)
    return av


def begun(av: Verbalizer, **changes: Any) -> Policy:
    """A policy some way from its reference."""
    policy = Policy(av, config(**changes))
    move(av.model)
    return policy


class Plain(NamedTuple):
    """What a plain computation says of the responses' tokens and of the parameters' gradients."""

    logprobs: Tensor
    kl: Tensor
    gradients: dict[str, Tensor]


def teacher_forced(model: Any, av: Verbalizer, vector: Tensor, response: list[int], temperature: float) -> Tensor:
    """Log-probabilities [t, v] before each token of the response, by the model's own forward over one text."""
    prompt, (slot,) = av.prompt_ids.tolist(), av.slots
    weight = model.get_input_embeddings().weight
    embeds = model.get_input_embeddings()(torch.tensor([prompt + response])).clone()
    unit = (vector / vector.norm()).to(weight.dtype)

    def add(_module: Any, _args: Any, output: Any) -> Any:
        before = output[0] if isinstance(output, tuple) else output
        hidden = before.clone()
        hidden[0, slot] += before[0, slot].norm() * unit
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    if av.contract.injection == "replace":
        embeds[0, slot] = 3.0 * unit
        logits = model(inputs_embeds=embeds, use_cache=False).logits
    else:
        hook = families.blocks(model)[1].register_forward_hook(add)
        logits = model(inputs_embeds=embeds, use_cache=False).logits
        hook.remove()
    return torch.log_softmax(logits[0, len(prompt) - 1 : -1] / temperature, dim=-1)


def terms(model: Any, start: Any, av: Verbalizer, config: RL) -> tuple[Tensor, Tensor, Tensor]:
    """Log-probabilities, divergence and loss of all responses."""
    logprobs, divergence = [], []
    for i, response in enumerate(RESPONSES):
        at = torch.arange(len(response)), torch.tensor(response)
        now = teacher_forced(model, av, VECTORS[i // 3], response, config.rollout.temperature)
        with torch.no_grad():
            before = teacher_forced(start, av, VECTORS[i // 3], response, config.rollout.temperature)
        logprobs.append(now[at])
        r = before[at] - now[at]
        divergence.append((now.exp() * (now - before)).sum(1) if config.kl.estimator == "exact" else r.exp() - r - 1)
    tokens = zip(WORTH, logprobs, divergence, strict=True)
    loss = sum((config.kl.coef * kl - worth * logprob).sum() for worth, logprob, kl in tokens)
    return torch.cat(logprobs), torch.cat(divergence), loss / (len(RESPONSES) * config.rollout.max_tokens)  # type: ignore[return-value]


@cache
def plain(av: Callable[..., Verbalizer], *given: str, **changes: Any) -> Plain:
    made = av(*given)
    start = copy.deepcopy(made.model)
    move(made.model)
    logprobs, kl, loss = terms(made.model, start, made, config(**changes))
    loss.backward()
    return Plain(logprobs.detach(), kl.detach(), gradients(made.model))


def gradients(model: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    """Gradients within rounding: of the parameter's own, or of all where its own is nothing but rounding."""
    assert found.keys() == wanted.keys()
    most = max(float(gradient.abs().max()) for gradient in wanted.values())
    assert most > 1e-3
    for name, gradient in wanted.items():
        atol = 5e-5 * float(gradient.abs().max()) + 1e-6 * most
        torch.testing.assert_close(found[name], gradient, atol=atol, rtol=0, msg=lambda text, n=name: f"{n}: {text}")


def checkpointed(model: Any) -> None:
    inner = families.text_model(model)
    inner.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("injection", ["replace", "add"])
@pytest.mark.parametrize("name", sorted(tiny.CONFIGS))
def test_an_update_equals_ordinary_autograd(name: str, injection: str, form: str) -> None:
    policy, wanted = begun(whole(name, injection), kl_form=form), plain(whole, name, injection, kl_form=form)
    stats = policy.update(VECTORS, RESPONSES, WORTH, 100_000)
    torch.testing.assert_close(stats.logprobs, wanted.logprobs, atol=3e-5, rtol=0)
    torch.testing.assert_close(stats.kl, wanted.kl, atol=3e-5, rtol=1e-4)
    assert stats.kl.mean() > 1e-3, "the reference is another model"
    assert_same(gradients(policy.model), wanted.gradients)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("limit", [1, 14, 1000])
@pytest.mark.parametrize("micro_tokens", [1, 100, 100_000])
def test_rows_and_micro_batches_change_nothing(
    micro_tokens: int, limit: int, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thinkaloud.training.policy._row_limit", lambda model: limit)
    policy, wanted = begun(whole("gemma2"), kl_form=form), plain(whole, "gemma2", "replace", kl_form=form)
    stats = policy.update(VECTORS, RESPONSES, WORTH, micro_tokens)
    torch.testing.assert_close(stats.logprobs, wanted.logprobs, atol=3e-5, rtol=0)
    assert_same(gradients(policy.model), wanted.gradients)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("checkpointing", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("tokens", [0, 7, 1000])
@pytest.mark.parametrize("name", ["gpt2", "gemma2"])
def test_logits_in_pieces_and_blocks_run_again_change_nothing(
    name: str, tokens: int, checkpointing: bool, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thinkaloud.training.memory.LOGITS", {"cpu": tokens * tiny.VOCABULARY})
    policy, wanted = begun(whole(name, "add"), kl_form=form), plain(whole, name, "add", kl_form=form)
    if checkpointing:
        checkpointed(policy.model)
    calls: list[int] = []
    for model in (policy.model, policy.reference.module):
        block: Any = families.blocks(model)[2]
        block.mlp.register_forward_pre_hook(lambda *_: calls.append(1))
    stats = policy.update(VECTORS, RESPONSES, WORTH, 100_000)
    assert len(calls) == 2 + checkpointing, "the reference, the policy, and once more for the backward pass"
    torch.testing.assert_close(stats.kl, wanted.kl, atol=3e-5, rtol=1e-4)
    assert_same(gradients(policy.model), wanted.gradients)


def test_gradients_are_slopes_of_the_loss() -> None:
    policy = Policy(whole("gpt2"), config(kl_form="full"))  # a family that computes in float64 throughout
    start = copy.deepcopy(policy.model).double()
    move(policy.model)
    policy.update(VECTORS, RESPONSES, WORTH, 100_000)
    exact = copy.deepcopy(policy.model).double()
    for name, at in (("transformer.h.1.mlp.c_fc.weight", (3, 4)), ("transformer.wte.weight", (257, 5))):
        found, parameter = policy.model.get_parameter(name).grad, exact.get_parameter(name)
        losses = []
        with torch.no_grad():
            for step in (1e-5, -2e-5):
                parameter[at] += step
                losses.append(float(terms(exact, start, policy.verbalizer, policy.config)[2]))
            parameter[at] += 1e-5
        assert found is not None
        assert float(found[at]) == pytest.approx((losses[0] - losses[1]) / 2e-5, rel=1e-3)


def test_updates_add_up() -> None:
    policy, wanted = begun(whole()), plain(whole)
    for vector in range(2):
        mine = slice(3 * vector, 3 * vector + 3)
        policy.update(VECTORS[vector : vector + 1], RESPONSES[mine], WORTH[mine], 100_000)
    assert_same(gradients(policy.model), {name: 2 * gradient for name, gradient in wanted.gradients.items()})


def test_responses_may_all_be_of_one_token() -> None:
    stats = begun(whole()).update(VECTORS, [[7], [200]], WORTH[:2], 100)
    wanted = plain(whole).logprobs
    assert stats.logprobs[0] == pytest.approx(float(wanted[5]), abs=3e-5)
    assert len(stats.logprobs) == len(stats.kl) == 2


@pytest.mark.parametrize("form", FORMS)
def test_an_evaluation_is_exact_and_learns_nothing(form: str) -> None:
    """Its KL is over the vocabulary whatever the loss takes: k3 is none on tokens that were not sampled."""
    policy, wanted = begun(whole(), kl=0.0, kl_form=form), plain(whole, kl_form="full")
    kept: list[bool] = []
    for model in (policy.model, policy.reference.module):
        families.text_model(model).register_forward_pre_hook(lambda *_: kept.append(torch.is_grad_enabled()))
    stats = policy.evaluate(VECTORS, RESPONSES, 100_000)
    assert kept == [False, False], "nothing is kept for a backward pass"
    torch.testing.assert_close(stats.logprobs, wanted.logprobs, atol=3e-5, rtol=0)
    torch.testing.assert_close(stats.kl, wanted.kl, atol=3e-5, rtol=1e-4)
    assert not gradients(policy.model)


@pytest.mark.parametrize("form", FORMS)
def test_without_weight_the_reference_is_not_read(form: str) -> None:
    policy, wanted = begun(whole(), kl=0.0, kl_form=form), plain(whole, kl=0.0, kl_form=form)
    calls: list[int] = []
    for model in (policy.model, policy.reference.module):
        families.text_model(model).register_forward_pre_hook(lambda *_: calls.append(1))
    stats = policy.update(VECTORS, RESPONSES, WORTH, 100_000)
    assert len(calls) == 1
    assert torch.equal(stats.kl, torch.zeros(len(stats.logprobs)))
    assert_same(gradients(policy.model), wanted.gradients)


def test_the_divergence_is_clamped_where_the_reference_is_likelier() -> None:
    policy, exact = begun(whole(), kl_clamp=0.01), plain(whole).kl
    kl = policy.update(VECTORS, RESPONSES, WORTH, 100_000).kl
    clamped = kl < 0.0100001**2 / 2 * 1.01
    torch.testing.assert_close(kl[~clamped], exact[~clamped], atol=3e-5, rtol=1e-4)
    assert kl.max() > 1e-3, "no bound where the policy is the likelier one"
    assert exact[clamped].max() > 1e-3


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_an_adapter_learns_from_the_adapter_it_was(name: str, form: str) -> None:
    policy, wanted = begun(adapted(name), kl_form=form), plain(adapted, name, kl_form=form)
    stats = policy.update(VECTORS, RESPONSES, WORTH, 100_000)
    torch.testing.assert_close(stats.kl, wanted.kl, atol=3e-5, rtol=1e-4)
    assert stats.kl.mean() > 1e-3
    assert_same(gradients(policy.model), wanted.gradients)
    assert all("lora_" in name for name in wanted.gradients)


@pytest.mark.parametrize("av", [whole, adapted])
def test_a_model_in_training_has_no_dropout(av: Callable[..., Verbalizer]) -> None:
    policy = begun(av("gpt2"))
    wanted = policy.evaluate(VECTORS, RESPONSES, 1000).logprobs
    checkpointed(policy.model)
    assert torch.equal(policy.evaluate(VECTORS, RESPONSES, 1000).logprobs, wanted)


def test_what_learns_is_all_or_the_adapter_alone() -> None:
    assert all(p.requires_grad for p in whole().model.parameters())
    again = require_gradients(adapted().model.requires_grad_(True), "auto", Lora(rank=4, alpha=4))
    learns = [name for name, p in again.named_parameters() if p.requires_grad]
    assert len(learns) == 2 * 7 * 4
    assert all("lora_" in name for name in learns)
    with pytest.raises(UserError, match="the checkpoint is an adapter"):
        require_gradients(again, "full", Lora(rank=4, alpha=4))


@pytest.mark.parametrize(
    ("av", "dtype", "bound"),
    [
        (whole, "float32", 2e-5),
        (adapted, "float32", 2e-5),
        (whole, "bfloat16", 0.06),
        (adapted_bfloat16, "bfloat16", 0.06),
    ],
)
def test_a_sample_has_the_log_probabilities_the_update_finds(
    av: Callable[..., Verbalizer], dtype: str, bound: float
) -> None:
    policy = begun(av("llama"), dtype=dtype)
    policy.refresh()
    said = [one for row in policy.sample(VECTORS, 3, Sampling(0.7, 20, seed=1)) for one in row]
    stats = policy.evaluate(VECTORS, [one.token_ids for one in said], 100)
    sampled = torch.tensor([value for one in said for value in one.logprobs])
    assert (stats.logprobs - sampled).abs().mean() < bound


def test_sampling_sees_new_weights_at_once() -> None:
    policy = Policy(whole(), config())
    before = policy.sample(VECTORS, 2, Sampling(1.0, 15))
    move(policy.model, 0.1)
    after = policy.sample(VECTORS, 2, Sampling(1.0, 15))
    assert after == policy.verbalizer.explain(VECTORS, 2, Sampling(1.0, 15))
    assert after != before


@torch.no_grad()
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
@pytest.mark.parametrize("av", [whole, adapted])
def test_the_sampler_in_bfloat16_is_the_model_as_it_would_be_loaded(
    av: Callable[..., Verbalizer], name: str, tmp_path: Path
) -> None:
    policy = Policy(av(name), config(dtype="bfloat16"))
    ids = torch.randint(0, 256, (1, 250), generator=torch.Generator().manual_seed(3))

    def loaded() -> Any:
        merged = copy.deepcopy(policy.model)
        merged = merged.merge_and_unload() if hasattr(merged, "peft_config") else merged
        merged.save_pretrained(str(tmp_path))
        return load_causal_lm(tmp_path, dtype=torch.bfloat16)

    started = policy.sampler.model(ids).logits
    assert started.dtype == torch.bfloat16
    assert torch.equal(started, loaded()(ids).logits)
    move(policy.model, 0.1)
    assert torch.equal(policy.sampler.model(ids).logits, started), "the copy has weights of its own"
    policy.refresh()
    assert torch.equal(policy.sampler.model(ids).logits, loaded()(ids).logits)
    assert (policy.sampler.model(ids).logits - started).abs().max() > 1


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["llama", "gemma2"])
@pytest.mark.parametrize("av", [whole, adapted, adapted_bfloat16])
def test_in_bfloat16_the_divergence_from_itself_is_nothing(av: Callable[..., Verbalizer], name: str, form: str) -> None:
    policy = Policy(av(name), config(dtype="bfloat16", kl_form=form))
    assert not policy.evaluate(VECTORS, RESPONSES, 100).kl.any()
    policy.update(VECTORS, RESPONSES, WORTH, 100)
    learned = gradients(policy.model)
    exact = Policy(av(name), config(kl_form=form))
    exact.model.float()
    exact.update(VECTORS, RESPONSES, WORTH, 100)
    found, wanted = (torch.cat([g.flatten() for g in each.values()]) for each in (learned, gradients(exact.model)))
    assert torch.cosine_similarity(found, wanted, dim=0) > 0.99
    move(policy.model)
    assert policy.evaluate(VECTORS, RESPONSES, 100).kl.mean() > 1e-3


@settings(max_examples=200)
@given(st.data(), st.integers(1, 6), st.integers(1, 5), st.integers(1, 20), st.integers(0, 90))
def test_every_response_is_in_a_row_of_its_own_vector(
    data: st.DataObject, group: int, vectors: int, prompt: int, behind: int
) -> None:
    n = group * vectors
    lengths = data.draw(st.lists(st.integers(1, 40), min_size=n, max_size=n))
    limit = prompt + behind
    rows = pack_rows(lengths, group, prompt, limit)
    assert [i for row in rows for i in row.responses] == list(range(n))
    for row in rows:
        assert {i // group for i in row.responses} == {row.vector}
        assert row.tokens == prompt + sum(lengths[i] - 1 for i in row.responses)
        assert row.tokens <= limit or len(row.responses) == 1
    for row, after in itertools.pairwise(rows):
        if row.vector == after.vector:
            assert row.tokens + lengths[after.responses[0]] - 1 > limit, "a row holds as many as it can"


TEXTS = [
    "The boats stayed in the harbour.",
    "storm",
    "",
    "Gulls above the sea, “loud”.",
    "no",
    "Day 7: 潮 rose – late.",
]
TARGETS = tiny.vectors(len(TEXTS), seed=8)


def reader(name: str = "llama", learns: bool = True) -> Reconstructor:
    ar = tiny.reconstructor(name)
    ar.backbone.requires_grad_(learns)
    ar.head.requires_grad_(learns)
    return ar


def plain_mse(ar: Reconstructor) -> Tensor:
    """Direction MSE of every text by the AR's own weights, one text at a time."""
    out = []
    for text, target in zip(TEXTS, TARGETS, strict=True):
        ids = torch.tensor([ar.tokenizer(f"Said: {text}\nMeant:")["input_ids"]])
        pred = ar.backbone(input_ids=ids).last_hidden_state[0, -1] @ ar.head.weight.T
        out.append(2 - 2 * torch.cosine_similarity(pred, target, dim=0))
    return torch.stack(out)


@pytest.mark.parametrize("micro_tokens", [1, 90, 100_000])
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_the_ar_learns_from_the_mean_over_texts(name: str, micro_tokens: int) -> None:
    reward_model, other = RewardModel(reader(name), config()), reader(name)
    found, wanted = reward_model.score(TEXTS, TARGETS, micro_tokens), plain_mse(other)
    torch.testing.assert_close(found, wanted.detach(), atol=1e-5, rtol=0)
    wanted.mean().backward()
    assert_same(gradients(reward_model.reconstructor.backbone), gradients(other.backbone))
    assert_same(gradients(reward_model.reconstructor.head), gradients(other.head))
    assert not found.requires_grad


def test_texts_with_a_weight_add_so_much_of_their_gradient() -> None:
    reward_model, other = RewardModel(reader(), config()), reader()
    reward_model.score(TEXTS[:2], TARGETS[:2], 100)
    reward_model.score(TEXTS[2:], TARGETS[2:], 100, weight=0.25)
    each = plain_mse(other)
    (each[:2].mean() + 0.25 * each[2:].mean()).backward()
    assert_same(gradients(reward_model.reconstructor.backbone), gradients(other.backbone))
    assert_same(gradients(reward_model.reconstructor.head), gradients(other.head))


def test_an_ar_that_is_frozen_scores_alike_and_learns_nothing() -> None:
    reward_model = RewardModel(reader(learns=False), config())
    torch.testing.assert_close(reward_model.score(TEXTS, TARGETS, 100), plain_mse(reader()).detach(), atol=1e-5, rtol=0)
    assert not gradients(reward_model.module)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_ar_it_was_at_the_start_is_asked_again(dtype: str) -> None:
    reward_model = RewardModel(reader(), config(dtype=dtype))
    start = reward_model.reconstruct(TEXTS)
    move(reward_model.module, 0.1)
    live = reward_model.reconstruct(TEXTS)
    assert (live - start).abs().max() > 1
    assert torch.equal(reward_model.reconstruct(TEXTS, frozen=True), start)
    assert torch.equal(reward_model.reconstruct(TEXTS), live)
