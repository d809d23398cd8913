"""A server with the interfaces of OpenAI and Anthropic, in a thread, that misbehaves as it is told."""

import json
import socket
import struct
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.parser import BytesParser
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

Reply = Callable[["Handler", dict[str, Any]], None]


def said(request: dict[str, Any]) -> str:
    """What is answered to a request by default: features about its last message's last word."""
    return f"- A tale of the sea.\n- Ends on {request['messages'][-1]['content'].split()[-1]}"


def openai_body(text: str | None, finish: str = "stop", refusal: str | None = None) -> dict[str, Any]:
    message = {"role": "assistant", "content": text, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish, "logprobs": None}
    usage = {"prompt_tokens": 100, "completion_tokens": 20, "total_tokens": 120}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def anthropic_body(text: str, stop: str = "end_turn") -> dict[str, Any]:
    content = [{"type": "text", "text": text}] if text else []
    usage = {"input_tokens": 100, "output_tokens": 20}
    head = {"id": "m", "type": "message", "role": "assistant", "model": "m", "stop_sequence": None}
    return {**head, "content": content, "stop_reason": stop, "usage": usage}


def error(status: int, message: str = "no", headers: dict[str, str] | None = None, code: str | None = None) -> Reply:
    body = {"type": "error", "error": {"type": "an_error", "message": message, "code": code}}
    return lambda handler, request: handler.reply(status, body, headers or {})


def answer(text: str | None, finish: str | None = None, refusal: str | None = None) -> Reply:
    def reply(handler: "Handler", request: dict[str, Any]) -> None:
        if handler.kind == "openai":
            handler.reply(200, openai_body(text, finish or "stop", refusal))
        else:
            handler.reply(200, anthropic_body(text or "", finish or "end_turn"))

    return reply


def raw(body: bytes, kind: str = "application/json") -> Reply:
    return lambda handler, request: handler.send(200, body, {"content-type": kind})


def slow(seconds: float) -> Reply:
    def reply(handler: "Handler", request: dict[str, Any]) -> None:
        time.sleep(seconds)
        answer("too late")(handler, request)

    return reply


def cut(handler: "Handler", request: dict[str, Any]) -> None:
    """Half of an answer, and the connection is reset."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 500\r\n\r\n{")
    handler.wfile.flush()
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()
    handler.close_connection = True


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    @property
    def kind(self) -> str:
        return "anthropic" if "anthropic-version" in self.headers else "openai"

    def log_message(self, *_: Any) -> None:
        pass

    def reply(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        self.send(status, json.dumps(body).encode(), {"content-type": "application/json", **(headers or {})})

    def send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
        try:
            self.send_response(status)
            for name, value in {**headers, "content-length": str(len(body))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)
        except OSError:  # who asked has gone
            self.close_connection = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        here = self.server
        with here.lock:
            here.posts.append(self.path)
            here.keys.add(self.headers.get("authorization") or self.headers.get("x-api-key") or "")
        if self.path == "/files":
            given = BytesParser(policy=HTTP).parsebytes(
                b"content-type: " + self.headers["content-type"].encode() + b"\r\n\r\n" + body
            )
            parts = {part.get_param("name", header="content-disposition"): part for part in given.iter_parts()}
            assert parts["purpose"].get_content().strip() == "batch"
            return self.reply(200, here.file(parts["file"].get_payload(decode=True).decode()))
        request = json.loads(body)
        if self.path in ("/batches", "/v1/messages/batches"):
            misbehaving = here.next_reply(here.batch_replies)
            return misbehaving(self, request) if misbehaving else self.reply(200, here.begin(self.kind, request))
        with here.lock:
            here.requests.append(request)
        misbehaving = here.next_reply(here.replies)
        (misbehaving or answer(said(request)))(self, request)

    def do_GET(self) -> None:
        here, (*_, last) = self.server, self.path.split("/")
        with here.lock:
            here.gets.append(self.path)
        if misbehaving := here.next_reply(here.get_replies):
            return misbehaving(self, {})
        if last in here.batches:
            return self.reply(200, here.look(last))
        if last in ("content", "results"):
            name = self.path.split("/")[-2]
            return self.send(200, here.files[name].encode(), {"content-type": "application/x-jsonl"})
        self.reply(404, {"error": {"message": f"no {last}"}})


class Server(ThreadingHTTPServer):
    """Counts what it is asked. `replies` are given to chats in turn before it behaves, `batch_replies` to new batches,
    `get_replies` to looks at batches; `looks` is how often a batch is at work yet, `results` what becomes of a request
    of a batch by its number.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.lock = Lock()
        self.requests: list[dict[str, Any]] = []
        self.posts: list[str] = []
        self.gets: list[str] = []
        self.keys: set[str] = set()
        self.replies: list[Reply] = []
        self.batch_replies: list[Reply] = []
        self.get_replies: list[Reply] = []
        self.files: dict[str, str] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        self.looks = 1
        self.results: dict[int, str] = {}
        self.failed: str | None = None
        self.answered = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def next_reply(self, replies: list[Reply]) -> Reply | None:
        with self.lock:
            return replies.pop(0) if replies else None

    def file(self, text: str) -> dict[str, Any]:
        with self.lock:
            name = f"file-{len(self.files)}"
            self.files[name] = text
        head = {"object": "file", "bytes": len(text), "created_at": 1, "filename": "f", "purpose": "batch"}
        return {"id": name, "status": "processed", **head}

    def begin(self, kind: str, request: dict[str, Any]) -> dict[str, Any]:
        name = f"batch_{len(self.batches)}"
        if kind == "openai":
            lines = list(map(json.loads, self.files[request["input_file_id"]].splitlines()))
            asked = [(line["custom_id"], line["body"]) for line in lines]
        else:
            asked = [(line["custom_id"], line["params"]) for line in request["requests"]]
        self.batches[name] = {"kind": kind, "asked": asked, "looks": self.looks, "request": request}
        return self.look(name)

    def look(self, name: str) -> dict[str, Any]:
        batch = self.batches[name]
        batch["looks"] -= 1
        ended = batch["looks"] < 0
        if batch["kind"] == "openai":
            head = {"id": name, "object": "batch", "created_at": 1, "completion_window": "24h"}
            head |= {"endpoint": "/v1/chat/completions", "input_file_id": "file-0"}
            if ended and self.failed:
                return {**head, "status": "failed", "errors": {"object": "list", "data": [{"message": self.failed}]}}
            files = self.outcome(batch, self.openai_line) if ended else {}
            return {**head, "status": "completed" if ended else "in_progress", **files}
        at = "2026-01-01T00:00:00Z"
        counts = dict.fromkeys(("processing", "succeeded", "errored", "canceled", "expired"), 0)
        head = {"id": name, "type": "message_batch", "created_at": at, "expires_at": at, "request_counts": counts}
        files = self.outcome(batch, self.anthropic_line) if ended else {}
        url = f"{self.url}/v1/messages/batches/{files['output_file_id']}/results" if files else None
        return {**head, "processing_status": "ended" if ended else "in_progress", "results_url": url}

    def outcome(self, batch: dict[str, Any], line: Callable[..., dict[str, Any]]) -> dict[str, str]:
        if "files" not in batch:
            lines = []
            for key, body in reversed(batch["asked"]):
                result = self.results.get(self.answered, "good")
                lines += [line(key, body, result)] if result != "missing" else []
                self.answered += 1
            text = "".join(json.dumps(one) + "\n" for one in lines)
            batch["files"] = {"output_file_id": self.file(text)["id"]}
        return batch["files"]

    @staticmethod
    def openai_line(key: str, body: dict[str, Any], result: str) -> dict[str, Any]:
        if result == "expired":
            failure = {"code": "batch_expired", "message": "it took too long"}
            return {"id": "r", "custom_id": key, "response": None, "error": failure}
        if result == "refused":
            failure = {"error": {"code": "content_filter", "message": "not this"}}
            return {"id": "r", "custom_id": key, "response": {"status_code": 400, "body": failure}, "error": None}
        good = openai_body(said(body)) if result == "good" else {"broken": True}
        return {"id": "r", "custom_id": key, "response": {"status_code": 200, "body": good}, "error": None}

    @staticmethod
    def anthropic_line(key: str, body: dict[str, Any], result: str) -> dict[str, Any]:
        if result == "expired":
            return {"custom_id": key, "result": {"type": "expired"}}
        good = anthropic_body(said(body))
        if result == "refused":
            good = anthropic_body("I had rather not.", "refusal")
        if result == "broken":
            good = {"broken": True}
        return {"custom_id": key, "result": {"type": "succeeded", "message": good}}


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
