"""Requests that share batches get what each gets alone, and the rows of a cancelled one are free at once."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch

from thinkaloud.errors import UserError
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.rollout.base import Prompt, Request, Row, Sampling, engine
from thinkaloud.rollout.lockstep import Lockstep

TOK = tiny.tokenizer()
LONGER = "A much longer way to ask: what is [{injection_char}], and what is it for?"


def reader(name: str = "llama", **changes: Any) -> Verbalizer:
    av = tiny.verbalizer(name, **changes)
    av.model.generation_config.eos_token_id = list(range(40))  # rows end at different steps
    return av


def asked(av: Verbalizer) -> list[tuple[Prompt, int, Sampling]]:
    """Requests that differ in all that a request may differ in."""
    other = Verbalizer(av.model, TOK, tiny.av_contract(TOK, av_template=LONGER))
    added = Verbalizer(av.model, TOK, tiny.av_contract(TOK, injection="add"))
    return [
        (av.prompt(tiny.vectors(5)), 2, Sampling(1.0, 20, seed=1)),
        (other.prompt(tiny.vectors(3, seed=4)), 1, Sampling(0.0, 9)),
        (added.prompt(tiny.vectors(2, seed=5)), 3, Sampling(0.6, 40, seed=1)),
        (av.prompt(tiny.vectors(4, seed=6)), 1, Sampling(1.0, 20, seed=1)),
        (other.prompt(tiny.vectors(1, seed=7)), 8, Sampling(0.6, 30, seed=9)),
    ]


def results(request: Request) -> list[list[tuple[int, ...]]]:
    return [
        [request.done[i, j].token_ids for j in range(request.n)] for i in range(request.prompt.n)
    ]  # a KeyError is a response that never came


def until_done(engine: Lockstep, *requests: Request) -> list[Row]:
    out: list[Row] = []
    while any(request.left for request in requests):
        out += engine.step()
    return out


@pytest.mark.parametrize("rows", [3, 8, 256])
@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2"])
def test_requests_that_share_batches_get_what_each_gets_alone(name: str, rows: int) -> None:
    av = reader(name)
    alone = [Lockstep(av.model, TOK).generate(*one) for one in asked(av)]
    engine = Lockstep(av.model, TOK, rows)
    first, *others = asked(av)
    requests = [engine.submit(*first)]
    finished = [*engine.step(), *engine.step()]
    for one in others:  # into a batch that is under way, one after the other
        requests.append(engine.submit(*one))
        finished += engine.step()
    if rows == 256:
        assert {row.request for row in engine.live} >= set(requests[1:]), "they are decoded together"
    finished += until_done(engine, *requests)
    for request, wanted in zip(requests, alone, strict=True):
        assert results(request) == [[one.token_ids for one in row] for row in wanted]
        for (i, j), found in request.done.items():
            assert found.logprobs == pytest.approx(wanted[i][j].logprobs, abs=2e-5)
    assert len(finished) == sum(prompt.n * n for prompt, n, _ in asked(av))
    assert {(one.request, one.prompt, one.sample) for one in finished} == {
        (request, *place) for request in requests for place in request.done
    }
    assert not engine.live
    assert engine.step() == []


def test_a_cancelled_request_frees_its_rows_at_once() -> None:
    av = reader()
    engine, (first, second, *_) = Lockstep(av.model, TOK, rows=12), asked(av)
    wanted = [[one.token_ids for one in row] for row in Lockstep(av.model, TOK).generate(*second)]
    long = engine.submit(first[0], 2, Sampling(1.0, 100, seed=1))
    short, late = engine.submit(*second), engine.submit(*first)
    engine.step()
    engine.step()
    assert len(engine.live) > 0
    engine.cancel(long)
    engine.cancel(late)
    assert {row.request for row in engine.live} <= {short}
    assert late not in engine.waiting
    until_done(engine, short)
    assert results(short) == wanted
    assert late.done == {}
    engine.cancel(short)  # what is done stays done
    assert results(short) == wanted


def test_generate_steps_what_others_have_submitted_too() -> None:
    av = reader()
    engine, (first, second, *_) = Lockstep(av.model, TOK), asked(av)
    waiting = engine.submit(*first)
    told: list[int] = []
    found = engine.generate(*second, watch=told.append)
    assert sum(told) == second[0].n * second[1]
    until_done(engine, waiting)
    alone = Lockstep(av.model, TOK)
    assert [[one.token_ids for one in row] for row in found] == [
        [one.token_ids for one in row] for row in alone.generate(*second)
    ]
    assert results(waiting) == [[one.token_ids for one in row] for row in alone.generate(*first)]


def test_a_batch_grows_under_way() -> None:
    """From one row to many, and to a longer context, with what was begun in it."""
    av = reader()
    engine = Lockstep(av.model, TOK)
    one = engine.submit(av.prompt(tiny.vectors(1)), 1, Sampling(1.0, 60, seed=3))
    engine.step()
    many = engine.submit(av.prompt(tiny.vectors(9)), 3, Sampling(1.0, 200, seed=2))
    until_done(engine, one, many)
    alone = Lockstep(av.model, TOK)
    for request in (one, many):
        again = alone.generate(request.prompt, request.n, request.sampling)
        assert results(request) == [[e.token_ids for e in row] for row in again]


def test_rows_can_be_fewer_from_one_call_to_the_next() -> None:
    av = reader()
    engine, prompt = Lockstep(av.model, TOK, rows=16), av.prompt(tiny.vectors(8))
    wanted = engine.generate(prompt, 2, Sampling(1.0, 12))
    engine.rows = 4
    assert [[one.token_ids for one in row] for row in engine.generate(prompt, 2, Sampling(1.0, 12))] == [
        [one.token_ids for one in row] for row in wanted
    ]
    assert engine._kept is not None
    assert engine._kept.rows == 4, "the larger cache is given back"


def test_a_request_that_cannot_be_sampled_is_refused_at_once() -> None:
    av = reader()
    engine, prompt = Lockstep(av.model, TOK), av.prompt(tiny.vectors(2))
    with pytest.raises(UserError, match="samples must be 1 or more, found 0"):
        engine.submit(prompt, 0)
    assert engine.step() == []
    assert engine.generate(replace(prompt, vectors=torch.empty(0, 1, 32))) == []


def test_an_engine_of_ones_own_is_chosen_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "twice.py"
    file.write_text(
        "from thinkaloud.rollout.base import engine\n"
        "from thinkaloud.rollout.lockstep import Lockstep\n"
        "@engine\n"
        "class Twice(Lockstep):\n"
        "    name = 'twice'\n"
    )
    av, (prompt, n, sampling) = reader(), asked(reader())[0]
    made = engine.find(str(file))(av.model, TOK)
    assert type(made).__name__ == "Twice"
    assert made.generate(prompt, n, sampling) == Lockstep(av.model, TOK).generate(prompt, n, sampling)
    assert engine.find("lockstep") is Lockstep
    with pytest.raises(UserError, match="no engine 'vlm': did you mean vllm"):
        engine.find("vlm")
