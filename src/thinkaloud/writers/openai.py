"""Language models of OpenAI and of servers with its interface, as vLLM's: chat completions, batches by files."""

import io
import json
from collections.abc import Iterator, Mapping
from typing import Any

from thinkaloud.writers.base import Chat, Usage, Written, models
from thinkaloud.writers.requests import Lost, Malformed, Service, message_of

COUNTED = ("prompt_tokens", "completion_tokens")
ENDED = ("completed", "expired", "cancelled", "failed")
BLAMED = ("content_filter", "content_policy_violation")  # codes of errors that are about a text


@models
class OpenAI(Service):
    """`openai:MODEL`."""

    name = package = "openai"
    variable, address = "OPENAI_API_KEY", "OPENAI_BASE_URL"

    def connect(self, **how: Any) -> Any:
        return self.sdk.OpenAI(**how)

    def request(self, chat: Chat) -> dict[str, Any]:
        # OpenAI's newer models know the one name only, older servers of others the other.
        limit = "max_tokens" if self.url else "max_completion_tokens"
        asked = {"model": self.model, "messages": list(map(dict, chat)), limit: self.options.max_tokens}
        if self.options.temperature is not None:
            asked["temperature"] = self.options.temperature
        return asked

    def send(self, request: Mapping[str, Any]) -> str:
        return self.client.chat.completions.with_raw_response.create(**request).http_response.text

    def read(self, body: Any) -> Written:
        choice, used = body["choices"][0], body.get("usage") or {}
        text, usage = choice["message"].get("content") or "", Usage(*(int(used.get(name) or 0) for name in COUNTED))
        if choice["message"].get("refusal"):
            return Written(text, f"refused: {self.clean(choice['message']['refusal'])}", usage)
        if choice.get("finish_reason") == "content_filter":
            return Written(text, "refused: content filter", usage)
        if choice.get("finish_reason") == "length":
            return Written(text, "cut off", usage)
        return Written(text, None if text.strip() else "empty", usage)

    def refused(self, error: Any) -> str | None:
        return self.clean(message_of(error)) if getattr(error, "code", None) in BLAMED else None

    def begin(self, requests: Mapping[str, dict[str, Any]]) -> str:
        url = "/v1/chat/completions"
        lines = ({"custom_id": key, "method": "POST", "url": url, "body": body} for key, body in requests.items())
        file = "".join(json.dumps(line) + "\n" for line in lines).encode()
        files, batches = self.client.files, self.client.batches
        given = self.call(lambda: files.create(file=("requests.jsonl", io.BytesIO(file)), purpose="batch"))
        how: dict[str, Any] = {"endpoint": url, "completion_window": "24h"}
        return self.call(lambda: batches.create(input_file_id=given.id, **how), costly=True).id

    def collect(self, batch: str) -> Iterator[tuple[str, Written | str]] | None:
        found = self.batch(self.client.batches, batch)
        if found.status not in ENDED:
            return None
        if found.status == "failed":
            errors = (found.errors and found.errors.data) or []
            raise Lost(self.clean(" ".join(error.message or "" for error in errors)) or "it failed")
        return self._answers([id for id in (found.output_file_id, found.error_file_id) if id])

    def _answers(self, files: list[str]) -> Iterator[tuple[str, Written | str]]:
        for file in files:
            text = self.call(lambda file=file: self.client.files.content(file).text)
            for line in map(json.loads, text.splitlines()):
                yield line["custom_id"], self._answer(line)

    def _answer(self, line: Mapping[str, Any]) -> Written | str:
        body = (line.get("response") or {}).get("body") or {}
        error = line.get("error") or body.get("error")
        if not error:
            try:
                return self.parse(body)
            except Malformed as malformed:
                return Written(str(malformed), "malformed")
        said = self.clean(str(error.get("message") or error.get("code")))
        return Written("", f"refused: {said}") if error.get("code") in BLAMED else said
