"""A pair reads the vectors its model holds, and scores what it says against the right baseline."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tiny
import torch

import thinkaloud
from thinkaloud import NLA, Baseline, Score, Site, UserError
from thinkaloud.pair import formats
from thinkaloud.pair import nla as pair
from thinkaloud.pair.formats import save
from thinkaloud.pair.scores import cosine, direction_mse
from thinkaloud.rollout import ending, lockstep

TEXT = "Hello there, reader."
CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Good day."}]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("pair")
    tiny.save_base("llama", out / "base")
    save(tiny.verbalizer(), out / "av")
    save(tiny.reconstructor(seed=0), out / "ar")
    return out


@pytest.fixture(scope="module")
def nla(folder: Path) -> NLA:
    return NLA.from_pretrained(folder)


@pytest.mark.parametrize("content", [TEXT, CHAT], ids=["text", "chat"])
def test_reading_is_of_the_models_own_states(nla: NLA, content: str | list[dict[str, str]]) -> None:
    tok, model = tiny.tokenizer(), tiny.model("llama")
    ids = (
        tok(content)["input_ids"]
        if isinstance(content, str)
        else tok.apply_chat_template(content, return_dict=True)["input_ids"]
    )
    with torch.no_grad():
        states = model(input_ids=torch.tensor([ids]), output_hidden_states=True).hidden_states[3][0]
    reading = nla.read(content, max_tokens=3)
    assert [place.token_id for place in reading.positions] == list(ids)
    assert [place.position for place in reading.positions] == list(range(len(ids)))
    assert reading.vectors is not None
    torch.testing.assert_close(reading.vectors, states, atol=1e-5, rtol=1e-5)
    norms = torch.tensor([place.norm for place in reading.positions])
    torch.testing.assert_close(norms, states.norm(dim=-1), atol=1e-4, rtol=1e-4)
    explained = nla.explain(reading.vectors, max_tokens=3)
    said = [[(e.raw, e.token_ids, e.logprobs) for e in place.explanations] for place in reading.positions]
    assert said == [[(e.raw, e.token_ids, e.logprobs) for e in row] for row in explained]
    pred = nla.reconstruct([row[0].text for row in explained])
    for place, cos, mse in zip(reading.positions, cosine(pred, states), direction_mse(pred, states), strict=True):
        assert place.scores[0].cos == pytest.approx(float(cos), abs=1e-4)
        assert place.scores[0].mse == pytest.approx(float(mse), abs=1e-4)


def test_a_text_beyond_the_context_is_read_in_windows(nla: NLA) -> None:
    tok, text = tiny.tokenizer(), "Hello there, reader. " * 15
    ids = tok(text)["input_ids"]
    with pytest.raises(UserError, match=r"the text has 316 tokens, the model's context is 256"):
        nla.read(text, max_tokens=2)
    reading = nla.read(text, [0, 200, 255, -1], max_tokens=2, window=200)
    assert [(p.position, p.token_id) for p in reading] == [(p, ids[p]) for p in (0, 200, 255, 315)]
    assert len(reading.tokens) == 316
    with torch.no_grad():  # the second window begins with the BOS and goes on with token 200
        second = tiny.model("llama")(torch.tensor([[ids[0], *ids[200:]]]), output_hidden_states=True).hidden_states[3][
            0
        ]
    assert reading.vectors is not None
    torch.testing.assert_close(reading.vectors[1:], second[[1, 56, 116]], atol=1e-5, rtol=1e-5)


def test_a_reading_holds_ms_own_next_tokens(nla: NLA) -> None:
    tok, model = tiny.tokenizer(), tiny.model("llama")
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([tok(TEXT)["input_ids"]])).logits[0]
    probabilities, ids = logits.float().softmax(-1).sort(descending=True)
    for place in nla.read(TEXT, max_tokens=2):
        assert [p for _, p in place.next_tokens] == pytest.approx(probabilities[place.position, :8].tolist(), abs=1e-6)
        assert place.next_tokens[0][0] == tok.decode([ids[place.position, 0]])


def test_reprs_hold_no_tensor_and_no_template(nla: NLA) -> None:
    contract = nla.verbalizer.contract
    for shown in map(repr, (nla, nla.verbalizer, nla.reconstructor, contract, nla.score(["a"], tiny.vectors(1)))):
        assert len(shown) < 160
        assert "\n" not in shown
        assert "tensor" not in shown
    assert repr(contract) == "Contract(av, d_model 32, at resid_post:2, marker '㈎' by replace)"


def test_read_takes_a_name_or_a_pair(nla: NLA, folder: Path) -> None:
    wanted = nla.read(TEXT, "last", max_tokens=2)
    assert thinkaloud.read(TEXT, nla, positions="last", max_tokens=2).positions == wanted.positions
    assert thinkaloud.read(TEXT, folder, positions="last", max_tokens=2).positions == wanted.positions


def test_several_samples_keep_their_scores(nla: NLA) -> None:
    reading = nla.read(TEXT, positions=[3, -1], samples=3, temperature=1.0, seed=4, max_tokens=5)
    assert [place.position for place in reading.positions] == [3, len(TEXT)]
    assert all(len(place.explanations) == len(place.scores) == 3 for place in reading.positions)
    place = reading.positions[1]
    assert reading.vectors is not None
    pred = nla.reconstruct([explanation.text for explanation in place.explanations])
    wanted = cosine(pred, reading.vectors[1:].expand(3, -1))
    assert [score.cos for score in place.scores] == pytest.approx(wanted.tolist(), abs=1e-5)
    again = nla.read(TEXT, positions=[3, -1], samples=3, temperature=1.0, seed=4, max_tokens=5)
    assert again.positions == reading.positions


def test_json_says_what_the_readme_promises(nla: NLA) -> None:
    line = json.loads(nla.read(TEXT, positions="last", max_tokens=2).to_json_lines())
    assert list(line) == ["position", "token", "token_id", "norm", "explanations", "next_tokens", "baseline", "site"]
    assert list(line["explanations"][0]) == ["text", "finish", "cos", "mse", "fve"]
    assert list(line["baseline"]) == ["v", "n", "n_docs", "split"]
    assert line["site"] == {"kind": "resid_post", "layer": 2}


def test_what_fve_is_relative_to(nla: NLA) -> None:
    vectors = tiny.vectors(4)
    texts = ["a", "b", "c", "d"]
    assert nla.baseline is None
    own = nla.score(texts, vectors)
    assert own.baseline == Baseline.of(vectors.numpy(), [0], "these vectors")
    given = Baseline(0.5, 100, 9, "heldout")
    assert nla.score(texts, vectors, given).fve == pytest.approx(1 - own.mse / 0.5)
    trained = nla.with_baseline(given)
    assert trained.baseline == given
    assert trained.score(texts, vectors)[0] == Score(own[0].cos, own[0].mse, given)
    assert nla.baseline is None, "the pair itself is as it was"
    assert trained.read(TEXT, "last", max_tokens=2).baseline == given


def test_vectors_come_as_tensors_or_arrays(nla: NLA) -> None:
    vectors = tiny.vectors(2)
    wanted = nla.explain(vectors, max_tokens=4)
    assert nla.explain(vectors.numpy(), max_tokens=4) == wanted
    assert nla.explain(vectors.double().numpy(), max_tokens=4) == wanted
    assert nla.score(["a", "b"], vectors.numpy()).mse == pytest.approx(nla.score(["a", "b"], vectors).mse)
    assert nla.explain(np.asarray(vectors)[:0]) == []


def test_ways_to_name_a_pair(folder: Path, nla: NLA, tmp_path: Path) -> None:
    vectors = tiny.vectors(2)
    wanted = nla.reconstruct(["a", "b"])
    halves = NLA.from_pretrained(av=folder / "av", ar=folder / "ar", base=folder / "base")
    assert torch.equal(halves.reconstruct(["a", "b"]), wanted)
    assert halves.explain(vectors, max_tokens=3) == nla.explain(vectors, max_tokens=3)
    assert halves.site == Site("resid_post", 2)
    shutil.copytree(folder / "av", tmp_path / "av")
    shutil.copytree(folder / "ar", tmp_path / "ar")
    bare = NLA.from_pretrained(tmp_path)
    assert torch.equal(bare.reconstruct(["a", "b"]), wanted), "words and vectors need no base"
    with pytest.raises(UserError, match="this pair does not say which model it reads: give base"):
        bare.read(TEXT)
    with pytest.raises(UserError, match="give the name of a pair, or av and ar, not both"):
        NLA.from_pretrained(folder, av=folder / "av")
    with pytest.raises(UserError, match=r"is no pair: expected folders av and ar in it, av is not there"):
        NLA.from_pretrained(folder / "base")


def test_set_up_is_paid_by_the_first_read_alone(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models, tokenizers, the engine and its key-value cache are made once in a process."""
    nla, made = NLA.from_pretrained(folder), []

    def count(owner: object, name: str) -> None:
        real = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, **k: (made.append(name), real(*a, **k))[1])

    count(formats, "load_causal_lm")
    count(pair, "load_tokenizer")
    count(ending, "closing_tokens")
    count(lockstep, "_Batch")
    readings = [nla.read(TEXT, positions="last", max_tokens=5) for _ in range(5)]
    assert sorted(made) == ["_Batch", "closing_tokens", "load_causal_lm", "load_tokenizer"]
    assert len({reading.positions[0].explanations[0].raw for reading in readings}) == 1
