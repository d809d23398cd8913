"""The study of answers finds what is in constructed tables, nothing where nothing is, and goes on after a stop."""

import random
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch

from thinkaloud import NLA
from thinkaloud.errors import UserError
from thinkaloud.pair.scores import text_mse
from thinkaloud.stats import Estimate
from thinkaloud.studies.answers import Answers
from thinkaloud.studies.answers import analysis as answers_analysis
from thinkaloud.studies.answers import page as answers_page
from thinkaloud.studies.answers import run as answers
from thinkaloud.studies.answers.run import edits, piece_seed
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.numbers import numbers
from thinkaloud.studies.page import Page, render

DISTANCE = {"question end": 20, "border": 2, "answer": 0}
TABLES = ("solutions", "places", "explanations", "edited")


def explained(
    held: dict[str, float], n: int = 80, samples: int = 4, right: float = 0.5, worse: float = 1.0, seed: int = 0
) -> list[dict[str, Any]]:
    """Explanations of `n` problems with answers 0 … n − 1: at each place this share names M's, all name one other."""
    draw = random.Random(seed)
    rows = []
    for i in range(n):
        is_right = draw.random() < right
        for place, share in held.items():
            for sample in range(samples + 1):
                own = [str(i)] if draw.random() < share else []
                named = [*own, str((i + 1 + draw.randrange(n - 1)) % n)]
                mse = 0.2 * draw.uniform(0.8, 1.2) * (1 if is_right else worse) * (2 if place == "border" else 1)
                rows.append(
                    {
                        "problem": f"p{i}",
                        "place": place,
                        "before_answer": DISTANCE[place],
                        "model_answer": str(i),
                        "gold": str(i) if is_right else str(i + 1000),
                        "right": is_right,
                        "sample": sample,
                        "text": f"It has {' and '.join(named)}.",
                        "finish": "closed",
                        "tokens": 20 if is_right else 30,
                        "sentences": 1,
                        "fve": 1 - mse,
                        "mse": mse,
                        "numbers": sorted(set(named)),
                        "holds_model_answer": bool(own),
                        "holds_gold": bool(own) and is_right,
                        "class": "fine" if sample else "repetition",
                    }
                )
    return rows


def estimated(name: str, rows: list[dict[str, Any]]) -> Any:
    """What a function of the analysis makes of rows of the table of explanations."""
    return getattr(answers_analysis, name)(answers_analysis.with_chance(rows))


def found(records: list[dict[str, Any]], **where: Any) -> dict[str, Any]:
    (record,) = [r for r in records if all(r[key] == value for key, value in where.items())]
    return record


def test_shares_and_chance_are_found() -> None:
    records = estimated("shares", explained({"question end": 0.1, "border": 0.6}))
    near = found(records, place="border", **{"M is": "all"})
    assert near["holds M's answer"].value == pytest.approx(0.6, abs=0.06)
    # Every explanation names one of the 79 other answers.
    assert near["chance"] == pytest.approx(1 / 79)
    assert near["above chance"].low < 0.6 - 1 / 79 < near["above chance"].high
    right, wrong = (found(records, place="border", **{"M is": group}) for group in ("right", "wrong"))
    assert right["holds the gold answer"].value == right["holds M's answer"].value
    assert wrong["holds the gold answer"].value == 0
    assert right["problems"] + wrong["problems"] == 80


def test_an_answer_all_problems_share_is_chance() -> None:
    rows = [{**row, "model_answer": "5", "numbers": ["5"]} for row in explained({"border": 1.0}, n=10)]
    assert found(estimated("shares", rows), **{"M is": "all"})["above chance"].value == 0


def test_nearness_is_found_where_it_is() -> None:
    graded = estimated("nearness", explained({"question end": 0.1, "border": 0.4, "answer": 0.8}))
    assert graded.sign == 1
    reverse = estimated("nearness", explained({"question end": 0.8, "border": 0.4, "answer": 0.1}))
    assert reverse.sign == -1
    level = estimated("nearness", explained({"question end": 0.4, "border": 0.4, "answer": 0.4}))
    assert level.sign == 0
    one_place = estimated("nearness", explained({"border": 0.4}))
    assert str(one_place) == "–"


def test_naming_more_numbers_is_not_holding_the_answer() -> None:
    rows = explained({"question end": 0.0, "border": 0.0}, n=60)
    # Nearer the answer thirty of the sixty answers are named whatever the problem is.
    half = {str(i) for i in range(30)}
    many = []
    for row in rows:
        named = {*row["numbers"], *(half if row["place"] == "border" else ())}
        many.append({**row, "numbers": sorted(named), "holds_model_answer": row["model_answer"] in named})
    assert estimated("nearness_with_chance", many).sign == 1
    assert estimated("nearness", many).sign == 0
    # And where it is held more often, numbers named beside it do not hide that.
    graded = explained({"question end": 0.0, "border": 0.3}, n=60)
    bare = [{**row, "numbers": [] if row["place"] == "question end" else row["numbers"]} for row in graded]
    assert estimated("nearness", bare).sign == 1


def test_places_where_m_has_read_the_answer_do_not_count_as_near() -> None:
    rows = explained({"question end": 0.1, "border": 0.4})
    at, behind = ([{**row, "before_answer": -k, "holds_model_answer": False} for row in rows] for k in (0, 3))
    assert estimated("nearness", [*rows, *at, *behind]).n == len(rows)


def test_more_samples_hold_more_and_so_does_chance() -> None:
    records = estimated("by_samples", explained({"border": 0.3}, samples=4))
    held = [record["at least one holds it"].value for record in records]
    for k, value in enumerate(held, 1):
        assert value == pytest.approx(1 - 0.7**k, abs=0.1)
    chance = [record["chance"] for record in records]
    assert chance == sorted(chance)
    assert chance[3] == pytest.approx(4 / 79, abs=0.005)


def test_subsets_of_samples_are_counted_exactly() -> None:
    rows = [row for row in explained({"border": 0.0}, n=2, samples=4) if row["problem"] == "p0"]
    rows = [{**row, "numbers": ["0"] if row["sample"] == 2 else []} for row in rows]
    records = estimated("by_samples", rows)
    assert [record["at least one holds it"].value for record in records] == [0.25, 0.5, 0.75, 1.0]


def test_worse_reconstruction_is_found_with_its_size() -> None:
    rows = explained({"question end": 0.5, "border": 0.5}, worse=1.3)
    ratio = estimated("worse_when_wrong", rows)
    assert ratio.low < 1.3 < ratio.high
    assert ratio.low > 1
    record = found(estimated("reconstruction", rows), place="border")
    assert record["MSE wrong ∕ right"].value == pytest.approx(1.3, abs=0.06)
    assert record["wrong − right"].high < 0
    same = estimated("worse_when_wrong", explained({"border": 0.5}, worse=1.0))
    assert same.low < 1 < same.high


def test_a_place_that_only_right_solutions_have_makes_no_difference() -> None:
    rows = explained({"question end": 0.5, "border": 0.5}, worse=1.0)
    # The border has twice the error of the question's end: without it wrong solutions would look better.
    some = [row for row in rows if row["right"] or row["place"] != "border"]
    ratio = estimated("worse_when_wrong", some)
    assert ratio.low < 1 < ratio.high


def test_lengths_and_classes_are_counted() -> None:
    rows = explained({"border": 0.5})
    lengths = estimated("lengths", rows)
    assert found(lengths, **{"M is": "wrong"})["tokens"].value == 30
    assert found(lengths, **{"M is": "right"})["SD of one vector's samples"].value == 0
    assert found(lengths, **{"M is": "right"})["one sentence or none"].value == 1
    record = found(estimated("classes", rows), **{"class": "repetition"})
    assert (record["greedy"].value, record["sampled"].value) == (1, 0)
    assert record["explanations"] == 80


def test_edits_take_out_every_instance_and_put_another() -> None:
    text = "First 12, then twelve of 120, and 12.0 again."
    row = {**explained({"border": 1.0}, n=20)[0], "text": text, "model_answer": "12", "gold": "12"}
    row["numbers"] = sorted(str(n) for n in numbers(text))
    other = {**row, "problem": "q", "model_answer": "7", "holds_model_answer": False}
    removed, put, control = edits([row, other], seed=0)
    assert [one["edit"] for one in (removed, put, control)] == list(answers.EDITS)
    assert removed["instances"] == put["instances"] == 3
    assert {str(n) for n in numbers(removed["text"])} == {"120"}
    assert {str(n) for n in numbers(put["text"])} == {"120", "7"}
    assert {str(n) for n in numbers(control["text"])} == {"12"}
    assert edits([row, other], seed=0) == edits([row, other], seed=0)


def test_a_number_is_put_even_where_all_answers_are_named() -> None:
    row = {**explained({"border": 1.0}, n=2)[0], "text": "12", "numbers": ["12"], "model_answer": "12", "gold": "12"}
    removed, put = edits([row], seed=0)
    assert removed["text"] == ""
    assert put["text"] == "13"


def test_changes_are_found_and_the_control_is_set_against_them() -> None:
    rows = explained({"border": 1.0}, n=40)
    cost = {"answer removed": 0.3, "answer replaced": 0.2, "other number removed": 0.1}
    edited = [{**row, "fve": row["fve_before"] - cost[row["edit"]]} for row in edits(rows, 0)]
    records = answers_analysis.changes(edited)
    for edit, by in cost.items():
        record = found(records, edit=edit, place="border", **{"M is": "all"})
        assert record["change"].value == pytest.approx(-by)
    assert answers_analysis.against_other_number(edited).value == pytest.approx(-0.2)


@cache
def pocket() -> NLA:
    return NLA.from_pretrained("pocket", device="cpu")


def config(out: Path, **changes: Any) -> Answers:
    small: dict[str, Any] = {"n": 4, "samples": 2, "solution_tokens": 48, "max_tokens": 60, "device": "cpu"}
    return Answers(out=str(out), **{**small, "places": ("question end", "border", "answer"), **changes})


def studied(asked: Answers, nla: NLA | None = None) -> Page:
    folder = Folder(asked.out, "answers", asked.asked())
    asked.run(folder, nla or pocket(), lambda what, done, of: None)
    return asked.page(folder)


def tables(out: Path) -> list[Any]:
    return [pq.read_table(out / "tables" / f"{name}.parquet") for name in TABLES if _is_there(out, name)]


def _is_there(out: Path, name: str) -> bool:
    return (out / "tables" / f"{name}.parquet").is_file()


@pytest.mark.slow
def test_a_study_that_was_stopped_comes_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "EXPLAINED", 5)
    whole = studied(config(tmp_path / "whole"))
    calls = 0
    explanations = answers.explanations

    def stops(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return explanations(*arguments)

    monkeypatch.setattr(answers, "explanations", stops)
    with pytest.raises(KeyboardInterrupt):
        studied(config(tmp_path / "parts"))
    again = studied(config(tmp_path / "parts"))
    assert calls == 4  # three pieces, one of them twice
    assert len(tables(tmp_path / "whole")) >= 3
    for a, b in zip(tables(tmp_path / "whole"), tables(tmp_path / "parts"), strict=True):
        assert a.equals(b)
    assert render(whole) == render(again)
    assert "prediction of the next token" in whole.answer
    assert "places at which M has written the number already" in whole.sections[1].shows_not
    html = render(whole)
    for section in whole.sections:
        assert section.shows.strip()
        assert section.shows_not.strip()
        assert section.title in html


def test_explanations_are_of_the_vectors_at_their_places(tmp_path: Path) -> None:
    studied(config(tmp_path / "s", n=2))
    solved, places, said = tables(tmp_path / "s")[:3]
    ids = {row["problem"]: row["ids"] for row in solved.to_pylist()}
    row = next(row for row in places.to_pylist() if row["place"] == "border")
    model, index = pocket().model, row["index"]
    hidden = model(torch.tensor([ids[row["problem"]]]), output_hidden_states=True).hidden_states
    expected = hidden[pocket().site.layer + 1][0, index]
    torch.testing.assert_close(torch.tensor(row["vector"]), expected.float(), rtol=1e-4, atol=1e-4)
    assert "#" in row["token"]
    greedy = next(
        r for r in said.to_pylist() if r["sample"] == 0 and (r["problem"], r["place"]) == (row["problem"], "border")
    )
    alone = pocket().explain(expected[None], 1, max_tokens=60)[0][0]
    assert greedy["text"] == alone.text
    scored = pocket().score([alone.text], expected[None])
    assert greedy["fve"] == pytest.approx(scored.fve, abs=1e-4)


@pytest.mark.parametrize("always", [True, False])
def test_a_model_that_is_always_right_or_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always: bool) -> None:
    solve = answers.solve

    def solved(*arguments: Any) -> Any:
        made = solve(*arguments)
        return [replace(s, problem=replace(s.problem, gold=s.answer if always else s.answer + 1)) for s in made]

    monkeypatch.setattr(answers, "solve", solved)
    page = studied(config(tmp_path / "s", n=3))
    said = "right" if always else "wrong"
    assert f"M is {said} on every problem: there is nothing to compare." in page.answer
    assert "cannot be said" in page.answer
    assert ">nan" not in render(page)


def test_a_model_that_names_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    solve = answers.solve

    def nothing(*arguments: Any) -> Any:
        return [replace(s, answer=None, span=None, border=None) for s in solve(*arguments)]

    monkeypatch.setattr(answers, "solve", nothing)
    page = studied(config(tmp_path / "s", n=2))
    assert "M names no answer" in page.answer
    assert "there is nothing to take out" in page.sections[-1].shows
    assert render(page)
    with pytest.raises(UserError, match="none of the places border is in any of 2 solutions"):
        studied(config(tmp_path / "t", n=2, places=("border",)))


def test_places_are_checked_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no place 'anwser'"):
        config(tmp_path / "s", places=("anwser",)).check()
    with pytest.raises(UserError, match="places must name one"):
        config(tmp_path / "t", places=()).check()


def test_one_problem_gives_no_intervals_and_no_crash(tmp_path: Path) -> None:
    page = studied(config(tmp_path / "s", n=1, samples=1))
    assert "nearer the answer: cannot be said, nearness or holding it does not vary." in page.answer
    assert render(page)


def test_an_empty_explanation_has_no_score() -> None:
    vectors = torch.ones(2, pocket().reconstructor.contract.d_model)
    empty, full = text_mse(pocket().reconstruct, [" ", "Twelve."], vectors).tolist()
    assert empty != empty
    assert full == pytest.approx(pocket().score(["Twelve."], vectors[:1]).mse)


def test_pieces_have_seeds_of_their_own() -> None:
    assert len({piece_seed(seed, start) for seed in (0, 1, -1) for start in (0, 32, 64)}) == 9


def test_verdicts_name_direction_and_size() -> None:
    both = [{"right": True}, {"right": False}]
    nothing = answers_page.nothing_to_compare(both)
    assert not nothing

    def said(value: float, low: float, high: float) -> str:
        return answers_page.worse_verdict(nothing, Estimate(value, low, high, 10, 5))

    assert "holds here (" in said(1.3, 1.1, 1.5)
    assert "the direction holds here, the size does not" in said(2.0, 1.8, 2.2)
    assert "wrong ones reconstruct better" in said(0.8, 0.7, 0.9)
    assert "cannot be said here" in said(1.2, 0.9, 1.5)
    assert "does not hold here" in said(1.0, 0.9, 1.1)


def test_classes_are_checked_on_the_held_out_half_or_on_ones_own_texts(tmp_path: Path) -> None:
    bundled = answers_analysis.check_classes(None)
    assert len({record["texts"] for record in bundled}) == 2
    assert bundled[0]["texts"].startswith("held out")
    (tmp_path / "l.jsonl").write_text('{"text": "So it is.", "label": "fine"}\n')
    own = answers_analysis.check_classes(str(tmp_path / "l.jsonl"))
    assert {record["texts"] for record in own} == {"all (1)"}
