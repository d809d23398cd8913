"""Language models of Anthropic: messages, and batches of them."""

from collections.abc import Iterator, Mapping
from typing import Any

from thinkaloud.writers.base import Chat, Usage, Written, models
from thinkaloud.writers.requests import Malformed, Service, message_of

COUNTED = ("input_tokens", "output_tokens")
BLAMED = "content filtering"  # in the message of an error that is about a text; it has no code of its own


@models
class Anthropic(Service):
    """`anthropic:MODEL`."""

    name = package = "anthropic"
    variable, address = "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"

    def connect(self, **how: Any) -> Any:
        return self.sdk.Anthropic(**how)

    def request(self, chat: Chat) -> dict[str, Any]:
        system = [message["content"] for message in chat if message["role"] == "system"]
        messages = [dict(message) for message in chat if message["role"] != "system"]
        asked = {"model": self.model, "messages": messages, "max_tokens": self.options.max_tokens}
        if system:
            asked["system"] = "\n\n".join(system)
        if self.options.temperature is not None:
            asked["temperature"] = self.options.temperature
        return asked

    def send(self, request: Mapping[str, Any]) -> str:
        # Versions of the SDK from 2 on take no temperature; the service says itself whether the model does.
        more = {name: value for name, value in request.items() if name == "temperature"}
        known = {name: value for name, value in request.items() if name not in more}
        return self.client.messages.with_raw_response.create(**known, extra_body=more or None).http_response.text

    def read(self, body: Any) -> Written:
        text = "".join(block["text"] for block in body["content"] if block["type"] == "text")
        usage = Usage(*(int(body["usage"].get(name) or 0) for name in COUNTED))
        if body["stop_reason"] == "refusal":
            return Written(text, "refused", usage)
        if body["stop_reason"] in ("max_tokens", "model_context_window_exceeded"):
            return Written(text, "cut off", usage)
        return Written(text, None if text.strip() else "empty", usage)

    def refused(self, error: Any) -> str | None:
        return self.clean(message_of(error)) if BLAMED in message_of(error) else None

    def begin(self, requests: Mapping[str, dict[str, Any]]) -> str:
        lines = [{"custom_id": key, "params": body} for key, body in requests.items()]
        return self.call(lambda: self.client.messages.batches.create(requests=lines), costly=True).id

    def collect(self, batch: str) -> Iterator[tuple[str, Written | str]] | None:
        batches = self.client.messages.batches
        if self.batch(batches, batch).processing_status != "ended":
            return None
        lines = self.call(lambda: [line.to_dict(mode="json") for line in batches.results(batch)])
        return ((line["custom_id"], self._answer(line["result"])) for line in lines)

    def _answer(self, result: Any) -> Written | str:
        if result["type"] != "succeeded":
            error = result.get("error") or {}
            said = self.clean(str((error.get("error") or error).get("message") or result["type"]))
            return Written("", f"refused: {said}") if BLAMED in said else said
        try:
            return self.parse(result["message"])
        except Malformed as malformed:
            return Written(str(malformed), "malformed")
