"""Batches: begun once, found again, and what they leave unanswered handed in again."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import services
from services import Server, error, serving

from thinkaloud.config.data import Asking
from thinkaloud.errors import UserError
from thinkaloud.writers import Asked, Written, requests
from thinkaloud.writers import asked as asking
from thinkaloud.writers.base import Chat, Usage, models
from thinkaloud.writers.cache import Cache

WORDS = ["sea", "old", "man", "cat", "hat"]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requests, "FIRST", 0.002)
    monkeypatch.setattr(asking, "POLLS", (0.002, 0.01))


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


@pytest.fixture(params=["openai", "anthropic"])
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def asked(kind: str, server: Server, folder: Path, **options: Any) -> Asked:
    given = Asking(**{"base_url": server.url, "tries": 3, "timeout": 5.0, "batch": True, **options})
    return Asked(models[kind]("m", given), given, Cache(folder / "cache.sqlite"))


def chats(words: list[str] = WORDS) -> list[Chat]:
    return [[{"role": "user", "content": word}] for word in words]


def good(word: str) -> Written:
    return Written(f"- A tale of the sea.\n- Ends on {word}", None, Usage(100, 20))


def test_a_batch_answers_all_and_nothing_is_asked_besides(kind: str, server: Server, tmp_path: Path) -> None:
    server.looks = 3
    model, seen = asked(kind, server, tmp_path), []
    model.fill(lambda: chats([*WORDS, *WORDS]), seen.append)
    assert model.ask(chats()) == [good(word) for word in WORDS]
    assert (len(server.batches), server.requests, sum(seen)) == (1, [], 5)
    assert model.usage == Usage(500, 100)
    batch = server.batches["batch_0"]
    assert [body["messages"] for _, body in batch["asked"]] == chats(), "each once"
    if kind == "openai":
        assert batch["request"]["endpoint"] == "/v1/chat/completions"
        assert batch["request"]["completion_window"] == "24h"
    posts = len(server.posts)
    asked(kind, server, tmp_path).fill(chats)
    assert len(server.posts) == posts


def test_refusals_and_malformed_answers_are_kept_and_what_expired_is_handed_in_again(
    kind: str, server: Server, tmp_path: Path
) -> None:
    server.results = {0: "expired", 1: "refused", 2: "broken"}  # the last word comes first
    model = asked(kind, server, tmp_path)
    model.fill(chats)
    found = model.ask(chats())
    refusal = Written("", "refused: not this") if kind == "openai" else None
    refusal = refusal or Written("I had rather not.", "refused", Usage(100, 20))
    assert found == [good("sea"), good("old"), Written('{"broken": true}', "malformed"), refusal, good("hat")]
    assert [len(batch["asked"]) for batch in server.batches.values()] == [5, 1]
    assert not model.cache.batches(model.model.service)


def test_what_no_batch_answers_is_one_line_and_the_rest_is_kept(kind: str, server: Server, tmp_path: Path) -> None:
    server.results = dict.fromkeys(range(1, 100), "expired")
    model = asked(kind, server, tmp_path)
    with pytest.raises(UserError, match=f"{kind}:m left requests of a batch unanswered: (it took too long|expired)"):
        model.fill(chats)
    assert len(server.batches) == 2, "a second one that answers nothing is the last"
    assert model.cache.get([model.key(chat) for chat in chats(["hat"])])
    server.results = {}
    asked(kind, server, tmp_path).fill(chats)
    assert [len(batch["asked"]) for batch in server.batches.values()] == [5, 4, 4]


def test_a_batch_that_was_begun_is_found_again(kind: str, server: Server, tmp_path: Path) -> None:
    class Killed(BaseException):
        pass

    def killed(handler: services.Handler, request: dict[str, Any]) -> None:
        monkey.setattr(asking.time, "sleep", stop)
        handler.reply(200, handler.server.look(handler.path.split("/")[-1]))

    def stop(seconds: float) -> None:
        raise Killed

    server.looks, server.get_replies = 5, [killed]
    with pytest.MonkeyPatch.context() as monkey, pytest.raises(Killed):
        asked(kind, server, tmp_path).fill(chats)
    assert len(server.batches) == 1
    again = asked(kind, server, tmp_path)
    assert again.cache.batches(again.model.service) == {"batch_0": 5}
    assert all(again.cache.is_pending(again.key(chat)) for chat in chats())
    again.fill(lambda: chats([*WORDS, "dog"]))
    assert [len(batch["asked"]) for batch in server.batches.values()] == [5, 1], "but for what is new"
    assert again.ask(chats(["sea", "dog"])) == [good("sea"), good("dog")]
    assert server.requests == []


def test_what_a_batch_leaves_out_is_handed_in_again(kind: str, server: Server, tmp_path: Path) -> None:
    server.results = {1: "missing", 2: "missing"}
    model = asked(kind, server, tmp_path)
    model.fill(chats)
    assert [len(batch["asked"]) for batch in server.batches.values()] == [5, 2]
    assert model.ask(chats()) == [good(word) for word in WORDS]


def test_what_is_in_a_batch_is_not_asked_for_besides(kind: str, server: Server, tmp_path: Path) -> None:
    model = asked(kind, server, tmp_path)
    model.cache.begun("batch_0", model.model.service, [model.key(chat) for chat in chats(["sea", "old"])])
    with pytest.raises(UserError, match="2 of the requests are in a batch under way, and paid for: go on with --batch"):
        model.ask(chats())
    assert server.requests == []


def test_many_requests_are_several_batches(
    kind: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "BATCH_REQUESTS", 2)
    model = asked(kind, server, tmp_path)
    model.fill(chats)
    monkeypatch.setattr(asking, "BATCH_BYTES", 300)
    model.fill(lambda: chats(["dog", "fog", "log"]))
    assert [len(batch["asked"]) for batch in server.batches.values()] == [2, 2, 1, 2, 1]
    assert model.ask(chats()) == [good(word) for word in WORDS]


def test_a_batch_that_is_gone_is_begun_anew(kind: str, server: Server, tmp_path: Path) -> None:
    model = asked(kind, server, tmp_path)
    model.cache.begun("batch_77", model.model.service, [model.key(chat) for chat in chats()])
    with pytest.raises(
        UserError, match="left requests of a batch unanswered: the batch batch_77 is not there any more"
    ):
        model.fill(chats)
    model.fill(chats)
    assert model.ask(chats()) == [good(word) for word in WORDS]


def test_a_batch_that_is_turned_down_says_why(server: Server, tmp_path: Path) -> None:
    server.failed = "no model m"
    model = asked("openai", server, tmp_path)
    for n in (1, 2):
        with pytest.raises(UserError, match="openai:m left requests of a batch unanswered: no model m"):
            model.fill(chats)
        assert len(server.batches) == n, "not again and again"


def test_a_passing_trouble_of_a_look_is_waited_for(kind: str, server: Server, tmp_path: Path) -> None:
    server.get_replies = [error(500), services.cut, error(429, headers={"retry-after": "0.01"})]
    model = asked(kind, server, tmp_path, tries=4)
    model.fill(chats)
    assert model.ask(chats()) == [good(word) for word in WORDS]
    assert len(server.batches) == 1


def test_results_that_break_off_are_fetched_again(kind: str, server: Server, tmp_path: Path) -> None:
    looks = {"openai": 1, "anthropic": 2}[kind]  # the SDK of the latter looks once more for the address of the results
    pass_on = [lambda handler, request: handler.reply(200, handler.server.look("batch_0"))] * looks
    server.looks, server.get_replies = 0, [*pass_on, services.cut]
    model = asked(kind, server, tmp_path)
    model.fill(chats)
    assert model.ask(chats()) == [good(word) for word in WORDS]
    assert len(server.batches) == 1


def test_a_batch_is_begun_again_only_where_none_can_have_been(kind: str, server: Server, tmp_path: Path) -> None:
    server.batch_replies = [error(429), error(429, headers={"retry-after": "0.01"})]
    model = asked(kind, server, tmp_path)
    model.fill(chats)
    assert len(server.batches) == 1
    for reply, what in ((error(500, "broken"), "answers 500: broken"), (services.cut, "cannot be reached")):
        server.batch_replies, posts = [reply], server.posts.count(server.posts[-1])
        with pytest.raises(UserError, match=f"{kind}:m {what}.*: look there whether it was begun before running this"):
            model.fill(lambda: chats(["dog"]))
        assert server.posts.count(server.posts[-1]) == posts + 1


def test_a_model_without_batches_is_named(tmp_path: Path) -> None:
    given = Asking(batch=True)
    with pytest.raises(UserError, match="local:m has no batch interface: leave --batch out"):
        Asked(models["local"]("m", given), given, Cache(tmp_path / "cache.sqlite")).fill(chats)
