"""The study of answers finds what is in constructed tables, nothing where nothing is, and goes on after a stop."""

import random
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import tiny
import torch

from thinkaloud import NLA
from thinkaloud.errors import UserError
from thinkaloud.numbers import numbers
from thinkaloud.pair.scores import text_mse
from thinkaloud.stats import estimate, ratio
from thinkaloud.studies.answers import Answers, analysis
from thinkaloud.studies.answers import run as answers
from thinkaloud.studies.answers.chance import others, standing
from thinkaloud.studies.answers.run import edits
from thinkaloud.studies.folder import Folder, write_table
from thinkaloud.studies.page import Page, render
from thinkaloud.studies.problems import Problem, parsed
from thinkaloud.studies.results import Read

PLACES = {"question end": ("ahead", 20), "first mention-1": ("ahead", 1), "border": ("written", -5)}
TABLES = ("solutions", "places", "explanations", "edited")
Named = Callable[[random.Random, dict[str, Any], bool], list[str]]


def constructed(
    out: Path,
    named: Named = lambda draw, place, right: [],
    n: int = 60,
    mse: Callable[[random.Random, bool, int], float] = lambda draw, right, steps: 0.2 * draw.uniform(0.8, 1.2),
    wrong: Callable[[random.Random, int], bool] = lambda draw, steps: draw.random() < 0.5,
    tokens: Callable[[random.Random, bool], int] = lambda draw, right: 20,
    label: Callable[[bool], str] = lambda right: "fine",
    cost: Callable[[str, bool], float] = lambda edit, right: 0.0,
    samples: int = 3,
) -> Read:
    """The results of a study of `n` problems, whose explanations name what `named` says, written as a run would."""
    config = Answers(out=str(out), places=(*PLACES, "answer"))
    folder, draw = Folder(out, "answers", config.asked()), random.Random(0)
    solved, places, said = [], [], []
    for i in range(n):
        steps, answer = i % 3 + 1, str(100 + i)
        right = not wrong(draw, steps)
        solved.append(
            {
                "problem": f"p{i}",
                "prompt": "",
                "question": "How many?" + "x" * draw.randrange(9),
                "working": "",
                "steps": steps,
                "gold": answer if right else str(1000 + i),
                "ids": [0] * 30,
                "prompt_tokens": 10,
                "cut": False,
                "text": "",
                "answer": answer,
                "answer_tokens": 3,
                "border": True,
                "outcome": "right" if right else "wrong",
            }
        )
        for at, (names, (where, before)) in enumerate([([name], place) for name, place in PLACES.items()]):
            # The border's token has a second name.
            names = [*names, "answer"] if names == ["border"] else names
            place = {"problem": f"p{i}", "token": at, "names": names, "standing": where, "before_answer": before}
            place |= {"own": ["31", "32", "33"], "possible": ["201", "202", "203", "204"]}
            places.append(place)
            for sample in range(samples + 1):
                found = named(draw, {**place, "answer": answer}, right)
                said.append(
                    {
                        "problem": f"p{i}",
                        "token": at,
                        "sample": sample,
                        "text": f"It has {' and '.join(found)}.",
                        "finish": "closed",
                        "tokens": tokens(draw, right),
                        "mse": mse(draw, right, steps) * (2 if at else 1),
                        "numbers": sorted(set(found)),
                        "class": label(right),
                    }
                )
                said[-1]["fve"] = 1 - said[-1]["mse"]
    for name, table in (("solutions", solved), ("places", places), ("explanations", said)):
        write_table(table, out / "tables" / f"{name}.parquet")
    jobs = edits(analysis.joined(folder).to_dict("records"), 0)
    if jobs:
        outcome = {row["problem"]: row["outcome"] == "right" for row in solved}
        after = [
            {**job, "mse": job["mse_before"] + cost(job["edit"], outcome[job["problem"]]) * draw.uniform(0.9, 1.1)}
            for job in jobs
        ]
        write_table(after, out / "tables" / "edited.parquet")
    folder.keep({"Pair": "made"})
    config.analyse(folder).write(out)
    assert render(config.page(folder)).count("</table>") >= 7
    return Read(out)


def at(records: list[dict[str, Any]], **where: Any) -> dict[str, Any]:
    (record,) = [r for r in records if all(r[key.replace("_", " ")] == value for key, value in where.items())]
    return record


def verdict(found: Read, claim: str, part: str) -> str:
    (one,) = [c for c in found.claims() if c["id"] == claim]
    return at(one["parts"], part=part)["verdict"]


def names_the_answer(share: float) -> Named:
    return lambda draw, place, right: [place["answer"]] if draw.random() < share else ["77"]


def test_numbers_as_little_written_are_chance() -> None:
    question, text = "Tom has 3, gets 9, then 5.", "3 + 9 = 12, 12 + 5 = 18\n#### 18"
    tokenizer = tiny.tokenizer()
    asked, said = (tokenizer(t, add_special_tokens=False)["input_ids"] for t in (question, text))
    problem = Problem("p", question, Decimal(17), question, "3 + 9 = 12. 12 + 5 = 17\n#### 17", 2)
    solution = parsed(problem, asked, said, False, tokenizer)
    start, n = others(solution, len(asked) - 1), len(asked)
    assert start["own"] == ["12"]
    # Two digits, made of 3, 5, 9, 12 and 17, not read; 17 and 18 are the answers.
    assert {"12", "14", "15", "20", "21", "22", "26", "27", "29", "36", "45", "51", "60", "85"} == set(
        start["possible"]
    )
    later = others(solution, n + text.index("12"))  # its first digit is read, not yet the second
    assert later["own"] == ["12"]
    behind = others(solution, n + text.index("12") + 1)
    assert behind["own"] == []
    assert "12" not in behind["possible"]
    assert others(solution, len(solution.ids) - 1)["own"] == ["12", "3", "5", "9"]

    first = n + text.index("18")
    stands = [standing(solution, first + k) for k in (-2, -1, 0, 1, 4)]
    assert stands == ["ahead", "ahead", "next token", "written", "written"]
    assert standing(replace(solution, problem=replace(problem, question="18 of 3")), n) == "written"
    assert standing(replace(solution, answer=None), n) == ""


def test_random_numbers_of_the_problem_are_chance_and_the_answer_is_found(tmp_path: Path) -> None:
    def random_ones(draw: random.Random, place: dict[str, Any], right: bool) -> list[str]:
        return draw.sample([place["answer"], *place["own"]], 2)

    found = constructed(tmp_path / "random", random_ones, n=120)
    above = found.values["all: own numbers"]
    assert above.low < 0 < above.high
    assert at(found["named"], place="question end", M_is="all")["holds M's answer"].value == pytest.approx(
        0.5, abs=0.06
    )
    for outcome in ("right", "wrong"):
        assert verdict(found, "A4", f"M is {outcome}, against own numbers") == "open"

    guesses = constructed(tmp_path / "g", lambda draw, p, right: [draw.choice([p["answer"], *p["possible"]])], n=120)
    assert verdict(guesses, "A4", "M is right, against possible results") == "open"
    copies = constructed(tmp_path / "copies", lambda draw, place, right: ["5", "6"])
    assert copies.values["all: own numbers"].value == 0

    knows = constructed(tmp_path / "knows", names_the_answer(0.4))
    for chance in ("own numbers", "possible results"):
        above = knows.values[f"all: {chance}"]
        assert above.low < 0.4 < above.high
        assert verdict(knows, "A4", f"M is wrong, against {chance}") == "holds"
    record = at(knows["named"], place="first mention-1", M_is="wrong")
    assert record["holds the right answer"].value == 0
    assert not [r for r in knows["named"] if r["place"] == "border"], "there the answer is written"
    assert at(knows["standing"], place="border")["answer is"] == "written"


def test_nearness_is_found_where_it_is(tmp_path: Path) -> None:
    def graded(draw: random.Random, place: dict[str, Any], right: bool) -> list[str]:
        return names_the_answer(0.7 if place["before_answer"] == 1 else 0.2)(draw, place, right)

    parts = "nearness to the first writing", "later places against the question's end"
    near = constructed(tmp_path / "near", graded)
    assert [verdict(near, "A1", part) for part in parts] == ["holds", "holds"]
    level = constructed(tmp_path / "level", names_the_answer(0.4))
    assert [verdict(level, "A1", part) for part in parts] == ["open", "open"]


def test_more_samples_hold_more_and_so_does_chance(tmp_path: Path) -> None:
    found = constructed(
        tmp_path, lambda draw, p, right: [*names_the_answer(0.3)(draw, p, right), draw.choice(p["own"])]
    )
    records = [r for r in found["samples"] if r["place"] == "question end"]
    for k, record in enumerate(records, 1):
        assert record["at least one holds it"].value == pytest.approx(1 - 0.7**k, abs=0.1)
        assert record["chance"] == pytest.approx(1 - (2 / 3) ** k, abs=0.05)
        assert at(found["samples"], place="border", samples=k)["written before"] == 1


def test_subsets_of_samples_are_counted_exactly(tmp_path: Path) -> None:
    turn = iter(range(10**6))  # of four samples and a greedy explanation each second sample names it
    found = constructed(tmp_path, lambda draw, p, right: [p["answer"]] if next(turn) % 5 == 2 else [], n=2, samples=4)
    records = [r for r in found["samples"] if r["place"] == "border"]
    assert [record["at least one holds it"].value for record in records] == [0.25, 0.5, 0.75, 1.0]


def test_worse_reconstruction_is_found_with_its_size(tmp_path: Path) -> None:
    worse = constructed(
        tmp_path / "worse", mse=lambda draw, right, steps: draw.uniform(0.8, 1.2) * (1 if right else 1.3)
    )
    for name in ("worse", "adjusted"):
        assert 1 < worse.values[name].low < 1.3 < worse.values[name].high
    assert verdict(worse, "A9", "as it is") == "holds"
    assert at(worse["reconstruction"], place="border")["MSE wrong ∕ right"].value == pytest.approx(1.3, abs=0.06)


def test_what_difficulty_makes_is_taken_off(tmp_path: Path) -> None:
    harder = constructed(
        tmp_path,
        mse=lambda draw, right, steps: steps * draw.uniform(0.8, 1.2),
        wrong=lambda draw, steps: draw.random() < steps / 4,
        n=120,
    )
    assert harder.values["worse"].low > 1.05
    adjusted = harder.values["adjusted"]
    assert adjusted.low < 1 < adjusted.high


def test_a_regression_without_columns_is_the_ratio_of_means() -> None:
    draw = np.random.default_rng(0)
    y, here, clusters = draw.uniform(1, 2, 80), draw.random(80) < 0.4, np.arange(80) // 2
    y[3] = np.nan
    alone = analysis.adjusted(y, here, pd.DataFrame({"alike": np.ones(80)}))
    plain = ratio(y, here)
    one, other = (estimate(statistic, clusters) for statistic in (alone, plain))
    assert (one.value, one.low, one.high, one.clusters) == pytest.approx(
        (other.value, other.low, other.high, other.clusters), rel=1e-6
    )
    assert np.isnan(estimate(analysis.adjusted(y, here & False, pd.DataFrame({"x": y})), clusters).value), "one side"
    # With a column, that of an independent least-squares fit.
    x = draw.normal(size=80)
    known = np.isfinite(y)
    (base, gap, _), *_ = np.linalg.lstsq(np.column_stack([np.ones(80), here, x - x[known].mean()])[known], y[known])
    fitted = estimate(analysis.adjusted(y, here, pd.DataFrame({"x": x})), clusters)
    assert fitted.value == pytest.approx((base + gap) / base, rel=1e-6)


def test_lengths_that_vary_more_are_found(tmp_path: Path) -> None:
    wide = constructed(
        tmp_path / "w", tokens=lambda draw, right: draw.randint(18, 22) if right else draw.randint(10, 30)
    )
    assert wide.values["deviation wrong ∕ right"].value == pytest.approx(4.3, rel=0.2)
    assert verdict(wide, "A5", "deviation wrong ∕ right") == "holds"
    same = constructed(tmp_path / "s", tokens=lambda draw, right: draw.randint(10, 30))
    assert verdict(same, "A5", "deviation wrong ∕ right") == "open"


def test_degenerate_only_where_m_is_wrong(tmp_path: Path) -> None:
    found = constructed(tmp_path, label=lambda right: "fine" if right else "repetition")
    record = at(found["classes"], **{"class": "repetition"})
    assert (record["M right"].value, record["M wrong"].value) == (0, 1)
    assert 0 < record["M right"].high < 0.25, "none seen is not none"
    assert verdict(found, "A7", "share where M is right") == "open", "none, but of so few problems"
    assert {r["M is"] for r in found["degenerate"]} == {"wrong"}
    both = constructed(tmp_path / "both", label=lambda right: "garbled")
    assert verdict(both, "A7", "share where M is right") == "does not hold"


def test_costs_of_edits_are_found_with_the_difference(tmp_path: Path) -> None:
    def cost(edit: str, right: bool) -> float:
        return {"answer removed": 0.3 if right else 0.1}.get(edit, 0.05)

    both = constructed(
        tmp_path, lambda draw, p, right: [p["answer"], "31"] if draw.random() < 0.9 else ["7"], cost=cost
    )
    record = at(both["edits"], edit="answer removed", place="border")
    assert (record["cost right"].value, record["cost wrong"].value) == pytest.approx((0.3, 0.1), abs=0.01)
    assert record["right − wrong"].value == pytest.approx(0.2, abs=0.01)
    assert verdict(both, "A10", "border") == "holds"
    assert verdict(both, "A10", "answer") == "does not hold", "about the same there"
    assert both.values["against"].value == pytest.approx((0.3 + 0.1) / 2 - 0.05, abs=0.03)


def row(text: str, answer: str, **more: Any) -> dict[str, Any]:
    """An explanation as the table has it, joined."""
    named = sorted(str(n) for n in numbers(text))
    known = {"problem": "p", "token": 1, "sample": 0, "gold": answer, "mse": 0.1}
    return {**known, "text": text, "answer": answer, "numbers": named, analysis.HELD: 1.0, **more}


def test_edits_take_out_every_instance() -> None:
    text = "First 12, then twelve of 120, and 12.0 again."
    other = row("So 3.", "7", **{analysis.HELD: 0.0})
    removed, control = edits([row(text, "12"), other], seed=0)
    assert [one["edit"] for one in (removed, control)] == list(answers.EDITS)
    assert {str(n) for n in numbers(removed["text"])} == {"120"}
    assert {str(n) for n in numbers(control["text"])} == {"12"}
    assert edits([row(text, "12"), other], seed=0) == [removed, control]
    (removed,) = edits([row("12", "12")], seed=0)
    assert removed["text"] == ""


@cache
def pocket() -> NLA:
    return NLA.from_pretrained("pocket", device="cpu")


def config(out: Path, **changes: Any) -> Answers:
    small: dict[str, Any] = {"n": 4, "samples": 2, "solution_tokens": 48, "max_tokens": 60, "device": "cpu"}
    small["places"] = ("question end", "sentence ends", "border", "answer", "answer-99", "think end")
    return Answers(out=str(out), **{**small, "problems": "pocket", **changes})


def studied(asked: Answers) -> Page:
    folder = Folder(asked.out, "answers", asked.asked())
    asked.run(folder, pocket())
    asked.analyse(folder).write(folder.out)
    return asked.page(folder)


def tables(out: Path) -> list[Any]:
    found = (out / "tables" / f"{name}.parquet" for name in TABLES)
    return [pq.read_table(path) for path in found if path.is_file()]


@pytest.mark.slow
def test_a_study_that_was_stopped_comes_to_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "EXPLAINED", 8)
    whole = studied(config(tmp_path / "whole"))
    calls, explanations = 0, answers.explanations

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
    assert len(tables(tmp_path / "whole")) >= 3
    for a, b in zip(tables(tmp_path / "whole"), tables(tmp_path / "parts"), strict=True):
        assert a.equals(b)
    assert render(whole) == render(again)
    assert all(section.shows.strip() and section.shows_not.strip() for section in whole.sections)


def test_explanations_are_of_the_vectors_at_their_places(tmp_path: Path) -> None:
    page = studied(config(tmp_path / "s", n=2))
    assert page.facts["Places that no solution has"] == "answer-99, think end"
    solved, places, said = tables(tmp_path / "s")[:3]
    ids = {one["problem"]: one["ids"] for one in solved.to_pylist()}
    place = next(one for one in places.to_pylist() if "border" in one["names"])
    model, index = pocket().model, place["token"]
    hidden = model(torch.tensor([ids[place["problem"]]]), output_hidden_states=True).hidden_states
    expected = hidden[pocket().site.layer + 1][0, index]
    torch.testing.assert_close(torch.tensor(place["vector"]), expected.float(), rtol=1e-4, atol=1e-4)
    assert "#" in pocket().model_tokenizer.decode([ids[place["problem"]][index]])
    here = [one for one in said.to_pylist() if (one["problem"], one["token"]) == (place["problem"], index)]
    assert [one["sample"] for one in here] == [0, 1, 2], "a token is explained once, whatever its names"
    alone = pocket().explain(expected[None], 1, max_tokens=60)[0][0]
    assert here[0]["text"] == alone.text
    assert here[0]["fve"] == pytest.approx(pocket().score([alone.text], expected[None]).fve, abs=1e-4)


@pytest.mark.parametrize("always", [True, False])
def test_a_model_that_is_always_right_or_wrong(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, always: bool) -> None:
    solve = answers.solve

    def solved(*arguments: Any) -> Any:
        made = solve(*arguments)
        return [replace(s, problem=replace(s.problem, gold=s.answer if always else s.answer + 1)) for s in made]

    monkeypatch.setattr(answers, "solve", solved)
    page = studied(config(tmp_path / "s", n=2))
    assert f"M solves {2 if always else 0} of 2 problems" in page.answer
    assert {claim["verdict"] for claim in page.claims} == {"not shown"}
    assert ">nan" not in render(page)


def test_cut_solutions_are_not_wrong_and_a_model_may_name_no_answer(tmp_path: Path) -> None:
    page = studied(config(tmp_path / "s", n=2, solution_tokens=2))
    assert "M solves 0 of 2 problems; 0 answers are wrong, 2 solutions were cut" in page.answer
    assert "there is nothing to take out" in page.sections[-1].shows
    assert render(page)
    with pytest.raises(UserError, match="none of the places border is in any of 2 solutions"):
        studied(config(tmp_path / "t", n=2, solution_tokens=2, places=("border",)))


def test_places_are_checked_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no place 'anwser'"):
        config(tmp_path / "s", places=("anwser",)).check()
    with pytest.raises(UserError, match="places must name one"):
        config(tmp_path / "t", places=()).check()


def test_an_empty_explanation_has_no_score() -> None:
    vectors = torch.ones(2, pocket().reconstructor.contract.d_model)
    empty, full = text_mse(pocket().reconstruct, [" ", "Twelve."], vectors).tolist()
    assert empty != empty
    assert full == pytest.approx(pocket().score(["Twelve."], vectors[:1]).mse)
