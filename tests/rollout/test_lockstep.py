"""Are responses drawn from the model's own distribution, the same for the same seed, and ended where they should be?"""

from typing import Any

import numpy as np
import pytest
import tiny
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkaloud import families
from thinkaloud.contract import CLOSE
from thinkaloud.errors import UserError
from thinkaloud.explanation import Explanation
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.rollout.base import Sampling, uniforms
from thinkaloud.rollout.draw import draw
from thinkaloud.rollout.lockstep import closing_tokens

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


@pytest.mark.parametrize("how", ["replace", "add"])
@pytest.mark.parametrize("temperature", [0.0, 1.0, 0.6])
@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2", "phi3"])
def test_logprobs_equal_a_teacher_forced_forward(name: str, temperature: float, how: str) -> None:
    av, vectors = tiny.verbalizer(name, injection=how), tiny.vectors(2)
    found = av.explain(vectors, 2, Sampling(temperature, 12, seed=3))
    with torch.no_grad():
        for i, row in enumerate(found):
            for explanation in row:
                embeds, arguments = av.inputs(av.slot_vectors(vectors[i : i + 1]))
                said = torch.tensor([explanation.token_ids])
                whole = torch.cat([embeds, families.embed(av.model, said)], dim=1)
                out = av.model(inputs_embeds=whole, use_cache=False, **arguments).logits
                scores = out[0, embeds.shape[1] - 1 : -1].double() / (temperature or 1.0)
                wanted = torch.log_softmax(scores, dim=-1)[torch.arange(said.shape[1]), said[0]]
                torch.testing.assert_close(torch.tensor(explanation.logprobs).double(), wanted, atol=2e-5, rtol=0)
                assert explanation.logprob == pytest.approx(float(wanted.sum()), abs=1e-3)


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
        assert tokens(av.explain(vectors, 3, sampling, batch=batch)) == tokens(whole)
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
    often_ending().explain(tiny.vectors(4), 2, Sampling(1.0, 20), batch=4, watch=told.append)
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


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_distribution(temperature: float) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = 2 * torch.randn(7, generator=generator)
    n = 7000
    u = (torch.arange(n, dtype=torch.float64) + 0.5) / n
    ids, logprobs = draw(logits.expand(n, 7), temperature, u)
    wanted = torch.softmax(logits.double() / temperature, dim=0)
    share = torch.bincount(ids, minlength=7) / n
    torch.testing.assert_close(share.double(), wanted, atol=1.01 / n, rtol=0)
    torch.testing.assert_close(logprobs.double(), wanted.log()[ids], atol=1e-5, rtol=0)


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.floats(-60, 60, width=32), min_size=1, max_size=9),
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=5),
)
def test_a_draw_inverts_the_distribution(logits: list[float], us: list[float]) -> None:
    rows = torch.tensor([logits] * len(us))
    ids, _ = draw(rows, 1.0, torch.tensor(us, dtype=torch.float64))
    exact = np.exp(np.array(logits) - max(logits))
    edges = np.cumsum(exact / exact.sum())
    for u, token in zip(us, ids.tolist(), strict=True):
        below = edges[token - 1] if token else 0.0
        assert below - 1e-5 <= u <= edges[token] + 1e-5
        assert exact[token] > 0


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
