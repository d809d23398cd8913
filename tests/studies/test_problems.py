"""Problems are read or made, worked and cut behind their answer, and places are where their names say."""

import json
import lzma
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tiny

from thinkaloud.errors import UserError
from thinkaloud.loading import load_causal_lm, load_tokenizer
from thinkaloud.models import lm
from thinkaloud.numbers import numbers
from thinkaloud.studies.answers import Answers
from thinkaloud.studies.graded import graded
from thinkaloud.studies.problems import (
    ASKED,
    BORDER,
    Problem,
    Solution,
    answer_in,
    load_problems,
    parsed,
    place_of,
    solve,
    token_ends,
)

POCKET = Path(__file__).parent.parent.parent / "models" / "pocket" / "base"


@cache
def letters() -> Any:
    """A tokenizer whose every character is a token: places can be counted by eye."""
    return tiny.tokenizer()


def worked(text: str, prompt: str = "Q?", cut: bool = False) -> Solution:
    tokenizer = letters()
    asked = tokenizer(prompt, add_special_tokens=False)["input_ids"]
    written = tokenizer(text, add_special_tokens=False)["input_ids"]
    return parsed(Problem("p", prompt, Decimal(12), prompt), asked, written, cut, tokenizer)


def jsonl(path: Path, *records: Any) -> str:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records), encoding="utf-8")
    return str(path)


def test_gsm8k_and_plain_answers_are_read(tmp_path: Path) -> None:
    name = jsonl(
        tmp_path / "p.jsonl",
        {"question": "How many?", "answer": "He has 3*400=<<3*400=1200>>1200.\n#### 1,234"},
        {"question": "And now?", "answer": 7},
        "",
        {"question": "So?", "answer": "It is twelve"},
    )
    found = load_problems(name, 10, 0, tiny.tokenizer(chat=False))
    assert [problem.gold for problem in found] == [1234, 7, 12]
    assert [problem.id for problem in found] == ["p-1", "p-2", "p-4"]
    assert [problem.steps for problem in found] == [1, None, None]
    assert found[0].prompt == f"How many? {ASKED}\n"
    assert found[0].question == "How many?"
    chat = load_problems(name, 10, 0, tiny.tokenizer(), instruction="")
    assert chat[0].prompt == f"{tiny.BOS}{tiny.USER}How many?{tiny.END}{tiny.ASSISTANT}"


def test_a_system_message_and_an_instruction_are_put(tmp_path: Path) -> None:
    name = jsonl(tmp_path / "p.jsonl", {"question": "How many?", "answer": 7})
    plain = load_problems(name, 1, 0, tiny.tokenizer(chat=False), "Be brief.", "In digits.")[0]
    assert plain.prompt == "Be brief.\n\nHow many? In digits.\n"
    refused = tiny.tokenizer()
    refused.chat_template = "{{ raise_exception('no system') if messages[0]['role'] == 'system' }}"
    with pytest.raises(UserError, match=r"refuses the prompt \(no system\): leave --system out"):
        load_problems(name, 1, 0, refused, "Be brief.")
    with pytest.raises(UserError, match="put as they are"):
        Answers(out="x", problems="pocket", system="Be brief.").check()
    Answers(out="x", system="Be brief.").check()


def test_made_problems_come_out_as_they_say() -> None:
    made = list(graded(60, 0))
    assert [steps for steps, *_ in made] == [1, 2, 3] * 20
    assert made == list(graded(60, 0))
    assert made != list(graded(60, 1))
    for grade, *asked, answer, examples in made:
        for question, working in (asked, *examples):
            lines, border = working.split("\n")
            steps = [step.split(": ")[1].rstrip(".") for step in lines.split(". ")]
            assert len(steps) == grade
            for step in steps:
                sum_, result = step.split(" = ")
                a, op, b = sum_.split()
                assert int(a) + int(b) * {"+": 1, "-": -1}[op] == int(result) > 0
            assert border == f"#### {steps[-1].split()[-1]}"
            # Neither in the question nor a step's: naming it is naming the answer.
            assert answer_in(working)[0] not in numbers(question)  # type: ignore[index]
        assert all(Decimal(answer) not in numbers(q) | numbers(w) for q, w in examples)
        assert answer_in(asked[1])[0] == answer  # type: ignore[index]
    (problem,) = load_problems("graded", 1, 0, tiny.tokenizer())
    assert problem.prompt.index(made[0][4][0][1]) < problem.prompt.index(made[0][1])
    assert problem.given == numbers(made[0][1])


def test_compressed_and_drawn_alike(tmp_path: Path) -> None:
    lines = [json.dumps({"question": f"q{i}", "answer": str(i)}) for i in range(20)]
    with lzma.open(tmp_path / "p.jsonl.xz", "wt", encoding="utf-8") as file:
        file.write("\n".join(lines))
    name = str(tmp_path / "p.jsonl.xz")
    some = load_problems(name, 5, 3, tiny.tokenizer())
    assert len(some) == 5
    assert some == load_problems(name, 5, 3, tiny.tokenizer())
    assert some != load_problems(name, 5, 4, tiny.tokenizer())


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["{"], "line 1: expected a JSON object with question and answer"),
        (["[1]"], "line 1: expected a JSON object with question and answer"),
        (['{"question": "a"}'], "line 1: expected a JSON object with question and answer"),
        (['{"question": "a", "answer": "1"}', '{"question": "a", "answer": "many"}'], "line 2: the answer 'many'"),
        ([""], "holds no problems"),
    ],
)
def test_bad_lines(tmp_path: Path, lines: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_problems(jsonl(tmp_path / "p.jsonl", *lines), 5, 0, tiny.tokenizer())


def test_no_such_file() -> None:
    with pytest.raises(UserError, match=r"no file none\.jsonl"):
        Answers(out="x", problems="none.jsonl").check()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("3 + 4 = 7\n#### 7 and 9", 7),
        ("so 12 then 15.", 15),
        ("#### ", None),
        ("none", None),
        ("5 #### x 6 #### 8", 6),
        ("<think>#### 3, or 4</think>It is 5.", 5),
        ("<think>so 12", None),
    ],
)
def test_the_answer_of_a_solution(text: str, answer: int | None) -> None:
    found = answer_in(text)
    assert (found and found[0]) == answer


def test_places_of_a_solution() -> None:
    solution = worked("a #### 12\n")
    text = "Q?a #### 12"
    at = {name: solution.place(name) for name in ("question end", "border", "answer", "answer end", "answer-2")}
    assert at == {
        "question end": 1,
        "border": text.index(BORDER) + 3,
        "answer": text.index("12"),
        "answer end": text.index("12") + 1,
        "answer-2": text.index("12") - 2,
    }
    assert solution.place("solution") == 2
    assert solution.place("solution+3") == 5
    assert solution.place("solution-1") == len(solution.ids) - 1
    assert solution.place("solution-99") is None
    assert solution.place("solution-10") is None, "the prompt is no solution"
    assert solution.place("answer end+9") is None
    assert solution.place("answer-9") is None  # before the solution, and not the question's end
    assert solution.place("answer-8") == 1
    assert solution.right


def test_sentences_first_mentions_and_thinking_are_places() -> None:
    text = "Now 3 + 9 = 12. So it is. \n#### 12"
    solution, shift = worked(text), len("Q?")
    assert solution.place("first mention") == text.index("12") + shift
    assert solution.place("first mention-1") == text.index("12") + shift - 1
    assert solution.place("sentence 1 start") == shift
    assert solution.place("sentence 1 end") == text.index(".") + shift
    assert solution.place("sentence 2 start") == text.index("So") + shift
    assert solution.place("sentence -1 end") == solution.place("answer end") == len(text) - 1 + shift
    assert solution.place("sentence 4 end") is None
    assert solution.place("sentence -4 start") is None
    assert solution.place("think start") is None
    names = ["sentence ends", "answer"]
    assert solution.expanded(names) == [*(f"sentence {k} end" for k in (1, 2, 3)), "answer"]

    text = "<think>3 or 4, #### 3</think>It is 12"
    thought = worked(text)
    assert (thought.answer, thought.place("border")) == (12, None)
    assert thought.place("think start") == text.index(">") + shift
    assert thought.place("think end") == text.index("</think>") + len("</think>") - 1 + shift
    opened = worked("3 or 4</think>#### 12", "Q?<think>\n")
    assert opened.place("think start") == len("Q?<think>\n") - 1
    assert opened.answer == 12
    assert worked("3 or 4", "Q?<think>\n").outcome == "none"


def test_outcomes() -> None:
    texts = {"#### 12": "right", "#### 13": "wrong", "who knows": "none"}
    assert {text: worked(text).outcome for text in texts} == texts
    assert worked("it is 12", cut=True).outcome == "cut"
    assert worked("<think>#### 12", cut=True).outcome == "cut"
    assert worked("#### 12 and so on", cut=True).outcome == "right"


@pytest.mark.parametrize("text", ["Zoë has 3 – or 4 – 🦆 ducks.\n\n#### 12", "  two  spaces"])
def test_tokens_end_where_the_text_has_grown_to(text: str) -> None:
    tokenizer = load_tokenizer(POCKET)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert token_ends(ids, tokenizer) == [len(tokenizer.decode(ids[: i + 1])) for i in range(len(ids))]


def test_a_solution_without_an_answer_has_no_place_near_it() -> None:
    solution = worked("who knows")
    assert solution.answer is None
    assert not solution.right
    assert solution.place("answer") is None
    assert solution.place("border") is None
    assert solution.place("question end") == 1


@pytest.mark.parametrize(
    "name", ["", "answers", "answer -2", "answer+", "border--1", "question", "sentence 0 end", "sentence end"]
)
def test_what_is_no_place(name: str) -> None:
    with pytest.raises(UserError, match="no place"):
        place_of(name)


def test_what_was_named_before_a_cut_is_no_answer() -> None:
    assert worked("First 100 are sold and then she has 7").answer == 7
    assert worked("First 100 are sold and then she has 7", cut=True).answer is None
    assert worked("7\n#### 12 and so", cut=True).answer == 12


def test_what_follows_the_answers_line_is_cut() -> None:
    assert worked("1+1=2\n#### 12 apples\nQ: more?\n#### 13").text.rstrip("\n") == "1+1=2\n#### 12 apples"
    assert worked("it is 12\nand on").text == "it is 12\nand on"


def test_the_pocket_model_works_problems() -> None:
    model, tokenizer = load_causal_lm(POCKET), load_tokenizer(POCKET)
    problems = load_problems("pocket", 6, 0, tokenizer)
    solved = solve(model, tokenizer, problems, 64)
    assert sum(s.right for s in solved) >= 3
    for s in solved:
        assert s.problem.prompt in tokenizer.decode(s.ids)
        assert not lm.turn_ends(model, tokenizer) & set(s.ids[s.prompt_tokens :])
        if "border" in s.marks and s.answer is not None:
            assert s.marks["border"] < s.marks["answer"] <= s.marks["answer end"]
            said = tokenizer.decode(s.ids[s.marks["answer"] : s.marks["answer end"] + 1])
            assert answer_in(said)[0] == s.answer  # type: ignore[index]
    # Batches of one, without padding, come to the same.
    assert [solve(model, tokenizer, [problem], 64)[0] for problem in problems] == solved


def test_a_problem_that_fills_the_context_is_refused() -> None:
    model = tiny.model("llama")
    with pytest.raises(UserError, match="problem long has"):
        solve(model, letters(), [Problem("long", "a" * 300, Decimal(1))], 4)
