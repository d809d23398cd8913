"""A planted important sentence is found, nothing is found where there is nothing, and every prefix is the right one."""

import math
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import tiny
import torch

from thinkaloud import NLA
from thinkaloud.explanation import Explanation
from thinkaloud.stats import difference, estimate
from thinkaloud.studies.anchors import Anchors, trace
from thinkaloud.studies.anchors import run as anchors
from thinkaloud.studies.anchors.analysis import LAST, importance, spread
from thinkaloud.studies.anchors.importance import divergence, importances
from thinkaloud.studies.anchors.similarity import centred, embedder, similarities
from thinkaloud.studies.anchors.taxonomy import CLASSES, classes
from thinkaloud.studies.anchors.texts import first_sentence, sentence_ends
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import render
from thinkaloud.studies.problems import load_problems, solve
from thinkaloud.studies.results import Read

WORDS = ["One.", "Two.", "Three."]
ITSELF = 0.25  # how often a sentence that is drawn anew comes out as it was


def made(
    effects: list[float], problems: int, rollouts: int = 40, seed: int = 0, noise: float = 0.3, wrong: float = 1.0
) -> dict[str, pd.DataFrame]:
    """Explanations of three sentences and their continuations: a sentence kept adds its effect to the FVE, and to the
    chance that M's answer is held; drawn anew, it comes out as itself every fourth time, and adds it then too. Where M
    is wrong the effects are `wrong` times as large."""
    rng = np.random.default_rng(seed)
    said, drawn = [], []
    for p in range(problems):
        key = {"problem": f"p{p}", "place": "answer"}
        mine = [effect * (1 if p % 2 == 0 else wrong) for effect in effects]
        said += [
            {**key, "sentence": i, "right": p % 2 == 0, "of": 3, "words": words, "own": i == 2, "classes": [f"c{i}"]}
            for i, words in enumerate(WORDS)
        ]
        level = rng.normal(0.3, 0.1)
        for kept in range(4):
            for sample in range(rollouts):
                itself = [i < kept or rng.random() < ITSELF for i in range(3)]
                gain = sum(e for e, here in zip(mine, itself, strict=True) if here)
                held = float(rng.random() < np.clip(0.3 + gain, 0, 1))
                row = {"kept": kept, "sample": sample, "fve": level + gain + rng.normal(0, noise), "model": held}
                row |= {"gold": math.nan, "says": f"{held:g}"}
                words = "" if kept == 3 else WORDS[kept] if itself[kept] else "Other."
                drawn.append({**key, **row, "drawn": words})
        for i in range(3):
            said[3 * p + i]["whole"] = level + sum(mine)
    similar = [{"drawn": s, "original": s, "similarity": 1.0} for s in WORDS]
    similar += [{"drawn": "Other.", "original": s, "similarity": 0.1} for s in WORDS]
    frames = {"sentences": said, "rollouts": drawn, "similar": similar}
    return {name: pd.DataFrame(records) for name, records in frames.items()}


def found(threshold: float = 0.8, **data: pd.DataFrame) -> pd.DataFrame:
    return importances(threshold=threshold, outcomes=("model", "gold", "fve"), **data)


def test_a_planted_sentence_is_found() -> None:
    means = found(**made([0.0, 0.5, 0.0], 60)).groupby("sentence").mean(numeric_only=True)
    assert means["counterfactual_fve"].tolist() == pytest.approx([0, 0.5, 0], abs=0.05)
    assert means["counterfactual_model"].tolist() == pytest.approx([0, 0.5, 0], abs=0.05)
    assert means["counterfactual_gold"].isna().all(), "the gold answer is not known"
    kl = means["counterfactual_kl"]
    # D_KL(0.3 ‖ 0.8), which the pseudo-counts of 30 and 40 rollouts make a little smaller.
    assert kl[1] == pytest.approx(0.3 * math.log(0.3 / 0.8) + 0.7 * math.log(0.7 / 0.2), abs=0.08)
    assert abs(kl[0]) < 0.01
    assert abs(kl[2]) < 0.01


def test_importances_are_those_of_a_plain_loop() -> None:
    data = made([0.2, 0.5, 0.1], 3, rollouts=7)
    rollouts, like = data["rollouts"], {("Other.", words): 0.1 for words in WORDS}
    for row in found(**data).itertuples():
        here = rollouts[rollouts["problem"] == row.problem]
        kept = [r.fve for r in here.itertuples() if r.kept == row.sentence + 1]
        drawn = [r for r in here.itertuples() if r.kept == row.sentence]
        other = [r.fve for r in drawn if r.drawn != row.words and like[r.drawn, row.words] < 0.8]
        assert (row.other, row.draws) == (len(other), 7)
        if other:
            assert row.counterfactual_fve == pytest.approx(np.mean(kept) - np.mean(other))
        else:
            assert math.isnan(row.counterfactual_fve)


def test_above_every_similarity_all_others_count() -> None:
    data = made([0.2, 0.5, 0.0], 10)
    same = found(1.1, **data)
    assert ((same["other"] > 0) & (same["other"] < 40)).all(), "the sentence itself is no other one"
    data["rollouts"]["drawn"] = data["rollouts"]["drawn"] + " Or so."
    every = found(1.1, **data)
    assert (every["other"] == 40).all()
    data["similar"]["drawn"] = data["similar"]["drawn"] + " Or so."
    none = found(-1.0, **data)
    assert (none["other"] == 0).all()
    assert none["counterfactual_fve"].isna().all()
    assert none["counterfactual_kl"].isna().all()


def test_a_divergence_is_zero_on_average_where_both_sides_are_alike() -> None:
    rng = np.random.default_rng(0)
    p = [0.5, 0.3, 0.15, 0.05]
    for sizes in ((40, 40), (40, 5)):
        values = [divergence(*(rng.multinomial(n, p) for n in sizes), rng) for _ in range(1500)]
        assert abs(np.mean(values)) < 3 * np.std(values) / math.sqrt(len(values))
    assert divergence(np.array([40, 0]), np.array([40, 0]), rng) == 0
    assert divergence(np.array([0, 40]), np.array([40, 0]), rng) > 3


def test_prefixes_hold_whole_sentences() -> None:
    tok = tiny.tokenizer()
    text = 'A tale, about the sea. Of old.\nEarly on: "The sea. It"\nEnds on it'
    ids = tuple(tok(f"<explanation>\n{text}\n</explanation>", add_special_tokens=False)["input_ids"])
    said = Explanation.parse(tok.decode(ids), ids, (0.0,) * len(ids), cut=False)
    found = sentence_ends(said.text, ids, tok)
    sentences = [said.text[start:end] for start, end, _ in found]
    assert sentences == ["A tale, about the sea.", "Of old.", 'Early on: "The sea. It"', "Ends on it"]
    for sentence, (*_, tokens) in zip(sentences, found, strict=True):
        before = tok.decode(ids[:tokens])
        assert before.rstrip().endswith(sentence)
        assert sentence not in tok.decode(ids[: tokens - 1])
    assert first_sentence(said.raw[len(tok.decode(ids[: found[0][2]])) :]) == sentences[1]
    assert first_sentence(said.raw[len(tok.decode(ids[: found[3][2]])) :]) == ""
    assert first_sentence(said.raw) == sentences[0]


def test_sums_that_name_other_numbers_are_not_alike() -> None:
    pair = NLA(tiny.verbalizer(), tiny.reconstructor())
    pairs = [("2 + 3 = 5.", "2 + 4 = 6."), ("So five.", "So 5."), ("", "So 5.")]
    found = [similarities(embedder("ar", pair), pairs, sums) for sums in (False, True)]
    plain, sums = ({(r["drawn"], r["original"]): r["similarity"] for r in rows} for rows in found)
    assert set(plain) == set(sums) == set(pairs[:2])
    assert sums[pairs[0]] == -1 != plain[pairs[0]]
    assert sums[pairs[1]] == plain[pairs[1]]
    assert similarities(embedder("ar", pair), [("", "So 5.")]) == [{"drawn": "", "original": "", "similarity": 0.0}]


def test_similarity_is_of_directions_without_their_mean() -> None:
    shared = torch.tensor([10.0, 0.0, 0.0])
    vectors = centred(torch.stack([shared + torch.tensor([0, 1.0, 0]), shared - torch.tensor([0, 1.0, 0]), 3 * shared]))
    assert vectors[0] @ vectors[1] < -0.9


@pytest.mark.parametrize(
    ("sentence", "found"),
    [
        ("Third-person narrative, about the prince.", ["kind", "topic"]),
        ('Opening a new sentence: "he was not a prince of his. When"', ["doing", "quotation"]),
        ('Ends on "When", a question word; next is likely "he", or "the".', ["next"]),
        ("Structured chat format with a user asking for a recipe.", ["kind", "doing"]),
        ("The text discusses the history of the steam engine.", ["kind", "topic"]),
        ('The phrase "the old man and the" suggests a title.', ["quotation"]),
        ("The assistant is computing 14 + 12 step by step.", ["doing"]),
        ("The final token is a comma, so a clause is expected to follow.", ["next"]),
        ("Ruth has 24 sheep.", ["other"]),
    ],
)
def test_classes_of_sentences(sentence: str, found: list[str]) -> None:
    assert classes(sentence) == found
    assert set(found) <= set(CLASSES)


def config(out: Path, **changes: Any) -> Anchors:
    small = {
        "problems": "pocket",
        "n": 2,
        "rollouts": 3,
        "max_tokens": 80,
        "solution_tokens": 40,
        "places": ("answer", "answer end"),
    }
    return Anchors(**{"out": str(out), **small, **changes})


@pytest.fixture(scope="module")
def pocket() -> NLA:
    return NLA.from_pretrained("pocket", device="cpu")


def test_solutions_are_continued_by_the_model_itself(pocket: NLA) -> None:
    problems = load_problems("pocket", 3, 5, pocket.model_tokenizer)
    solutions = solve(pocket.model, pocket.model_tokenizer, problems, 40)
    traced = trace.traces(pocket, solutions)
    assert [row["problem"] for row in traced] == [one.problem.id for one in solutions if one.answer is not None]
    # Sampling so cold is greedy, so every prefix is continued as the solution went on.
    cold, sampler = config(Path("unused"), temperature=1e-6, rollouts=2, solution_tokens=40), trace.engine(pocket)
    for row, solution in zip(traced, solutions, strict=True):
        assert row["sentences"][-1].startswith("####")
        assert row["own"] == [False] * (len(row["own"]) - 1) + [True]
        rollouts = trace.rollouts(cold, sampler, row, seed=1)
        assert len(rollouts) == 2 * (len(row["sentences"]) + 1)
        assert {one["text"] for one in rollouts} == {solution.text.rstrip()}
        assert {one["says"] for one in rollouts} == {str(solution.answer)}
        assert [one["drawn"] for one in rollouts if not one["sample"]] == [*row["sentences"], ""]
        assert all(one["model"] == 1 and one["gold"] == solution.right for one in rollouts)
    said = trace.said_at_ends(cold, pocket, traced)
    assert [one["sentence"] for one in said] == [i for row in traced for i in range(len(row["sentences"]))]


@pytest.mark.slow
def test_a_stopped_study_goes_on_and_is_the_same(pocket: NLA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anchors, "PIECE", 2)
    whole, broken = config(tmp_path / "whole"), config(tmp_path / "broken")
    folder = Folder(whole.out, "anchors", whole.asked())
    whole.run(folder, pocket)
    whole.analyse(folder).write(folder.out)
    assert "Which sentences decide?" in render(whole.page(folder))

    def stop(what: str, done: int, of: int) -> None:
        if done:
            raise KeyboardInterrupt

    folder = Folder(broken.out, "anchors", broken.asked())
    folder.watch = stop
    with pytest.raises(KeyboardInterrupt):
        anchors.run(broken, folder, pocket)
    assert list((tmp_path / "broken/work").glob("rollouts-*.parquet")), "what was done is kept"
    anchors.run(broken, Folder(broken.out, "anchors", broken.asked()), pocket)
    for name in ("explanations", "rollouts", "similarity", "traces", "trace_rollouts", "trace_said"):
        one, other = ((tmp_path / run / f"tables/{name}.parquet").read_bytes() for run in ("whole", "broken"))
        assert one == other, name


def written(folder: Folder, data: dict[str, pd.DataFrame]) -> None:
    """The tables of a study whose explanations, and M's solutions as well, are the constructed ones."""
    keys = ["problem", "place", "right"]
    lists = {"sentences": ("words", list), "own": ("own", list), "fve": ("whole", "first")}
    texts = data["sentences"].groupby(keys, sort=False).agg(**lists).reset_index()
    texts["ends"] = [list(range(len(said))) for said in texts["sentences"]]
    said = data["sentences"][["problem", "sentence"]].assign(
        explanation="So.", fve=0.5, result=1.0, gold=0.0, model=1.0
    )
    tables = {
        "explanations": texts.assign(finish="closed"),
        "rollouts": data["rollouts"],
        "similarity": data["similar"],
        "traces": texts.assign(place=trace.PLACE),
        "trace_rollouts": data["rollouts"].assign(place=trace.PLACE),
        "trace_similarity": data["similar"],
        "trace_said": said.assign(place=trace.PLACE),
    }
    for name, table in tables.items():
        folder.table(name, lambda table=table: pa.Table.from_pandas(table, preserve_index=False))
    folder.keep({"Pair": "constructed"})


def worked(tmp_path: Path, data: dict[str, pd.DataFrame]) -> tuple[Read, str]:
    """What the study finds of constructed data, and its page."""
    asked = config(tmp_path / "s", thresholds=(0.5,))
    folder = Folder(asked.out, "anchors", asked.asked())
    written(folder, data)
    asked.analyse(folder).write(folder.out)
    return Read(folder.out), render(asked.page(folder))


def test_the_page_holds_what_was_planted(tmp_path: Path) -> None:
    data = made([0.1, 0.5, 0.0], 60, wrong=0.4)
    found, page = worked(tmp_path, data)
    by_place = {(row["outcome"], row["sentence"]): row for row in found["positions"]}
    assert by_place["FVE", "2"]["counterfactual"].low > 0.25
    assert by_place["FVE", "2"]["counterfactual"].value == pytest.approx(0.35, abs=0.05), "half of 0.5, half of 0.2"
    assert by_place["FVE", LAST]["counterfactual"].value == pytest.approx(0, abs=0.05)
    assert by_place["FVE", "2"]["squared, without noise"].value == pytest.approx((0.5**2 + 0.2**2) / 2, abs=0.03)
    assert abs(by_place["FVE", "1"]["squared, without noise"].value) < 0.02
    classes = {(row["outcome"], row["class"]): row for row in found["classes"]}
    assert ("FVE", "c1") not in classes, "classes are found in the words"
    assert classes["FVE", "every sentence"]["right − wrong"].low > 0
    solutions = {row["sentence"]: row for row in found["solutions"]}
    assert solutions["2"]["comes to M's answer"].low > 0.2
    assert solutions["2"]["KL of answers"].low > solutions["1"]["KL of answers"].high
    parts = {part["part"]: part for claim in found.claims() for part in claim["parts"]}
    assert parts["first less others but a whole last line, FVE, squared"]["verdict"] == "does not hold"
    assert parts["mean KL, threshold 0.8"]["verdict"] == "holds"
    assert [claim["id"] for claim in found.claims()] == ["A6", "A8", "A11", "A12"]
    assert "Figure 3" in page
    assert found.values["last_of"] == 60


def test_sampled_sentences_differ_by_nothing_on_average_and_by_their_effect_squared(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    said, drawn = [], []
    for p in range(80):
        key, mine = {"problem": f"p{p}", "place": "answer"}, rng.choice(["High.", "Low."])
        said += [
            {
                **key,
                "sentence": i,
                "right": True,
                "of": 2,
                "words": w,
                "own": i == 1,
                "classes": ["other"],
                "whole": 0.0,
            }
            for i, w in enumerate((mine, "End."))
        ]
        for kept, sample in product(range(3), range(20)):
            first = mine if kept else rng.choice(["High.", "Low."])
            held = float(rng.random() < (0.9 if first == "High." else 0.3))
            row = {"kept": kept, "sample": sample, "drawn": (first, "End.", "")[kept], "fve": held, "says": f"{held:g}"}
            drawn.append({**key, **row, "model": held, "gold": held})
    data = {"sentences": pd.DataFrame(said), "rollouts": pd.DataFrame(drawn)}
    pairs = [{"drawn": a, "original": b, "similarity": float(a == b)} for a, b in product(("High.", "Low."), repeat=2)]
    found, _ = worked(tmp_path, {**data, "similar": pd.DataFrame(pairs)})
    row = next(r for r in found["positions"] if r["outcome"] == "holds M's answer" and r["sentence"] == "1")
    assert row["counterfactual"].low <= 0 <= row["counterfactual"].high
    assert row["squared, without noise"].low < 0.6**2 < row["squared, without noise"].high
    assert row["squared, without noise"].low > 0.25


def test_importance_is_weighted_by_draws(tmp_path: Path) -> None:
    data = made([0.0, 0.5, 0.0], 6)
    rows = importances(data["sentences"], data["rollouts"], data["similar"], 0.8, ["fve"], seed=0)
    known = rows.dropna(subset="counterfactual_fve")
    by_hand = (known["counterfactual_fve"] * known["other"]).sum() / known["other"].sum()
    assert estimate(importance(rows, "fve"), rows["problem"]).value == pytest.approx(by_hand)


def test_a_spread_is_compared_with_another() -> None:
    rng = np.random.default_rng(1)
    wide = np.arange(4000) % 2 == 0
    values, clusters = rng.normal(3, np.where(wide, 2.0, 0.5)), np.arange(4000) // 8
    found = estimate(spread(values, [(wide, 1), (~wide, -1)]), clusters)
    assert found.value == pytest.approx(np.std(values[wide]) / np.std(values[~wide]))
    assert found.low < 4 < found.high
    assert found.p < 0.01


@pytest.mark.parametrize("kept", [{"right": True}, {"right": False}])
def test_everything_right_leaves_nothing_to_compare(tmp_path: Path, kept: dict[str, bool]) -> None:
    data = made([0.1, 0.0, 0.0], 24)
    data["sentences"]["right"] = kept["right"]
    found, page = worked(tmp_path, data)
    parts = {part["part"]: part["verdict"] for claim in found.claims() for part in claim["parts"]}
    assert parts["evenness, right less wrong"] == "not shown"
    assert "Which sentences decide?" in page


def test_explanations_of_one_sentence(tmp_path: Path) -> None:
    data = made([0.4, 0.0, 0.0], 24)
    first = data["sentences"]["sentence"] == 0
    data["sentences"] = data["sentences"][first].assign(of=1, own=True)
    found, page = worked(tmp_path, data)
    assert {row["sentence"] for row in found["positions"]} == {LAST}
    assert found.values["last_counterfactual"].low > 0.3
    assert np.isnan(found.values["kl"].value)
    assert "24 of 24 explanations" in " ".join(page.split())


def test_no_effect_gives_intervals_over_zero_at_the_nominal_rate() -> None:
    misses = {"fve": 0, "kl": 0, "contrast": 0}
    for seed in range(40):
        rows = found(**made([0.0, 0.0, 0.0], 24, rollouts=8, seed=seed))
        here, groups = rows[rows["sentence"] == 1], rows["sentence"] == 0
        asked = {
            "fve": (importance(here, "fve"), here),
            "kl": (importance(here, "kl"), here),
            "contrast": (difference(rows["counterfactual_fve"], groups, rows["other"]), rows),
        }
        for name, (statistic, some) in asked.items():
            interval = estimate(statistic, some["problem"], seed=seed, replicates=299)
            misses[name] += not interval.low <= 0 <= interval.high
    assert all(n <= 6 for n in misses.values()), "5 % of 40 is 2; more than 6 come in fewer than one run of a hundred"


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
