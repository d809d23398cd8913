"""A planted important sentence is found, nothing is found where there is nothing, and every prefix is the right one."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch

from thinkaloud import NLA
from thinkaloud.explanation import Explanation
from thinkaloud.stats import Estimate
from thinkaloud.studies.anchors import Anchors
from thinkaloud.studies.anchors import run as anchors
from thinkaloud.studies.anchors.analysis import importances
from thinkaloud.studies.anchors.page import drawn
from thinkaloud.studies.anchors.run import centred, embedder, first_sentence, sentence_ends, without
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.frame import Frame
from thinkaloud.studies.page import render

SENTENCES = ["One.", "Two.", "Three."]


def made(effects: list[float], problems: int, rollouts: int = 40, seed: int = 0, noise: float = 0.3) -> dict[str, Any]:
    """Explanations of three sentences and their continuations: a sentence kept adds its effect to the FVE; drawn anew,
    it comes out as itself every fourth time, and adds it then too."""
    rng = np.random.default_rng(seed)
    explained, drawn, deleted = [], [], []
    for p in range(problems):
        key = {"problem": f"p{p}", "place": "answer"}
        explained.append({**key, "right": p % 2 == 0, "sentences": SENTENCES, "text": " ".join(SENTENCES)})
        level = rng.normal(0.3, 0.1)
        for kept in range(4):
            for sample in range(rollouts):
                itself = [i < kept or rng.random() < 0.25 for i in range(3)]
                value = level + sum(e for e, here in zip(effects, itself, strict=True) if here) + rng.normal(0, noise)
                words = "" if kept == 3 else SENTENCES[kept] if itself[kept] else "Other."
                drawn.append(
                    {
                        **key,
                        "kept": kept,
                        "sample": sample,
                        "sentence": words,
                        "fve": value,
                        "gold": 0.0,
                        "model": math.nan,
                    }
                )
        for i in range(-1, 3):
            value = level + sum(effects) - (effects[i] if i >= 0 else 0)
            deleted.append({**key, "sentence": i, "fve": value, "gold": 0.0, "model": math.nan})
    similar = [{"drawn": s, "original": s, "similarity": 1.0} for s in SENTENCES]
    similar += [{"drawn": "Other.", "original": s, "similarity": 0.1} for s in SENTENCES]
    return {"explained": explained, "rollouts": drawn, "similar": similar, "deleted": deleted}


def importance(found: list[dict[str, Any]], sentence: int, name: str) -> Estimate:
    """The mean importance of the sentences at one place."""
    return Frame.of(found, "problem").at(sentence=sentence).mean(name)


def test_a_planted_sentence_is_found() -> None:
    found = importances(**made([0.0, 0.5, 0.0], 30), threshold=0.8)
    by_sentence = [importance(found, i, "counterfactual_fve") for i in range(3)]
    assert by_sentence[1].low > 0.4
    assert by_sentence[1].high < 0.6
    assert all(abs(by_sentence[i].value) < 0.05 for i in (0, 2))
    plain = importance(found, 1, "plain_fve")
    assert plain.value == pytest.approx(0.5 * 0.75, abs=0.05), "a quarter of the resamples say the same again"
    deletion = importance(found, 1, "deletion_fve")
    assert deletion.value == pytest.approx(0.5)
    assert all(math.isnan(row["counterfactual_model"]) for row in found), "M's answer is not known"


def test_above_every_similarity_it_is_plain_resampling() -> None:
    data = made([0.2, 0.5, 0.0], 10)
    for row in data["rollouts"]:
        row["sentence"] = row["sentence"] and f"{row['sentence']} Or so."
    for row in importances(**data, threshold=1.1):
        assert row["counterfactual_fve"] == pytest.approx(row["plain_fve"])
        assert row["other"] == row["drawn"] == 40
    same = importances(**made([0.2, 0.5, 0.0], 10), threshold=1.1)
    assert all(0 < row["other"] < 40 for row in same), "the sentence itself is no other one, whatever the threshold"
    data["similar"] = [{**row, "drawn": f"{row['drawn']} Or so."} for row in data["similar"]]
    none = importances(**data, threshold=-1.0)
    assert all(row["other"] == 0 and math.isnan(row["counterfactual_fve"]) for row in none)


def test_no_effect_gives_intervals_over_zero_at_the_nominal_rate() -> None:
    misses = 0
    for seed in range(60):
        found = importances(**made([0.0, 0.0, 0.0], 14, rollouts=12, seed=seed), threshold=0.8)
        interval = importance(found, 1, "counterfactual_fve")
        misses += not interval.low <= 0 <= interval.high
    assert misses <= 10, "5 % of 60 is 3; few clusters make a bootstrap a little too narrow"


def test_prefixes_hold_whole_sentences() -> None:
    tok = tiny.tokenizer()
    text = 'A tale, about the sea.\nEarly on: "The sea. It"\nEnds on it'
    ids = tuple(tok(f"<explanation>\n{text}\n</explanation>", add_special_tokens=False)["input_ids"])
    said = Explanation.parse(tok.decode(ids), ids, (0.0,) * len(ids), cut=False)
    sentences, ends = sentence_ends(said, tok)
    assert sentences == ["A tale, about the sea.", 'Early on: "The sea.', 'It"', "Ends on it"]
    for sentence, end in zip(sentences, ends, strict=True):
        before = tok.decode(ids[:end])
        assert before.rstrip().endswith(sentence)
        assert sentence not in tok.decode(ids[: end - 1])
    assert first_sentence(said.raw[len(tok.decode(ids[: ends[0]])) :]) == sentences[1]
    assert first_sentence(said.raw[len(tok.decode(ids[: ends[3]])) :]) == ""
    assert first_sentence(said.raw) == sentences[0]


def test_a_sentence_is_taken_out() -> None:
    text, sentences = "One. One.\nTwo.", ["One.", "One.", "Two."]
    assert [without(text, sentences, i) for i in range(-1, 3)] == [text, "One.\nTwo.", "One. Two.", "One. One."]


def test_similarity_is_of_directions_without_their_mean() -> None:
    shared = torch.tensor([10.0, 0.0, 0.0])
    vectors = centred(torch.stack([shared + torch.tensor([0, 1.0, 0]), shared - torch.tensor([0, 1.0, 0]), 3 * shared]))
    assert vectors[0] @ vectors[1] < -0.9


def config(out: Path, **changes: Any) -> Anchors:
    small = {"n": 2, "rollouts": 3, "max_tokens": 80, "solution_tokens": 40, "places": ("answer", "answer end")}
    return Anchors(**{"out": str(out), **small, **changes})


@pytest.fixture(scope="module")
def pocket() -> NLA:
    return NLA.from_pretrained("pocket", device="cpu")


@pytest.mark.slow
def test_a_stopped_study_goes_on_and_is_the_same(pocket: NLA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "PIECE", 2)
    whole, broken = config(tmp_path / "whole"), config(tmp_path / "broken")
    folder = Folder(whole.out, "anchors", whole.asked())
    whole.run(folder, pocket, lambda *_: None)
    text = render(whole.page(folder))
    assert "Which sentence of an explanation decides?" in text

    def stop(what: str, done: int, of: int) -> None:
        if done:
            raise KeyboardInterrupt

    folder = Folder(broken.out, "anchors", broken.asked())
    with pytest.raises(KeyboardInterrupt):
        anchors.run(broken, folder, pocket, stop)
    assert list((tmp_path / "broken/work").glob("rollouts-*.parquet")), "what was done is kept"
    anchors.run(broken, Folder(broken.out, "anchors", broken.asked()), pocket, lambda *_: None)
    for name in ("explanations", "rollouts", "deletions", "similarity", "importance", "thresholds"):
        one, other = ((tmp_path / run / f"tables/{name}.parquet").read_bytes() for run in ("whole", "broken"))
        assert one == other, name


def test_everything_right_leaves_nothing_to_compare(tmp_path: Path) -> None:
    data = made([0.1, 0.0, 0.0], 6)
    for row in data["explained"]:
        row["right"] = True
    found = importances(**data, threshold=0.8)
    folder = Folder(tmp_path / "s", "a", {})
    folder.keep({})
    shown = drawn(found, [{"threshold": 0.8, **r} for r in found], found, found, folder)
    text = render(shown)
    assert "every problem was worked rightly, so there is nothing to compare" in text


def test_explanations_of_one_sentence(tmp_path: Path) -> None:
    data = made([0.4, 0.0, 0.0], 5)
    data["explained"] = [{**row, "sentences": row["sentences"][:1]} for row in data["explained"]]
    found = importances(**data, threshold=0.8)
    assert {row["of"] for row in found} == {1}
    folder = Folder(tmp_path / "s", "a", {})
    folder.keep({})
    shown = drawn(found, [{"threshold": 0.8, **r} for r in found], found, found, folder)
    assert "5 of 5 explanations" in shown.answer


def test_a_sentence_encoder_can_be_used(tmp_path: Path) -> None:
    from transformers import BertConfig, BertModel

    BertModel(
        BertConfig(
            vocab_size=tiny.VOCABULARY, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
    ).save_pretrained(tmp_path)
    tiny.tokenizer().save_pretrained(tmp_path)
    pair = NLA(tiny.verbalizer(), tiny.reconstructor())
    embed = embedder(str(tmp_path), pair)
    vectors = embed(["a", "a longer sentence", "a"])
    assert vectors.shape == (3, 16)
    torch.testing.assert_close(vectors[0], vectors[2])
    torch.testing.assert_close(embed(["a"])[0], vectors[0], msg="padding counts for nothing")
    with pytest.raises(Exception, match="no sentence encoder 'nowhere': expected ar, a folder or a hub name"):
        embedder("nowhere", pair)
    assert embedder("ar", pair)(["a"]).shape == (1, 32)
