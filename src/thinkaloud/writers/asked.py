"""Language models with a cache before them: what was answered once, in this run or another, is not asked again."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from thinkaloud.config.data import Asking
from thinkaloud.errors import UserError
from thinkaloud.writers.base import Chat, LanguageModel, Usage, Written
from thinkaloud.writers.cache import Cache, cache_key
from thinkaloud.writers.requests import Lost, Service

ROUNDS = 3  # in which what a batch left unanswered is handed in again
BATCH_REQUESTS, BATCH_BYTES = 10_000, 64 * 2**20  # services take 50,000 and 200 MB at least
POLLS = 0.1, 30.0  # seconds between two looks at a batch, at first and at most


class Asked:
    """A language model that is asked only for what `cache` does not hold; `usage` is what it took since it was made.

    An answer is kept under the model's name, what bounds and draws its text, and the messages: not under the server's
    address, nor the way in which it is asked.
    """

    def __init__(self, model: LanguageModel, options: Asking, cache: Cache) -> None:
        self.model, self.options, self.cache = model, options, cache
        self.name, self.asked, self.usage = model.name, 0, Usage()

    def key(self, chat: Chat) -> bytes:
        """32 bytes that stand for the model, its settings and the messages."""
        return cache_key(self.name, self.options.temperature, self.options.max_tokens, list(map(dict, chat)))

    def ask(self, chats: Sequence[Chat], watch: Callable[[int], None] = lambda chats: None) -> list[Written]:
        """An answer to each chat, in order; `watch` is told how many more are there."""
        keys = list(map(self.key, chats))
        found = self.cache.get(keys)
        missing = {key: chat for key, chat in zip(keys, chats, strict=True) if key not in found}
        watch(len(keys) - len(missing))
        order = list(missing)
        if waiting := sum(map(self.cache.is_pending, order)):
            raise UserError(f"{waiting:,} of the requests are in a batch under way, and paid for: go on with --batch")

        def keep(i: int, written: Written) -> None:
            found[order[i]] = written
            self._keep({order[i]: written})
            watch(1)

        if missing:
            self.model.answer(list(missing.values()), keep)
        return [found[key] for key in keys]

    def _keep(self, answers: Mapping[bytes, Written]) -> None:
        self.cache.put(answers)
        self.asked += len(answers)
        took = [self.usage, *(one.usage for one in answers.values())]
        self.usage = Usage(sum(one.input for one in took), sum(one.output for one in took))

    def missing(self, chats: Iterable[Chat]) -> Iterable[tuple[bytes, Chat]]:
        """What would have to be asked, each chat once."""
        seen: set[bytes] = set()
        for key, chat in ((self.key(chat), chat) for chat in chats):
            if key not in seen and not self.cache.get([key]):
                seen.add(key)
                yield key, chat

    def fill(self, chats: Callable[[], Iterable[Chat]], watch: Callable[[int], None] = lambda chats: None) -> None:
        """Have all the chats answered by the service's batches, those that are under way already among them."""
        model = self.model
        if not isinstance(model, Service):
            raise UserError(f"{self.name} has no batch interface: leave --batch out")
        reasons = []
        for _ in range(ROUNDS):
            before = self.asked
            self._hand_in(model, chats())
            reasons = self._collect(model, watch)
            if not reasons:
                return
            if self.asked == before:
                break
        raise UserError(f"{self.name} left requests of a batch unanswered: {reasons[0]}")

    def _hand_in(self, model: Service, chats: Iterable[Chat]) -> None:
        """Begin batches of what is neither answered nor under way."""
        requests: dict[bytes, dict[str, Any]] = {}
        size = 0
        for key, chat in self.missing(chats):
            if self.cache.is_pending(key):
                continue
            requests[key] = model.request(chat)
            size += len(json.dumps(requests[key])) + 200
            if len(requests) == BATCH_REQUESTS or size > BATCH_BYTES:
                self._begin(model, requests)
                requests, size = {}, 0
        if requests:
            self._begin(model, requests)

    def _begin(self, model: Service, requests: dict[bytes, dict[str, Any]]) -> None:
        batch = model.begin({key.hex(): request for key, request in requests.items()})
        self.cache.begun(batch, model.service, requests)

    def _collect(self, model: Service, watch: Callable[[int], None]) -> list[str]:
        """Wait for the batches of this service and keep their answers; why others have none."""
        reasons, (wait, most) = [], POLLS
        while batches := self.cache.batches(model.service):
            ended = 0
            for batch in batches:
                try:
                    answers = model.collect(batch)
                except Lost as error:
                    answers = iter([("", str(error))])
                if answers is None:
                    continue
                ended += 1
                told = list(answers)
                good = {bytes.fromhex(key): one for key, one in told if isinstance(one, Written)}
                self._keep(good)
                watch(len(good))
                if self.cache.batches(model.service).get(batch):
                    reasons += [why for _, why in told if isinstance(why, str)] or ["they are not among its results"]
                self.cache.over(batch)
            if not ended:
                time.sleep(wait)
                wait = min(most, wait * 1.5)
        return reasons
