"""`thinkaloud read` takes a text from anywhere, refuses what it cannot read, and prints what it promises."""

import io
import json
from pathlib import Path
from typing import Any

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud import cli
from thinkaloud.baseline import Baseline
from thinkaloud.cli import read
from thinkaloud.errors import UserError
from thinkaloud.pair.formats import save
from thinkaloud.pair.reading import Reading, ReadPosition, ScoredExplanation
from thinkaloud.pair.scores import Score
from thinkaloud.site import Site

BASELINE = Baseline(0.5, 64, 8, "heldout")
CHAT = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day."}]


class WordByWord:
    """A pair that says of each word that it is one; it remembers how it was asked."""

    asked: tuple[Any, ...]
    window: int | None

    def read(self, content: Any, *asked: Any, **named: Any) -> Reading:
        self.asked, self.window = (*asked, named["max_tokens"]), named["window"]
        text = content if isinstance(content, str) else " ".join(m["content"] for m in content)
        places = tuple(
            ReadPosition(
                i,
                word,
                i,
                1.0,
                (ScoredExplanation(f"word {word}", "", (), (), "closed", Score(0.9, 0.2, BASELINE)),),
            )
            for i, word in enumerate(text.split())
        )
        named["watch"](len(places))
        return Reading(places, BASELINE, Site("resid_post", 1), "words", content)


@pytest.fixture
def pair(monkeypatch: pytest.MonkeyPatch) -> WordByWord:
    words = WordByWord()
    monkeypatch.setattr(read, "load_pair", lambda *_: words)
    return words


def tokens(out: str) -> list[str]:
    return [json.loads(line)["token"] for line in out.splitlines()]


def test_json_is_one_object_a_position_and_nothing_else(pair: WordByWord, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["read", "The sea is calm", "--json"]) == 0
    out = capsys.readouterr()
    assert tokens(out.out) == ["The", "sea", "is", "calm"]
    assert out.err == ""


def test_text_from_a_file_standard_input_and_chats(
    pair: WordByWord, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "t.txt").write_bytes("\ufeffÜber allen\n".encode())
    (tmp_path / "list.json").write_text(json.dumps(CHAT))
    (tmp_path / "object.json").write_text(json.dumps({"messages": CHAT}))
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"Gipfeln ist\r\n")))
    for arguments, expected in (
        (["--file", str(tmp_path / "t.txt")], ["Über", "allen"]),
        (["-"], ["Gipfeln", "ist"]),
        (["--chat", str(tmp_path / "list.json")], ["Hello", "Good", "day."]),
        (["--chat", str(tmp_path / "object.json")], ["Hello", "Good", "day."]),
    ):
        assert cli.main(["read", *arguments, "--json"]) == 0
        assert tokens(capsys.readouterr().out) == expected


def test_options_reach_the_pair(pair: WordByWord, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["read", "x", "--positions", "0,-1", "--samples", "3", "--seed", "7", "--max-tokens", "9"]) == 0
    assert pair.asked == ("0,-1", 3, 1.0, 7, 9)
    assert cli.main(["read", "x", "--positions", "-1"]) == 0
    assert pair.asked == ("-1", 1, 0.0, 0, 200)
    assert cli.main(["read", "x", "--positions", "-4:"]) == 0
    assert pair.asked == ("-4:", 1, 0.0, 0, 200)
    long = "so it went on " * 20
    assert (
        cli.main(["read", long, "--samples", "2", "--temperature", "0.5", "--positions", "50:", "--window", "9"]) == 0
    )
    assert pair.asked == ("50:", 2, 0.5, 0, 200)
    assert pair.window == 9


def test_a_text_that_looks_like_nothing_is_a_text(pair: WordByWord, capsys: pytest.CaptureFixture[str]) -> None:
    for text in ("None", "--flag"):
        assert cli.main(["read", "--json", "--", text]) == 0
        assert tokens(capsys.readouterr().out) == [text]


def test_the_table_is_for_people(
    pair: WordByWord, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["read", "The sea"]) == 0
    out = capsys.readouterr().out
    assert "word sea" in out
    assert "0.60" in out
    assert "\x1b" not in out
    assert max(map(len, out.splitlines())) <= 80


def test_a_report_is_written_whole_and_named(
    pair: WordByWord, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    page = tmp_path / "out.html"
    assert cli.main(["read", "The sea", "--json", "--html", str(page)]) == 0
    out = capsys.readouterr()
    assert tokens(out.out) == ["The", "sea"]
    assert str(page) in out.err
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert [path.name for path in tmp_path.iterdir()] == ["out.html"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "exactly one of TEXT, --file or --chat, found none"),
        (["x", "--file", "y"], "found text and file at once"),
        ([" \n"], "the text is empty"),
        ([""], "the text is empty"),
        (["a\udc80"], "the text is not UTF-8"),
        (["--file", "{tmp}/none.txt"], "no such file"),
        (["--file", "{tmp}"], ": is a directory"),
        (["--file", "{tmp}/latin.txt"], "is not UTF-8 (byte 2)"),
        (["--file", "{tmp}/blank.txt"], "blank.txt is empty"),
        (["--chat", "{tmp}/latin.txt"], "is not UTF-8"),
        (["--chat", "{tmp}/blank.txt"], "is not JSON"),
        (["--chat", "{tmp}/empty.json"], "must hold a list of messages"),
        (["--chat", "{tmp}/number.json"], "must hold a list of messages"),
        (["--chat", "{tmp}/strings.json"], "message 1: expected an object with role and content, found str"),
        (["--chat", "{tmp}/role.json"], "message 1: role must be one of system, user, assistant"),
        (["--chat", "{tmp}/content.json"], "message 1: content must be a text that is not empty, found None"),
        (["--chat", "{tmp}/half.json"], "half a surrogate pair"),
        (["x", "--html", "{tmp}"], "is a folder"),
        (["x", "--html", "{tmp}/none/out.html"], "no folder"),
    ],
)
def test_what_cannot_be_read_is_one_line_and_exit_code_2(
    pair: WordByWord, capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[str], expected: str
) -> None:
    for name, data in {
        "latin.txt": b"ab\xe9",
        "blank.txt": b" \n",
        "empty.json": b"[]",
        "number.json": b'{"messages": 3}',
        "strings.json": b'["hello"]',
        "role.json": b'[{"role": "robot", "content": "x"}]',
        "content.json": b'[{"role": "user"}]',
        "half.json": b'[{"role": "user", "content": "a\\ud800"}]',
    }.items():
        (tmp_path / name).write_bytes(data)
    assert cli.main(["read", *(a.replace("{tmp}", str(tmp_path)) for a in arguments)]) == 2
    out = capsys.readouterr()
    assert out.out == ""
    assert len(out.err.splitlines()) == 1
    assert expected in out.err


@pytest.fixture(scope="module")
def weightless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair whose weights are missing: whatever it is refused for, they were not loaded before."""
    folder = tmp_path_factory.mktemp("pair")
    tiny.save_base("llama", folder / "base")
    save(tiny.verbalizer(), folder / "av")
    save(tiny.reconstructor(seed=0), folder / "ar")
    for file in folder.rglob("*.safetensors"):
        file.unlink()
    (folder / "long.txt").write_text("x" * 300)
    (folder / "chat.json").write_text(json.dumps([{"role": "user", "content": "x" * 300}]))
    return folder


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["x", "--positions", "first"], "positions must be all, last, indices"),
        (["x", "--positions", "7"], "position 7 is outside the text: it has 2 tokens, 0 to 1"),
        (["x", "--positions", "50:"], "no position left"),
        (["x", "--samples", "0"], "samples must be 1 or more, found 0"),
        (["x", "--temperature", "-1"], "temperature must be 0 (greedy) or more"),
        (["x", "--max-tokens", "0"], "max_tokens must be 1 or more"),
        (["x", "--device", "tpu"], "device 'tpu' is not known"),
        (["--file", "{pair}/long.txt"], "{pair}/long.txt has 301 tokens, the model's context is 256: shorten it, or"),
        (["--chat", "{pair}/chat.json"], "{pair}/chat.json has 303 tokens, the model's context is 256"),
        (["x", "--window", "257"], "a window must be of 2 to 256 tokens, the model's context; found 257"),
        (["x", "--window", "1"], "a window must be of 2 to 256 tokens"),
        (["--file", "{pair}/long.txt", "--window", "100", "--positions", "301"], "position 301 is outside the text"),
        (["x"], "no model.safetensors in"),
    ],
)
def test_arguments_are_refused_before_any_weights_are_loaded(
    weightless: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    given = [argument.replace("{pair}", str(weightless)) for argument in arguments]
    for pair in (["--nla", str(weightless)], ["--av", f"{weightless}/av", "--ar", f"{weightless}/ar"]):
        if "--av" in pair:  # the halves alone do not say which model they read
            pair += ["--base", f"{weightless}/base"]
        assert cli.main(["read", *given, *pair]) == 2
        assert expected.replace("{pair}", str(weightless)) in capsys.readouterr().err


VALUES = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.sampled_from(["user", "assistant"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["messages", "role", "content"]), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(VALUES.map(json.dumps) | st.text(max_size=40) | st.integers(1, 3000).map(lambda depth: "[" * depth))
def test_a_chat_file_is_messages_or_one_line(text: str) -> None:
    try:
        messages = read.parse_chat(text, "chat.json")
    except UserError:
        return
    assert messages
    assert all(set(m) == {"role", "content"} and m["role"] in read.ROLES and m["content"].strip() for m in messages)


def test_bytes_on_standard_input_that_are_not_text(pair: WordByWord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff\xfe")))
    with pytest.raises(UserError, match="standard input is not UTF-8"):
        read.source(read.Args(text="-"))
