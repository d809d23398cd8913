"""A service that misbehaves is asked again, within bounds; what it says is kept, and its key is not."""

import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import services
from services import Reply, Server, answer, error, raw, serving, slow

from thinkaloud.config.data import Asking
from thinkaloud.errors import UserError
from thinkaloud.writers import Asked, Written, requests
from thinkaloud.writers.base import Chat, Usage, models
from thinkaloud.writers.cache import Cache
from thinkaloud.writers.requests import concurrently, retry_after

KEY = "sk-very-secret-0123456789"
USAGE = Usage(100, 20)
GOOD = Written("- A tale of the sea.\n- Ends on sea", None, USAGE)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "FIRST", 0.002)
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture(params=["openai", "anthropic"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def chat(text: str) -> Chat:
    return [{"role": "user", "content": text}]


def asked(kind: str, server: Server, folder: Path, **options: Any) -> Asked:
    given = Asking(**{"base_url": server.url, "tries": 4, "timeout": 5.0, **options})
    return Asked(models[kind]("m", given), given, Cache(folder / "cache.sqlite"))


def test_the_order_is_that_of_the_chats_and_nothing_is_asked_twice(kind: str, server: Server, tmp_path: Path) -> None:
    words = [f"word{i % 30}" for i in range(40)]
    seen: list[int] = []
    model = asked(kind, server, tmp_path)
    found = model.ask([chat(word) for word in words], seen.append)
    assert [one.text.split()[-1] for one in found] == words
    assert (len(server.requests), model.asked, model.usage) == (30, 30, Usage(3000, 600))
    assert sum(seen) == 40
    again = asked(kind, server, tmp_path)
    assert again.ask([chat(word) for word in words]) == found
    assert (len(server.requests), again.asked) == (30, 0)


@pytest.mark.parametrize("changed", ["model", "max_tokens", "temperature", "prompt", "role"])
def test_an_answer_is_that_of_a_model_its_settings_and_a_prompt(server: Server, tmp_path: Path, changed: str) -> None:
    asked("openai", server, tmp_path).ask([chat("the sea")])
    options = {"max_tokens": 7} if changed == "max_tokens" else {"temperature": 0.5} if changed == "temperature" else {}
    other = asked("openai", server, tmp_path, **options)
    if changed == "model":
        other.name = other.model.name = "openai:n"
    message = {
        "role": "system" if changed == "role" else "user",
        "content": "a sea" if changed == "prompt" else "the sea",
    }
    other.ask([[message]])
    assert other.asked == 1
    moved = asked("openai", server, tmp_path, concurrency=1, timeout=9.0)
    moved.ask([chat("the sea")])
    assert moved.asked == 0, "how it is asked does not matter"


PASSING: dict[str, list[Reply]] = {
    "busy, with the seconds to wait": [error(429, headers={"retry-after": "0.05"})],
    "busy, with milliseconds": [error(429, headers={"retry-after-ms": "20"})],
    "busy, without": [error(429), error(429)],
    "broken": [error(500), error(503), error(529)],
    "cut": [services.cut, services.cut],
    "malformed JSON": [raw(b'{"choices": [')],
    "no JSON": [raw(b"<html>", "text/html")],
    "JSON of another shape": [raw(b'{"choices": []}'), raw(b"[1]"), raw(b"null")],
}


@pytest.mark.parametrize("trouble", PASSING)
def test_what_passes_is_tried_again(kind: str, server: Server, tmp_path: Path, trouble: str) -> None:
    server.replies = list(PASSING[trouble])
    began = time.monotonic()
    assert asked(kind, server, tmp_path).ask([chat("the sea")]) == [GOOD]
    assert len(server.requests) == len(PASSING[trouble]) + 1
    if "wait" in trouble:
        assert time.monotonic() - began >= 0.05


def test_a_slow_answer_is_asked_for_again(kind: str, server: Server, tmp_path: Path) -> None:
    server.replies = [slow(0.5)]
    assert asked(kind, server, tmp_path, timeout=0.15).ask([chat("the sea")]) == [GOOD]
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("replies", "line"),
    [
        ([error(500, "it broke")] * 4, "{}:m answers 500: it broke; 4 tries: what was answered is kept, the same"),
        ([services.cut] * 4, "{}:m cannot be reached: "),
        ([error(401, f"no such key {KEY}")], "{}:m answers 401: no such key …"),
        ([error(404, "no model m")], "{}:m answers 404: no model m"),
        ([error(400, "max_tokens is\ntoo large")], "{}:m answers 400: max_tokens is too large"),
        ([error(429, "tomorrow", {"retry-after": "7000"})], "{}:m asks to be left alone for 7000 s: run the"),
    ],
)  # fmt: skip
def test_what_does_not_pass_is_one_line(
    kind: str, server: Server, tmp_path: Path, replies: list[Reply], line: str
) -> None:
    server.replies = list(replies)
    with pytest.raises(UserError) as caught:
        asked(kind, server, tmp_path).ask([chat("the sea")])
    assert str(caught.value).startswith(line.format(kind))
    assert KEY not in str(caught.value)
    assert len(server.requests) == len(replies)
    assert asked(kind, server, tmp_path).ask([chat("the sea")]) == [GOOD], "nothing of it was kept"


def test_a_server_that_is_not_there_and_one_that_is_silent(kind: str, server: Server, tmp_path: Path) -> None:
    server.replies = [slow(0.3)] * 2
    with pytest.raises(UserError, match=r"m does not answer within 0.05 s \(--timeout\); 2 tries"):
        asked(kind, server, tmp_path, timeout=0.05, tries=2).ask([chat("the sea")])
    with pytest.raises(UserError, match=f"{kind}:m cannot be reached: .*; 1 try: what"):
        asked(kind, server, tmp_path, base_url="http://127.0.0.1:9", tries=1).ask([chat("the sea")])


def test_refusals_and_useless_answers_are_kept_with_their_reason(kind: str, server: Server, tmp_path: Path) -> None:
    of_openai = kind == "openai"
    cases: list[tuple[list[Reply], Written]] = [
        ([answer("")], Written("", "empty", USAGE)),
        ([answer(" \n")], Written(" \n", "empty", USAGE)),
        ([answer("- A tale of", "length" if of_openai else "max_tokens")], Written("- A tale of", "cut off", USAGE)),
        ([raw(b"{")] * 4, Written("{", "malformed")),
    ]
    if of_openai:
        cases += [
            ([answer(None)], Written("", "empty", USAGE)),
            ([answer(None, refusal="I will not.")], Written("", "refused: I will not.", USAGE)),
            ([answer("So", "content_filter")], Written("So", "refused: content filter", USAGE)),
            ([error(400, "not this", code="content_filter")], Written("", "refused: not this")),
        ]
    else:
        cases += [
            ([answer("I will not.", "refusal")], Written("I will not.", "refused", USAGE)),
            ([error(400, "by content filtering")], Written("", "refused: by content filtering")),
        ]
    for i, (replies, wanted) in enumerate(cases):
        server.replies = list(replies)
        model, before = asked(kind, server, tmp_path), len(server.requests)
        assert model.ask([chat(f"{i}")]) == [wanted]
        assert len(server.requests) - before == len(replies)
        assert model.ask([chat(f"{i}")]) == [wanted]
        assert len(server.requests) - before == len(replies), "kept, and not asked for again"


def test_the_key_is_in_the_request_and_nowhere_else(
    kind: str, server: Server, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server.replies = [raw(f'{{"echo": "{KEY}"}}'.encode())] * 4
    model = asked(kind, server, tmp_path)
    assert model.ask([chat("the sea")])[0].text == '{"echo": "…"}'
    if kind == "openai":
        server.replies = [answer(None, refusal=f"not with {KEY}")]
        assert model.ask([chat("a sea")])[0].refusal == "refused: not with …"
    model.cache.close()
    assert {key.removeprefix("Bearer ") for key in server.keys} == {KEY}
    assert KEY not in caplog.text
    assert not [path for path in tmp_path.iterdir() if KEY.encode() in path.read_bytes()]


def test_without_a_key_only_another_server_is_asked(
    kind: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{kind.upper()}_API_KEY"
    monkeypatch.delenv(name)
    assert asked(kind, server, tmp_path).ask([chat("the sea")]) == [GOOD]
    with pytest.raises(UserError, match=f"{kind}:m needs a key in {name}, or another server by --base-url"):
        asked(kind, server, tmp_path, base_url=None).ask([chat("a sea")])
    monkeypatch.setenv(f"{kind.upper()}_BASE_URL", server.url)
    assert asked(kind, server, tmp_path, base_url=None).ask([chat("the old sea")]) == [GOOD]


def test_a_missing_package_is_named(kind: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, kind, None)
    with pytest.raises(UserError) as caught:
        asked(kind, server, tmp_path).ask([chat("the sea")])
    assert str(caught.value) == f"the writer {kind} needs the package {kind}: pip install 'thinkaloud[writers]'"


def test_what_is_sent(server: Server, tmp_path: Path) -> None:
    talk = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "the sea"}]
    asked("openai", server, tmp_path, temperature=0.5, max_tokens=9).ask([talk])
    asked("anthropic", server, tmp_path, temperature=0.5, max_tokens=9).ask([talk])
    settings = {"model": "m", "temperature": 0.5, "max_tokens": 9}
    assert server.requests == [
        {**settings, "messages": talk},
        {**settings, "system": "Be brief.", "messages": talk[1:]},
    ]
    own = models["openai"]("m", Asking(max_tokens=9)).request(talk)
    assert own == {"model": "m", "messages": talk, "max_completion_tokens": 9}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "-3"}, 0.0),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_the_time_to_wait(headers: dict[str, str], seconds: float | None) -> None:
    assert retry_after(headers) == seconds


def test_a_date_to_wait_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "time", lambda: 1445412480.0 - 20)
    assert retry_after({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 20


def test_so_many_are_under_way_at_once() -> None:
    here, most, lock = 0, 0, threading.Lock()
    together, got = threading.Barrier(3, timeout=60), dict[int, int]()

    def act(i: int, stop: threading.Event) -> int:
        nonlocal here, most
        with lock:
            here, most = here + 1, max(most, here + 1)
        together.wait()  # three at once, or this never ends
        with lock:
            here -= 1
        return i * i

    concurrently(act, 9, 3, got.__setitem__)
    assert got == {i: i * i for i in range(9)}
    assert most == 3


@pytest.mark.parametrize("failure", [UserError("gone"), KeyboardInterrupt()])
def test_after_a_failure_what_is_under_way_is_kept_and_no_more_is_begun(failure: BaseException) -> None:
    begun: list[int] = []
    got: dict[int, int] = {}

    def act(i: int, stop: threading.Event) -> int:
        begun.append(i)
        if i == 0:
            raise failure
        stop.wait(60)  # until the failure is known
        return i

    with pytest.raises(type(failure)):
        concurrently(act, 50, 2, got.__setitem__)
    assert got == {i: i for i in begun if i}
    assert len(begun) <= 4
