"""Requests to services: errors that pass are tried again with jitter, several requests under way at once."""

import importlib
import json
import math
import os
import random
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from email.utils import parsedate_to_datetime
from functools import cached_property
from threading import Event
from time import time
from typing import Any, ClassVar, TypeVar

from thinkaloud.config.data import Asking
from thinkaloud.errors import UserError
from thinkaloud.writers.base import Chat, Written

T = TypeVar("T")
PASSING = (408, 409, 425, 429)  # with all from 500 on
FIRST, MOST = 0.5, 60.0  # seconds before the second try; the wait doubles from one to the next
PATIENCE = 600.0  # seconds that a service may ask to be left alone


class Malformed(Exception):
    """An answer that is not of the service's form."""


class Refused(Exception):
    """A request that the service turns down because of what its text says."""


class Lost(Exception):
    """A batch that will never be answered, and why."""


class Service(ABC):
    """A language model behind an official SDK, which is imported and given its key when it is first asked."""

    name: str
    package: ClassVar[str]
    variable: ClassVar[str]  # of the environment, with the key
    address: ClassVar[str]  # of the environment, with another server's

    def __init__(self, model: str, options: Asking) -> None:
        self.model, self.options, self.name = model, options, f"{self.package}:{model}"

    @abstractmethod
    def request(self, chat: Chat) -> dict[str, Any]: ...

    @abstractmethod
    def send(self, request: Mapping[str, Any]) -> str:
        """The body of the answer to a request, once; errors are those of the SDK."""

    @abstractmethod
    def read(self, body: Any) -> Written:
        """The answer in a body."""

    @abstractmethod
    def connect(self, **how: Any) -> Any:
        """The SDK's client."""

    @abstractmethod
    def begin(self, requests: Mapping[str, dict[str, Any]]) -> str:
        """Hand in requests by key as a batch; returns its id."""

    @abstractmethod
    def collect(self, batch: str) -> Iterator[tuple[str, Written | str]] | None:
        """(key, answer, or why there is none) of a batch that has ended, or is `Lost`; None while it is at work."""

    def refused(self, error: Any) -> str | None:
        """Why the text of a request is to blame for an error of the SDK, where it is."""
        return None

    @cached_property
    def sdk(self) -> Any:
        try:
            return importlib.import_module(self.package)
        except ModuleNotFoundError:
            lacking = f"the writer {self.package} needs the package {self.package}"
            raise UserError(f"{lacking}: pip install 'thinkaloud[writers]'") from None

    @property
    def url(self) -> str | None:
        """The server's address where it is not the service's own."""
        return self.options.base_url or os.environ.get(self.address) or None

    @cached_property
    def client(self) -> Any:
        key = os.environ.get(self.variable)
        if not key and not self.url:
            raise UserError(f"{self.name} needs a key in {self.variable}, or another server by --base-url")
        how = {"api_key": key or "none", "base_url": self.url, "timeout": self.options.timeout}
        return self.connect(**how, max_retries=0)  # they are tried again here

    @property
    def service(self) -> str:
        """Where it is asked, without what an address may hold of a secret."""
        return f"{self.package} {self.client.base_url.host}"

    def answer(self, chats: Sequence[Chat], keep: Callable[[int, Written], None]) -> None:
        """See `LanguageModel.answer`."""
        _ = self.client  # made once, before there are threads
        concurrently(lambda i, stop: self.one(self.request(chats[i]), stop), len(chats), self.options.concurrency, keep)

    def one(self, request: Mapping[str, Any], stop: Event) -> Written:
        """The answer to one request; of one that is refused or stays malformed, the reason."""
        try:
            return self.call(lambda: self.parse(self.send(request)), stop)
        except Malformed as error:
            return Written(str(error), "malformed")
        except Refused as error:
            return Written("", f"refused: {error}")

    def parse(self, body: str | Mapping[str, Any]) -> Written:
        """The answer in a body, as text or parsed; `Malformed` where there is none."""
        try:
            return self.read(json.loads(body) if isinstance(body, str) else body)
        except (ValueError, LookupError, TypeError, AttributeError):  # whatever a foreign shape leads to
            raise Malformed(self.clean(body if isinstance(body, str) else json.dumps(body))) from None

    def call(self, act: Callable[[], T], stop: Event | None = None, costly: bool = False) -> T:
        """`act()`, tried again after an error that passes; one that is `costly` only where it surely did nothing."""
        stop, what, tries = stop or Event(), "", self.options.tries
        for tried in range(1, tries + 1):
            try:
                return act()
            except Malformed:
                if tried == tries:
                    raise
                asked, undone = None, False
            except Exception as error:
                what, asked, undone = self.passing(error)
            if costly and not undone:
                raise UserError(f"{self.name} {what}: look there whether it was begun before running this again")
            if asked is not None and asked > PATIENCE:
                raise UserError(f"{self.name} asks to be left alone for {asked:.0f} s: run the same command then")
            if tried < tries:
                wait = min(MOST, FIRST * 2 ** (tried - 1)) if asked is None else asked
                stop.wait(wait * random.uniform(1, 1.25))
            if stop.is_set():
                break
        times = f"{tries} tries" if tries > 1 else "1 try"
        raise UserError(f"{self.name} {what}; {times}: what was answered is kept, the same command goes on")

    def passing(self, error: Any) -> tuple[str, float | None, bool]:
        """Of an error that passes what it is, the seconds to wait if it says so, and whether surely nothing was done.

        Raises `Refused` or UserError for one of the SDK that does not pass, and others as they are.
        """
        if isinstance(error, self.sdk.APIStatusError):
            status, what = error.status_code, f"answers {error.status_code}: {self.clean(message_of(error))}"
            if (why := self.refused(error)) is not None:
                raise Refused(why) from None
            if status not in PASSING and status < 500:
                raise UserError(f"{self.name} {what}") from None
            return what, retry_after(error.response.headers), status == 429
        if isinstance(error, self.sdk.APITimeoutError):
            return f"does not answer within {self.options.timeout:g} s (--timeout)", None, False
        # What breaks while a long body is read comes from the SDK's transport as it is.
        transport = type(error).__module__.partition(".")[0] in ("httpx", "httpx2")
        if transport or isinstance(error, self.sdk.APIConnectionError):
            return f"cannot be reached: {self.clean(str(error.__cause__ or error))}", None, False
        raise error

    def batch(self, batches: Any, batch: str) -> Any:
        """What the service says of a batch; `Lost` where it knows none."""

        def act() -> Any:
            try:
                return batches.retrieve(batch)
            except self.sdk.NotFoundError:
                raise Lost(f"the batch {batch} is not there any more") from None

        return self.call(act)

    def clean(self, text: str) -> str:
        """A service's words in one line, without the key should it repeat it."""
        key = os.environ.get(self.variable)
        text = " ".join(text.split())
        return (text.replace(key, "…") if key else text)[:500]


def message_of(error: Any) -> str:
    """What a service says of an error of its SDK."""
    body = error.body if isinstance(error.body, dict) else {}
    inner = body.get("error", body)
    return str(inner.get("message") or error.message) if isinstance(inner, dict) else str(inner)


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that a response asks to wait, as a number or a date."""
    try:
        if "retry-after-ms" in headers:
            return _seconds(float(headers["retry-after-ms"]) / 1000)
        return _seconds(float(headers["retry-after"]))
    except KeyError:
        return None
    except ValueError:
        try:
            return _seconds(parsedate_to_datetime(headers["retry-after"]).timestamp() - time())
        except (ValueError, KeyError):
            return None


def _seconds(value: float) -> float | None:
    return max(0.0, value) if math.isfinite(value) else None


def concurrently(act: Callable[[int, Event], T], n: int, workers: int, keep: Callable[[int, T], None]) -> None:
    """`keep(i, act(i))` for i below n, `workers` at a time and `keep` in this thread.

    After an error or an interrupt none is begun any more, but what is under way is paid for, so it is kept first.
    """
    stop, failure = Event(), None
    with ThreadPoolExecutor(workers) as pool:
        left = {pool.submit(act, i, stop): i for i in range(n)}
        while left:
            try:
                for future in as_completed(list(left)):
                    keep(left.pop(future), future.result())
            except BaseException as error:
                if failure is not None and isinstance(error, KeyboardInterrupt):
                    raise  # told twice
                failure = failure or error
                stop.set()
                left = {future: i for future, i in left.items() if not future.cancel()}
    if failure is not None:
        raise failure
