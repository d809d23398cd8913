"""Continuous batching: requests of different prompts, vectors, sampling and prefixes share the rows of one engine."""

from abc import abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from thinkaloud.explanation import Explanation
from thinkaloud.rollout.base import Engine, Finished, Prefixes, Prompt, Request, Sampling

_PREFILL_TOKENS = 16384  # read at once


@dataclass(eq=False)
class Row:
    """A response under way."""

    request: Request
    prompt: int
    sample: int
    ids: list[int]
    logprobs: list[float]
    ended: bool = False

    @property
    def length(self) -> int:
        """Tokens of its prompt and its own."""
        return self.request.prompt.length + len(self.ids)


class Scheduler(Engine):
    """The queue of an engine that decodes at most `rows` responses at once.

    Live rows stand together at the front. Rows that have ended make room, and prompts that wait are let in when an
    eighth of the rows is free, as reading a prompt holds up those that are being decoded.
    """

    def __init__(self, rows: int) -> None:
        self.rows = rows
        self.live: list[Row] = []
        self.waiting: deque[Request] = deque()
        self.admitted: dict[Request, int] = {}  # of those that wait: prompts that do not any more

    @abstractmethod
    def check(self, request: Request) -> None:
        """Refuse what cannot be sampled."""

    @abstractmethod
    def admit(self, rows: Sequence[Row], wanted: int, places: int) -> None:
        """Read the prompts of these rows, which are of the same token ids, behind the live ones; draw a first token.

        `wanted` rows of `places` tokens will be needed for all that is known of.
        """

    @abstractmethod
    def decode(self) -> None:
        """At least one token for every live row."""

    @abstractmethod
    def compact(self) -> None:
        """Drop the live rows that have ended, and move the others together."""

    @abstractmethod
    def explanation(self, row: Row) -> Explanation:
        """What a row that has ended says."""

    def submit(
        self, prompt: Prompt, n: int = 1, sampling: Sampling | None = None, prefixes: Prefixes | None = None
    ) -> Request:
        request = Request(prompt, n, sampling or Sampling(), prefixes)
        self.check(request)
        if prompt.n:
            self.waiting.append(request)
            self.admitted[request] = 0
        return request

    def cancel(self, request: Request) -> None:
        if request in self.waiting:
            self.waiting.remove(request)
            del self.admitted[request]
        for row in self.live:
            row.ended |= row.request is request
        with self.running():
            self.compact()

    def advance(self) -> list[Finished]:
        if new := self._next():
            here = len(self.live) + len(new)
            wait = sum(request.n * (request.prompt.n - self.admitted[request]) for request in self.waiting)
            requests = {row.request for row in [*self.live, *new]}.union(self.waiting)
            places = max(request.prompt.length + request.sampling.max_tokens for request in requests)
            self.admit(new, max(here, min(self.rows, here + wait)), places)
            self.live += new
        elif self.live:
            self.decode()
        ended = [row for row in self.live if row.ended]
        finished = [Finished(row.request, row.prompt, row.sample, self.explanation(row)) for row in ended]
        for one in finished:
            one.request.done[one.prompt, one.sample] = one.explanation
        if ended:
            self.compact()
        return finished

    def _next(self) -> list[Row]:
        """Rows of waiting prompts with the same token ids, taken from the queue as far as there is room for them."""
        rows: list[Row] = []
        free, tokens = self.rows - len(self.live), _PREFILL_TOKENS
        if self.live and self.waiting and free - free % self.waiting[0].n < self.rows // 8:
            return rows
        while self.waiting:
            request = self.waiting[0]
            prompt, n, i = request.prompt, request.n, self.admitted[request]
            fits = n <= free or not (self.live or rows)
            if not fits or (rows and (prompt.length > tokens or not _alike(prompt, rows[0].request.prompt))):
                break
            self.admitted[request] += 1
            if self.admitted[request] == prompt.n:
                self.waiting.popleft()
                del self.admitted[request]
            free, tokens = free - n, tokens - prompt.length
            for j in range(n):
                given = [] if request.prefixes is None else list(request.prefixes[i][j])
                rows.append(Row(request, i, j, given, [float("nan")] * len(given)))
        return rows


def _alike(a: Prompt, b: Prompt) -> bool:
    return (a.ids, a.slots, a.injection) == (b.ids, b.slots, b.injection)
