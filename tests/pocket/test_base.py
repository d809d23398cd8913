"""The pocket base is trained on every token, in the shares it says; its figure is what a plain count gives."""

import json
import lzma
import math
from collections.abc import Callable, Iterable
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import tyro
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud import quant
from thinkaloud.errors import UserError
from thinkaloud.loading import load_causal_lm, load_tokenizer
from thinkaloud.pocket import base, corpus
from thinkaloud.pocket.base import BaseConfig

BOS = 0
SHAPE: dict[str, Any] = {"d_model": 32, "layers": 2, "heads": 2, "kv_heads": 1, "intermediate": 48}
SMALL = BaseConfig(**SHAPE, context=24, steps=30, batch=8, lr=1e-2, warmup=3)


class Tokens:
    """As much of a tokenizer as a model is built from."""

    bos_token_id, eos_token_id, pad_token_id = 0, 1, 1

    def __init__(self, size: int) -> None:
        self.size = size

    def __len__(self) -> int:
        return self.size


def numbered(lengths: Iterable[int]) -> list[np.ndarray]:
    """Documents of these lengths in which every token is another number; between two documents one number is free."""
    documents, first = [], 1
    for length in lengths:
        documents.append(np.arange(first, first + length, dtype=np.uint16))
        first += length + 1
    return documents


@given(st.lists(st.integers(0, 70), max_size=30), st.integers(9, 40))
def test_every_token_is_in_one_row_but_for_a_rest_shorter_than_one(lengths: list[int], context: int) -> None:
    documents = numbered(lengths)
    tokens = [int(i) for document in documents for i in document]
    try:
        found = base.rows(documents, BOS, context)
    except UserError:
        found = np.zeros((0, context + 1), np.uint16)
    assert found.dtype == np.uint16
    assert found.shape[1] == context + 1
    laid = [int(i) for i in found.flatten() if i != BOS]
    assert laid == tokens[: len(laid)]
    assert len(tokens) - len(laid) < context
    for row in found:
        assert row[0] == BOS
        assert len(np.trim_zeros(row, "b")) > context - 8, "more than a few places stay empty"
        for before, token in pairwise(row):
            if token != BOS:
                assert before in (BOS, token - 1), "one document runs into another"


def test_too_little_text_for_a_row_is_refused() -> None:
    """An epoch of no rows would never come to an end."""
    for documents in ([], numbered([3, 4])):
        with pytest.raises(UserError, match="the documents fill no row of 20 tokens"):
            base.rows(documents, BOS, 20)


def test_rows_by_hand() -> None:
    documents = [np.array([1, 2, 3]), np.array([4, 5]), np.arange(6, 20)]
    assert base.rows(documents, BOS, 10).tolist() == [
        [0, 1, 2, 3, 0, 0, 0, 0, 0, 0, 0],
        [0, 4, 5, 0, 0, 0, 0, 0, 0, 0, 0],
        [0, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15],
        [0, 16, 17, 18, 19, 0, 0, 0, 0, 0, 0],
    ]
    assert base.rows([np.arange(1, 7), np.arange(8, 20)], BOS, 16).tolist() == [
        [0, 1, 2, 3, 4, 5, 6, 0, 8, 9, 10, 11, 12, 13, 14, 15, 16],
    ]


def test_token_ids_are_those_of_the_tokenizer_without_bos() -> None:
    tokenizer = tiny.tokenizer()
    texts = ["abc", "", "é<|end|>"]
    found = base.encode(tokenizer, texts)
    assert [ids.tolist() for ids in found] == [tokenizer(text)["input_ids"][1:] for text in texts]


def tables(main: int = 20, world: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows that say which they are: main rows from 1 on, world rows from 1001 on."""
    rows = torch.arange(1, main + 1), torch.arange(1001, 1001 + world)
    return rows[0][:, None].expand(-1, 5).to(torch.int16), rows[1][:, None].expand(-1, 5).to(torch.int16)


@pytest.mark.parametrize(("share", "from_world"), [(0.25, 2), (0.5, 4), (0.0, 0), (1.0, 8)])
def test_the_world_has_its_share_of_every_batch(share: float, from_world: int) -> None:
    config = BaseConfig(batch=8, world_share=share)
    for batch in islice(base.batches(*tables(), config), 30):
        assert batch.shape == (8, 5)
        assert batch.dtype == torch.int64
        assert int((batch[:, 0] > 1000).sum()) == from_world


def test_every_row_comes_once_an_epoch_in_another_order() -> None:
    drawn = torch.cat(list(islice(base.batches(*tables(), BaseConfig(batch=8)), 70)))[:, 0].tolist()
    for rows, n in ([i for i in drawn if i < 1000], 20), ([i for i in drawn if i > 1000], 7):
        epochs = [rows[start : start + n] for start in range(0, len(rows) - n + 1, n)]
        assert len(epochs) >= 20
        assert all(sorted(epoch) == sorted(epochs[0]) and len(set(epoch)) == n for epoch in epochs)
        assert len(set(map(tuple, epochs))) == len(epochs)


def test_batches_follow_from_the_seed() -> None:
    def first(seed: int) -> list[list[list[int]]]:
        return [batch.tolist() for batch in islice(base.batches(*tables(), BaseConfig(batch=8, seed=seed)), 9)]

    assert first(0) == first(0)
    assert first(0) != first(1)


def test_the_bundled_model_has_as_many_parameters_as_its_shape_says() -> None:
    config, vocabulary = BaseConfig(), 6144
    d, inner, key = config.d_model, config.intermediate, config.d_model * config.kv_heads // config.heads
    block = 2 * d * d + 2 * d * key + 3 * d * inner + 2 * d  # q and o, k and v, the three of the MLP, two norms
    with torch.device("meta"):
        model = base.build(config, Tokens(vocabulary))
    assert sum(p.numel() for p in model.parameters()) == vocabulary * d + config.layers * block + d == 7_672_064
    assert model.config.max_position_embeddings == config.context
    assert (model.config.bos_token_id, model.config.eos_token_id) == (0, 1)


def test_weights_follow_from_the_seed() -> None:
    def weights(**changes: int) -> torch.Tensor:
        built = base.build(BaseConfig(**SHAPE, **changes), Tokens(50))
        return torch.cat([p.flatten() for p in built.parameters()])

    assert weights().equal(weights())
    assert not weights().equal(weights(seed=1))


def log_probability(model: Any, ids: list[int]) -> float:
    """Nats of all tokens but the first, each from a forward pass of its own over what stands before it."""
    total = 0.0
    for end in range(1, len(ids)):
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids[:end]])).logits[0, -1].double()
        total += float(logits[ids[end]] - torch.logsumexp(logits, 0))
    return total


def test_the_loss_is_the_mean_over_tokens_that_are_not_bos() -> None:
    model = tiny.model("llama")
    rows = [[256, 10, 11, 12, 256, 20, 21], [256, 30, 31, 256, 256, 256, 256]]
    found = base.loss_of(model, torch.tensor(rows), 256)
    # After a BOS in the middle of a row the tokens before it are still in sight, as in training.
    nats, n = 0.0, 0
    for row in rows:
        for end in range(1, len(row)):
            if row[end] != 256:
                nats -= log_probability(model, row[: end + 1]) - log_probability(model, row[:end])
                n += 1
    assert n == 7
    assert float(found.detach()) == pytest.approx(nats / n, rel=1e-5)


def test_bits_a_byte_are_those_of_every_token_by_itself() -> None:
    model, tokenizer = tiny.model("llama"), tiny.tokenizer()
    texts = ["The sea – calm, é.", "x", "", "a<|end|>b", "0123456789ABCDEF!"]
    nats = 0.0
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        for start in range(0, len(ids), 7):
            nats -= log_probability(model, [tokenizer.bos_token_id, *ids[start : start + 7]])
    size = sum(len(text.encode("utf-8")) for text in texts)
    found = base.bits_per_byte(model, tokenizer, texts, context=8)
    assert found == pytest.approx(nats / math.log(2) / size, rel=1e-5)


def test_bits_a_byte_do_not_depend_on_what_else_is_measured() -> None:
    model, tokenizer = tiny.model("llama"), tiny.tokenizer()
    texts = [f"Day {i}: " + "rain, " * (i % 9) for i in range(150)]  # more than two batches of windows
    sizes = [len(text) for text in texts]
    each = [base.bits_per_byte(model, tokenizer, [text], context=16) for text in texts]
    whole = base.bits_per_byte(model, tokenizer, texts, context=16)
    assert whole == pytest.approx(np.average(each, weights=sizes), rel=1e-5)


def test_a_step_is_that_of_adamw_on_clipped_gradients(capsys: pytest.CaptureFixture[str]) -> None:
    """Three steps worked out from the formula, with decay of matrices alone; the cosine would end a step later."""
    config = BaseConfig(**SHAPE, context=6, batch=4, steps=3, lr=1e-2, final_lr=1e-3, warmup=1, weight_decay=0.5)
    main, world = (table.numpy().astype(np.uint16) % 30 for table in tables())
    model, other = base.build(config, Tokens(30)), base.build(config, Tokens(30))
    base.train(model, main, world, config, BOS, "cpu")
    weights = list(other.parameters())
    means, squares = ([torch.zeros_like(w) for w in weights] for _ in range(2))
    batches = base.batches(torch.from_numpy(main.astype(np.int64)), torch.from_numpy(world.astype(np.int64)), config)
    rates = (1e-2, 1e-2, (1e-2 + 1e-3) / 2)
    for step, (batch, lr) in enumerate(zip(islice(batches, 3), rates, strict=True)):
        grads = torch.autograd.grad(base.loss_of(other, batch, BOS), weights)
        norm = math.sqrt(sum(float((g**2).sum()) for g in grads))
        assert norm > 1, "nothing is clipped"
        with torch.no_grad():
            for w, g, m, v in zip(weights, grads, means, squares, strict=True):
                g = g / norm
                m.mul_(0.9).add_(0.1 * g)
                v.mul_(0.95).add_(0.05 * g**2)
                move = (m / (1 - 0.9 ** (step + 1))) / ((v / (1 - 0.95 ** (step + 1))).sqrt() + 1e-8)
                w.copy_(w * (1 - lr * (0.5 if w.ndim == 2 else 0.0)) - lr * move)
    for (name, found), wanted in zip(model.named_parameters(), weights, strict=True):
        # Fresh weights attend evenly, so q and k have gradients as small as rounding, which Adam scales up.
        slack = 1e-3 if name.endswith(("q_proj.weight", "k_proj.weight")) else 1e-5
        torch.testing.assert_close(found, wanted, rtol=0, atol=slack, msg=name)


def trained() -> tuple[Any, list[dict[str, float]], list[float]]:
    """A small model that has learnt to count, its log, and its loss on what it was trained on before and after."""
    count = np.array([[0] + [2 + (start + i) % 20 for i in range(SMALL.context)] for start in range(20)], np.uint16)
    world = count[:, ::-1].copy()
    world[:, 0] = 0
    model = base.build(SMALL, Tokens(24))
    rows = torch.from_numpy(np.concatenate([count, world]).astype(np.int64))

    def loss() -> float:
        with torch.no_grad():
            return float(base.loss_of(model, rows, BOS))

    before = loss()
    log = base.train(model, count, world, SMALL, BOS, "cpu")
    return model, log, [before, loss()]


def test_a_few_steps_lower_the_loss_and_are_the_same_twice(capsys: pytest.CaptureFixture[str]) -> None:
    (one, log, losses), (two, again, _) = trained(), trained()
    assert losses[0] == pytest.approx(math.log(24), abs=0.1), "fresh weights know nothing"
    assert losses[1] < 0.6 * losses[0]
    assert [line["step"] for line in log] == [0, SMALL.steps - 1]
    assert [line["loss"] for line in log] == [line["loss"] for line in again]
    assert log[-1]["loss"] < log[0]["loss"]
    for name, weight in one.state_dict().items():
        assert weight.equal(two.state_dict()[name]), name
    assert [json.loads(line)["step"] for line in capsys.readouterr().out.splitlines()] == [0, 29, 0, 29]


class Here:
    """A pool of no processes."""

    def __enter__(self) -> "Here":
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def map(self, action: Callable[..., Any], items: Iterable[Any], chunksize: int) -> Iterable[Any]:
        return map(action, items)


def test_the_whole_training_leaves_a_packed_model_and_its_own_figures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(base, "ProcessPoolExecutor", Here)
    monkeypatch.setattr(corpus, "HELDOUT", 0.2)  # so that a few documents have some held out
    folder, out = tmp_path / "corpus", tmp_path / "base"
    folder.mkdir()
    prose = [f"Dear friend, on day {i} the boats stayed in the harbour." for i in range(30)]
    chats = [[{"role": "user", "content": f"What is {i} and {i}?"}] for i in range(30)]
    for name, text in {
        "prose-000.txt.xz": "\n<|doc|>\n".join(prose),
        "prose-heldout.txt.xz": "A book apart.",
        "chat-a.jsonl.xz": "".join(json.dumps({"messages": chat}) + "\n" for chat in chats),
    }.items():
        (folder / name).write_bytes(lzma.compress(text.encode()))
    run = {**SHAPE, "context": 64, "warmup": 1, "steps": 3, "batch": 4, "world_documents": 50}
    options = [word for name, value in run.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    tyro.cli(base.main, args=["--corpus", str(folder), "--out", str(out), *options])
    assert "documents: prose " in capsys.readouterr().out
    metrics = json.loads((out / "metrics.json").read_text())
    model, tokenizer = load_causal_lm(out), load_tokenizer(out)
    assert quant.is_packed(out / "model.safetensors")
    assert metrics["parameters"] == sum(p.numel() for p in model.parameters())
    assert metrics["tokens"] == 3 * 4 * 64
    assert BaseConfig(**metrics["config"]) == BaseConfig(**run)
    # The figures are those of the packed model, in windows as long as it was trained on.
    apart = base.bits_per_byte(model, tokenizer, ["A book apart."], 64)
    assert metrics["bits_per_byte"]["prose, held-out books and articles"] == pytest.approx(apart, rel=1e-5)
    world = [corpus.as_text(d) for d in corpus.world(0, 50) if base.split_of(d["id"], 0.2) == "heldout"]
    figure = metrics["bits_per_byte"]["world, held-out"]
    assert figure == pytest.approx(base.bits_per_byte(model, tokenizer, world, 64), rel=1e-5)
    assert figure != pytest.approx(base.bits_per_byte(model, tokenizer, world, 512), rel=1e-5)
