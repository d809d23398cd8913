"""Responses are drawn from the model's own distribution, the same for the same seed, and end where they should."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from thinkaloud import families
from thinkaloud.contract import CLOSE
from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.rollout import lockstep
from thinkaloud.rollout.base import Sampling, uniforms
from thinkaloud.rollout.ending import closing_tokens
from thinkaloud.rollout.lockstep import Lockstep

TOK = tiny.tokenizer()


def tokens(rows: list[list[Explanation]]) -> list[list[tuple[int, ...]]]:
    return [[explanation.token_ids for explanation in row] for row in rows]


@pytest.mark.parametrize("name", sorted(set(tiny.CONFIGS) - {"gemma3"}))  # the wrapper's generate takes no embeddings
def test_greedy_equals_transformers_token_by_token(name: str) -> None:
    av, vectors = tiny.verbalizer(name), tiny.vectors(3)
    found = av.explain(vectors, sampling=Sampling(max_tokens=20))
    with torch.no_grad():
        embeds, _ = av.inputs(av.slot_vectors(vectors))
        wanted = av.model.generate(
            inputs_embeds=embeds, attention_mask=torch.ones(embeds.shape[:2]), do_sample=False, max_new_tokens=20
        )
    for row, ids in zip(found, wanted.tolist(), strict=True):
        assert list(row[0].token_ids) == ids[: len(row[0].token_ids)]
        assert len(row[0].token_ids) == 20 or row[0].finish != "cut"


def with_rows(av: Verbalizer, rows: int) -> Verbalizer:
    """The same AV on an engine of its own that decodes so many rows at a time."""
    return replace(av, engine=Lockstep(av.model, av.tokenizer, rows))


def assert_same(found: list[list[Explanation]], wanted: list[list[Explanation]]) -> None:
    """The same tokens, with the same log-probabilities but for rounding."""
    assert tokens(found) == tokens(wanted)
    for row, other in zip(found, wanted, strict=True):
        for explanation, same in zip(row, other, strict=True):
            assert explanation.logprobs == pytest.approx(same.logprobs, abs=2e-5, nan_ok=True)


def scored(av: Verbalizer, vectors: torch.Tensor, ids: tuple[int, ...], temperature: float) -> torch.Tensor:
    """Log-probabilities [T, v] before each of these tokens, from one forward over a single vector's prompt and them."""
    with torch.no_grad():
        embeds, arguments = av.inputs(av.slot_vectors(vectors))
        whole = torch.cat([embeds, families.embed(av.model, torch.tensor([ids]))], dim=1)
        scores = av.model(inputs_embeds=whole, use_cache=False, **arguments).logits[0, embeds.shape[1] - 1 : -1]
        return torch.log_softmax(scores.double() / (temperature or 1.0), dim=-1)


def check(av: Verbalizer, vectors: torch.Tensor, found: Explanation, temperature: float, given: int = 0) -> None:
    """What stands behind the `given` first tokens has the right log-probabilities, and is the likeliest if greedy."""
    every = scored(av, vectors, found.token_ids, temperature)
    ids, logprobs = torch.tensor(found.token_ids), torch.tensor(found.logprobs)
    wanted = every[torch.arange(len(ids)), ids]
    assert len(ids) == len(logprobs) > given
    assert logprobs[:given].isnan().all()
    torch.testing.assert_close(logprobs[given:].double(), wanted[given:], atol=2e-5, rtol=0)
    if not temperature:
        assert (wanted[given:] > every[given:].amax(dim=-1) - 1e-5).all()


@pytest.mark.parametrize("how", ["replace", "add"])
@pytest.mark.parametrize("temperature", [0.0, 1.0, 0.6])
@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2", "phi3"])
def test_logprobs_equal_a_teacher_forced_forward(name: str, temperature: float, how: str) -> None:
    av, vectors = tiny.verbalizer(name, injection=how), tiny.vectors(2)
    for i, row in enumerate(av.explain(vectors, 2, Sampling(temperature, 12, seed=3))):
        for explanation in row:
            check(av, vectors[i : i + 1], explanation, temperature)
            assert explanation.logprob == pytest.approx(sum(explanation.logprobs))


def often_ending(name: str = "llama", **changes: Any) -> Verbalizer:
    """An AV one of whose many end tokens comes up after a few steps, so that rows end at different ones."""
    av = tiny.verbalizer(name, **changes)
    av.model.generation_config.eos_token_id = list(range(40))
    return av


@pytest.mark.parametrize("name", ["llama", "gemma2", "gemma3", "gpt2"])
def test_tokens_depend_on_seed_row_and_sample_alone(name: str) -> None:
    av, vectors = often_ending(name), tiny.vectors(6)
    sampling = Sampling(1.0, 25, seed=7)
    whole = av.explain(vectors, 3, sampling)
    lengths = {len(explanation.token_ids) for row in whole for explanation in row}
    assert len(lengths) > 3, "rows leave the batch at different steps"
    assert tokens(av.explain(vectors, 3, sampling)) == tokens(whole)
    for batch in (3, 6, 7):
        assert tokens(with_rows(av, batch).explain(vectors, 3, sampling)) == tokens(whole)
    assert tokens(av.explain(vectors, 1, sampling)) == [row[:1] for row in tokens(whole)], "samples do not mix"
    assert tokens(av.explain(vectors[:2], 3, sampling)) == tokens(whole)[:2]
    longer = av.explain(vectors, 3, Sampling(1.0, 40, seed=7))
    assert all(
        b[: len(a)] == a for x, y in zip(tokens(whole), tokens(longer), strict=True) for a, b in zip(x, y, strict=True)
    ), "a higher cap goes on from the same tokens"
    assert tokens(av.explain(vectors, 3, Sampling(1.0, 25, seed=8))) != tokens(whole)
    assert len({ids for row in tokens(whole) for ids in row}) > 15, "every sample is its own"


def test_greedy_samples_are_alike() -> None:
    rows = tokens(often_ending().explain(tiny.vectors(2), 3, Sampling(0.0, 10)))
    assert all(len(set(row)) == 1 for row in rows)


def test_watch_is_told_of_every_row() -> None:
    told: list[int] = []
    with_rows(often_ending(), 4).explain(tiny.vectors(4), 2, Sampling(1.0, 20), watch=told.append)
    assert sum(told) == 8
    assert len(told) > 2


def follower(*chain: str, end: str | None = None) -> Verbalizer:
    """An AV that says the tokens of `chain` one after the other, then `end` or the last token for ever."""
    width = 264
    model = tiny.model("llama", hidden_size=width, num_hidden_layers=3)
    vocabulary = TOK.get_vocab()
    ids = [vocabulary[tiny.ASSISTANT], *(vocabulary[token] for token in chain)]
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for name, parameter in model.named_parameters():
            if "norm" in name:
                parameter.fill_(1.0)
        model.model.embed_tokens.weight.copy_(torch.eye(width)[: tiny.VOCABULARY])
        for here, there in zip(ids, [*ids[1:], vocabulary[end] if end else ids[-1]], strict=True):
            model.lm_head.weight[there, here] = 1.0
    return Verbalizer(model, TOK, tiny.av_contract(TOK, width))


@pytest.mark.parametrize("temperature", [0.0, 0.05])
def test_it_stops_at_the_closing_tag(temperature: float) -> None:
    av = follower("H", "i", "</expl", "anation>", "!")
    (row,) = av.explain(tiny.vectors(1, 264), 1, Sampling(temperature, 30))
    assert row[0].raw == f"Hi{CLOSE}"
    assert (row[0].text, row[0].finish) == ("Hi", "closed")
    assert len(row[0].token_ids) == len(row[0].logprobs) == 4


def test_it_closes_at_the_cap_too() -> None:
    (row,) = follower("H", "i", "</expl", "anation>").explain(tiny.vectors(1, 264), 1, Sampling(0.0, 4))
    assert row[0].finish == "closed"


def test_half_a_tag_does_not_close() -> None:
    (row,) = follower("H", "anation>", "i").explain(tiny.vectors(1, 264), 1, Sampling(0.0, 6))
    assert (row[0].raw, row[0].finish) == ("Hanation>iiii", "cut")


def test_it_stops_at_the_cap() -> None:
    (row,) = follower("a", "b", "c").explain(tiny.vectors(1, 264), 1, Sampling(0.0, 5))
    assert (row[0].text, row[0].finish, len(row[0].token_ids)) == ("abccc", "cut", 5)


@pytest.mark.parametrize("end", [tiny.END, "Z"])
def test_it_stops_at_every_end_token(end: str) -> None:
    av = follower("a", "b", end=end)
    av.model.generation_config.eos_token_id = [257, TOK.get_vocab()["Z"]]
    (row,) = av.explain(tiny.vectors(1, 264), 1, Sampling(0.0, 9))
    assert (row[0].raw, row[0].text, row[0].finish) == ("ab", "ab", "eos")
    assert row[0].token_ids[-1] == TOK.get_vocab()[end], "the end token was sampled and counts"
    assert len(row[0].logprobs) == 3


def test_an_end_token_at_the_cap_is_an_end() -> None:
    (row,) = follower("a", "b", end=tiny.END).explain(tiny.vectors(1, 264), 1, Sampling(0.0, 3))
    assert row[0].finish == "eos"


def test_the_closing_tag_can_end_in_several_tokens() -> None:
    vocabulary = TOK.get_vocab()
    assert closing_tokens(TOK) >= {vocabulary[">"], vocabulary["anation>"]}
    assert vocabulary["</expl"] not in closing_tokens(TOK)


@pytest.mark.parametrize(("temperature", "how"), [(0.0, "replace"), (0.0, "add"), (1.0, "replace")])
@pytest.mark.parametrize("name", sorted(tiny.CONFIGS))
def test_a_row_goes_on_from_its_own_first_tokens(name: str, temperature: float, how: str) -> None:
    av, vectors = tiny.verbalizer(name, injection=how), tiny.vectors(3)
    sampling = Sampling(temperature, 16, seed=5)
    whole = tokens(av.explain(vectors, 2, sampling))
    cuts = iter([0, 15, 3, 11, 0, 1])
    prefixes = [[ids[: min(next(cuts), len(ids) - 1)] for ids in row] for row in whole]
    assert len({len(ids) for row in prefixes for ids in row}) > 3
    found = with_rows(av, 5).explain(vectors, 2, sampling, prefixes)
    assert tokens(found) == whole
    for row, given in zip(found, prefixes, strict=True):
        for explanation, ids in zip(row, given, strict=True):
            assert np.isnan(explanation.logprobs).tolist() == [i < len(ids) for i in range(len(explanation.token_ids))]


@pytest.mark.parametrize("how", ["replace", "add"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
@pytest.mark.parametrize("name", ["gemma2", "gemma3", "gpt2", "mistral", "qwen2"])
def test_what_follows_foreign_tokens_is_drawn_behind_them(name: str, temperature: float, how: str) -> None:
    av, vectors = tiny.verbalizer(name, injection=how), tiny.vectors(4)
    texts = [["", "so it was said"], ["a", ""], ["", ""], ["one thing", "the other"]]
    prefixes = [[TOK(text, add_special_tokens=False).input_ids for text in row] for row in texts]
    found = with_rows(av, 5).explain(vectors, 2, Sampling(temperature, 18, seed=2), prefixes)
    for i, row in enumerate(found):
        for explanation, ids, text in zip(row, prefixes[i], texts[i], strict=True):
            assert list(explanation.token_ids[: len(ids)]) == ids
            assert explanation.raw.startswith(text)
            check(av, vectors[i : i + 1], explanation, temperature, len(ids))


def test_a_tag_that_was_begun_for_it_closes() -> None:
    av = follower("H", "</expl", "anation>", "!")
    given = [TOK.get_vocab()[token] for token in ("H", "i", "</expl")]
    ((found,),) = av.explain(tiny.vectors(1, 264), 1, Sampling(0.0, 9), [[given]])
    assert (found.raw, found.text, found.finish) == (f"Hi{CLOSE}", "Hi", "closed")
    assert len(found.token_ids) == len(found.logprobs) == 4


@pytest.mark.parametrize(
    ("prefixes", "line"),
    [
        ([[[], []]] * 2, "expected 2 prefixes for each of 3 prompts"),
        ([[[], []], [[]], [[], []]], "expected 2 prefixes for each of 3 prompts"),
        (
            [[[], []], [[1], [5] * 6], [[], []]],
            "a prefix of prompt 1 has 6 tokens: the cap of 6 leaves no room",
        ),
        (
            [[[], []], [[], []], [[5, TOK.eos_token_id], []]],
            "a prefix of prompt 2 has ended already: nothing can follow it",
        ),
        (
            [[[], TOK(CLOSE, add_special_tokens=False).input_ids], [[], []], [[], []]],
            "a prefix of prompt 0 has ended already: nothing can follow it",
        ),
    ],
    ids=["prompts", "samples", "length", "end token", "closing tag"],
)
def test_a_prefix_that_nothing_can_follow_is_refused(prefixes: list[list[list[int]]], line: str) -> None:
    with pytest.raises(UserError) as caught:
        tiny.verbalizer().explain(tiny.vectors(3), 2, Sampling(max_tokens=6), prefixes)
    assert str(caught.value) == line


def sizes_read(av: Verbalizer, act: Any) -> list[tuple[int, ...]]:
    """Rows and tokens of every forward call that `act` makes."""
    sizes: list[tuple[int, ...]] = []
    hook = families.text_model(av.model).register_forward_pre_hook(
        lambda _module, _args, kwargs: sizes.append(tuple(kwargs["inputs_embeds"].shape[:2])), with_kwargs=True
    )
    act()
    hook.remove()
    return sizes


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_rows_that_come_in_later_are_as_good(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Few rows, for ever refilled; and prompts that are read a few at a time."""
    av, vectors = often_ending(name), tiny.vectors(25)
    sampling = Sampling(1.0, 25, seed=4)
    whole = av.explain(vectors, 2, sampling)
    assert len({len(explanation.token_ids) for row in whole for explanation in row}) > 8
    assert_same(with_rows(av, 7).explain(vectors, 2, sampling), whole)
    monkeypatch.setattr(lockstep, "_PREFILL_TOKENS", 3 * len(av.prompt_ids) + 1)
    sizes = sizes_read(av, lambda: assert_same(av.explain(vectors, 2, sampling), whole))
    assert max(rows for rows, length in sizes if length > 1) == 3


def test_nothing_of_a_prompt_is_read_twice() -> None:
    av, vectors = often_ending(), tiny.vectors(7)
    before, own = av.slots[0], len(av.prompt_ids) - av.slots[0]
    assert min(before, own) > 1
    sizes = sizes_read(av, lambda: with_rows(av, 6).explain(vectors, 3, Sampling(1.0, 20)))
    assert [size for size in sizes if size[1] == before] == [(1, before)]
    assert sum(rows for rows, length in sizes if length == own) == 7, "once for its three samples"
    assert {length for _, length in sizes} == {before, own, 1}
    assert max(rows for rows, _ in sizes) == 6


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test_an_engine_that_is_kept_equals_a_new_one(name: str) -> None:
    av = often_ending(name)
    other = Verbalizer(
        av.model, TOK, tiny.av_contract(TOK, av_template="A much longer way to ask: what is [{injection_char}]?")
    )
    engine = Lockstep(av.model, TOK, rows=8)
    calls = [(av, 3, 2, 1.0, 12), (av, 1, 1, 0.0, 5), (av, 9, 3, 1.0, 12), (other, 5, 2, 0.7, 90), (av, 2, 12, 1.0, 30)]
    for reader, prompts, n, temperature, cap in [*calls, calls[0]]:
        prompt = reader.prompt(tiny.vectors(prompts, seed=cap))
        sampling = Sampling(temperature, cap, seed=prompts)
        wanted = Lockstep(av.model, TOK, rows=8).generate(prompt, n, sampling)
        assert_same(engine.generate(prompt, n, sampling), wanted)


def test_a_call_that_breaks_off_leaves_nothing_behind() -> None:
    def stop(rows: int) -> None:
        raise KeyboardInterrupt

    av = often_ending()
    engine, prompt, sampling = Lockstep(av.model.train(), TOK), av.prompt(tiny.vectors(5)), Sampling(1.0, 20)
    wanted = engine.generate(prompt, 2, sampling)
    with pytest.raises(KeyboardInterrupt):
        engine.generate(prompt, 2, sampling, watch=stop)
    assert av.model.training
    assert av.model.config._attn_implementation == "sdpa"
    assert_same(engine.generate(prompt, 2, sampling), wanted)


def test_new_weights_are_used_at_once() -> None:
    old, new = tiny.verbalizer(seed=0), tiny.verbalizer(seed=1)
    engine, vectors, sampling = Lockstep(old.model, TOK), tiny.vectors(4), Sampling(1.0, 15)
    before = engine.generate(old.prompt(vectors), 2, sampling)
    with torch.no_grad():
        for parameter, source in zip(old.model.parameters(), new.model.parameters(), strict=True):
            parameter.copy_(source)
    after = engine.generate(old.prompt(vectors), 2, sampling)
    assert_same(after, new.explain(vectors, 2, sampling))
    assert tokens(after) != tokens(before)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize(
    ("name", "targets"), [("llama", r".*_proj"), ("gemma3", r".*language_model.*_proj"), ("gpt2", r".*c_(attn|proj)")]
)
def test_an_adapter_equals_the_merged_model(name: str, targets: str, temperature: float) -> None:
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=4, lora_alpha=16, target_modules=targets, lora_dropout=0.5, fan_in_fan_out=name == "gpt2")
    adapted: Any = get_peft_model(tiny.model(name), config)
    with torch.no_grad():
        for key, parameter in adapted.named_parameters():
            if "lora_B" in key:
                parameter.normal_(std=0.1)
    vectors, sampling = tiny.vectors(3), Sampling(temperature, 20)
    found = Verbalizer(adapted, TOK, tiny.av_contract(TOK)).explain(vectors, 2, sampling)
    merged = Verbalizer(adapted.merge_and_unload(), TOK, tiny.av_contract(TOK)).explain(vectors, 2, sampling)
    assert_same(found, merged)
    assert tokens(found) != tokens(tiny.verbalizer(name).explain(vectors, 2, sampling)), "the adapter counts"


@pytest.mark.parametrize("how", ["replace", "add"])
@pytest.mark.parametrize("slots", [[0], [0, 1], [3, 9], [5, -1]], ids=str)
@pytest.mark.parametrize("name", ["gemma2", "gpt2"])
def test_vectors_stand_anywhere(name: str, slots: list[int], how: str) -> None:
    av, vectors = tiny.verbalizer(name, injection=how), tiny.vectors(2 * len(slots)).reshape(2, len(slots), 32)
    av.slots = [slot % len(av.prompt_ids) for slot in slots]
    sampling = Sampling(1.0, 12, seed=1)
    found = av.explain(vectors, 2, sampling)
    for i, row in enumerate(found):
        for explanation in row:
            check(av, vectors[i : i + 1], explanation, 1.0)


def test_a_contract_of_two_slots_is_sampled() -> None:
    av = tiny.verbalizer(av_template="First [{injection_char}] and then [{injection_char}].")
    vectors = tiny.vectors(4).reshape(2, 2, 32)
    first, second = av.explain(vectors, sampling=Sampling(max_tokens=12))
    check(av, vectors[:1], first[0], 0.0)
    check(av, vectors[1:], second[0], 0.0)
    swapped = av.explain(vectors.flip(1), sampling=Sampling(max_tokens=12))
    assert tokens(swapped) != tokens([first, second])


def gradients(av: Verbalizer) -> list[torch.Tensor]:
    av.model.zero_grad()
    embeds, arguments = av.inputs(av.slot_vectors(tiny.vectors(2)))
    av.model(inputs_embeds=embeds, use_cache=False, **arguments).logits.square().mean().backward()
    return [parameter.grad.clone() for parameter in av.model.parameters() if parameter.grad is not None]


@pytest.mark.parametrize("how", ["replace", "add"])
@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_a_model_in_training_is_sampled_and_goes_on_training(name: str, how: str) -> None:
    """Its blocks are recomputed in the backward pass; GPT-2 has dropout too."""
    av, vectors, sampling = often_ending(name, injection=how), tiny.vectors(4), Sampling(1.0, 20)
    wanted = av.explain(vectors, 2, sampling)
    av.model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    av.model.train()
    assert_same(av.explain(vectors, 2, sampling), wanted)
    assert all(module.training for module in av.model.modules())
    assert av.model.is_gradient_checkpointing
    torch.manual_seed(0)
    after = gradients(av)
    fresh = often_ending(name, injection=how)
    fresh.model.train()
    torch.manual_seed(0)
    assert all(torch.equal(one, other) for one, other in zip(after, gradients(fresh), strict=True))


def test_random_streams_do_not_repeat() -> None:
    streams = {tuple(uniforms(seed, row, n, 4)) for seed in (0, 1, -1) for row in range(5) for n in range(5)}
    assert len(streams) == 75
    assert np.array_equal(uniforms(3, 1, 2, 4), uniforms(3, 1, 2, 9)[:4])
    assert all(0 <= u < 1 for stream in streams for u in stream)


@pytest.mark.parametrize(
    ("make", "line"),
    [
        (lambda av: Sampling(temperature=-1.0), r"temperature must be 0 \(greedy\) or more, found -1.0"),
        (lambda av: Sampling(temperature=float("nan")), "temperature must be 0"),
        (lambda av: Sampling(max_tokens=0), "max tokens must be 1 or more, found 0"),
        (lambda av: av.explain(tiny.vectors(1), 0), "samples must be 1 or more, found 0"),
        (
            lambda av: av.explain(tiny.vectors(1), 1, Sampling(max_tokens=tiny.CONTEXT)),
            r"max tokens 256 do not fit behind the prompt: the context leaves 2\d\d",
        ),
    ],
)
def test_what_cannot_be_sampled_is_refused(make: Any, line: str) -> None:
    with pytest.raises(UserError, match=line):
        make(tiny.verbalizer())
