"""What a language model is told of a context, and what of its answer is an explanation."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from thinkaloud.config.data import Asking
from thinkaloud.errors import UserError
from thinkaloud.writers import Asked, Context, Written
from thinkaloud.writers.base import Chat, Usage
from thinkaloud.writers.cache import Cache
from thinkaloud.writers.prompted import PromptedWriter, features

SEA = Context("The old captain looked at the sea", " sea", ((" and", 0.5), ('"', 0.125)))


class Parrot:
    """Answers in turn with what it was given."""

    name = "parrot:m"

    def __init__(self, *answers: Written) -> None:
        self.answers, self.chats = list(answers), list[Chat]()

    def request(self, chat: Chat) -> dict[str, Any]:
        return {"messages": list(chat)}

    def answer(self, chats: Sequence[Chat], keep: Callable[[int, Written], None]) -> None:
        for i, chat in enumerate(chats):
            self.chats.append(chat)
            keep(i, self.answers.pop(0))


def writer(folder: Path, *answers: Written, **options: Any) -> PromptedWriter:
    given = Asking(**options)
    return PromptedWriter(Asked(Parrot(*answers), given, Cache(folder / "cache.sqlite")), given)


def told(folder: Path, context: Context, **options: Any) -> str:
    (message,) = writer(folder, **options).chat(context)
    assert message["role"] == "user"
    return message["content"]


def test_the_prompt_asks_for_features_by_importance_and_shows_the_text(tmp_path: Path) -> None:
    prompt = told(tmp_path, SEA)
    for said in ("two or three features", "most for the next token first", "last line is always about the final token"):
        assert said in prompt
    assert "not a retelling" in prompt
    assert "<text>\nThe old captain looked at the sea\n</text>" in prompt
    assert 'Its final token: " sea"' in prompt
    assert "{" not in prompt
    assert "and" not in prompt.rpartition("final token:")[2], "what M finds likely is shown only where it is asked for"


def test_the_models_own_next_tokens_are_shown_where_asked_for(tmp_path: Path) -> None:
    assert told(tmp_path, SEA, show_next=True).endswith(
        r'What the model itself finds likeliest next: " and" 0.50, "\"" 0.12'
    )
    assert told(tmp_path, Context("a", "a"), show_next=True) == told(tmp_path, Context("a", "a"))


def test_no_more_of_the_text_is_shown_than_asked_for(tmp_path: Path) -> None:
    assert "<text>\nthe sea\n</text>" in told(tmp_path, SEA, chars=7)


def test_what_a_text_holds_is_no_place_of_the_prompt(tmp_path: Path) -> None:
    assert "<text>\nf({next}, {token}) {\n</text>" in told(
        tmp_path, Context("f({next}, {token}) {", " {"), show_next=True
    )


def test_a_file_replaces_the_prompt_and_another_prompt_is_another_writer(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("{text}|{token}|{next}|{other}\n", encoding="utf-8")
    assert told(tmp_path, SEA, prompt=tmp_path / "mine.txt") == 'The old captain looked at the sea|" sea"||{other}'
    names = [writer(tmp_path, **options).name for options in ({}, {"prompt": tmp_path / "mine.txt"}, {"chars": 9}, {})]
    assert len(set(names)) == 3
    assert all(name.startswith("parrot:m/") for name in names)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"no place", "the prompt in FILE shows no text: write {text} where it belongs"),
        (b"\xff{text}", "FILE is not a text in UTF-8: expected a prompt with {text} in it"),
    ],
)
def test_a_prompt_of_no_use_is_one_line(tmp_path: Path, content: bytes, line: str) -> None:
    file = tmp_path / "mine.txt"
    file.write_bytes(content)
    with pytest.raises(UserError) as caught:
        writer(tmp_path, prompt=file)
    assert str(caught.value) == line.replace("FILE", str(file))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ("A sea story.\nEnds on a noun.", "A sea story.\nEnds on a noun."),
        ("\n- A sea story.\n\n* Ends on a noun.\n", "A sea story.\nEnds on a noun."),
        ("1. A sea story.\n2) Ends on a noun.", "A sea story.\nEnds on a noun."),
        ("• A – dash\n(3) 12. is a number", "A – dash\n12. is a number"),
        ("Here are the features:\n- A sea story.", "A sea story."),
        ("It opens a list:", "It opens a list:"),
        ("<explanation>\nA sea story.\n</explanation> Good?", "A sea story."),
        ("*A sea story* -- quiet", "*A sea story* -- quiet"),
    ],
)
def test_an_answer_is_read_as_lines_of_features(answer: str, text: str) -> None:
    assert features(Written(answer, None, Usage(1, 2))) == Written(text, None, Usage(1, 2))


@pytest.mark.parametrize("answer", ["- \n*", "...", "<explanation></explanation>", "<explanation>a <explanation> b"])
def test_an_answer_without_words_or_with_tags_is_malformed(answer: str) -> None:
    assert features(Written(answer)).refusal == "malformed"


def test_rows_without_an_explanation_are_none_and_counted(tmp_path: Path) -> None:
    answers = (
        Written("- A"),
        Written("", "refused: not this"),
        Written("", "refused: nor this"),
        Written("..."),
        Written("B"),
    )
    contexts = [Context(word, word) for word in "abcde"]
    asked = writer(tmp_path, *answers)
    seen: list[int] = []
    asked.watch = seen.append
    assert asked.write(contexts) == ["A", None, None, None, "B"]
    assert asked.lost == Counter(refused=2, malformed=1)
    assert sum(seen) == 5
    again = writer(tmp_path)
    assert again.write(contexts) == ["A", None, None, None, "B"]
    assert again.lost == asked.lost
