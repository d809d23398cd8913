"""Chat models in this process: greedy answers, a batch of chats at a time."""

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

from thinkaloud.config.data import Asking
from thinkaloud.errors import UserError
from thinkaloud.writers.base import Chat, Usage, Written, models


@models
class Local:
    """`local:MODEL`, any chat model that loads, by name or folder; it is loaded when it is first asked."""

    name = "local"

    def __init__(self, model: str, options: Asking) -> None:
        for option in ("temperature", "base_url"):
            if getattr(options, option):
                raise UserError(f"local:{model} is greedy and in this process: leave --{option.replace('_', '-')} out")
        self.model, self.options, self.name = model, options, f"local:{model}"

    def request(self, chat: Chat) -> dict[str, Any]:
        return {"model": self.model, "messages": list(map(dict, chat)), "max_tokens": self.options.max_tokens}

    @cached_property
    def loaded(self) -> tuple[Any, Any]:
        """The model and its tokenizer."""
        from thinkaloud.loading import load_causal_lm, load_tokenizer

        tokenizer = load_tokenizer(self.model)
        if tokenizer.chat_template is None:
            raise UserError(f"{self.model} has no chat template: local writes with a chat model")
        return load_causal_lm(self.model, self.options.device), tokenizer

    def answer(self, chats: Sequence[Chat], keep: Callable[[int, Written], None]) -> None:
        """See `LanguageModel.answer`."""
        from thinkaloud import families
        from thinkaloud.chat import chat_ids
        from thinkaloud.models.lm import greedy

        model, tokenizer = self.loaded
        most, room = self.options.max_tokens, families.context_length(model)
        prompts = [chat_ids(tokenizer, chat, generation_prompt=True) for chat in chats]
        if (longest := max(map(len, prompts), default=0)) + most > room:
            raise UserError(
                f"a prompt of {longest} tokens and {most} of an answer do not fit into the {room} of {self.name}: "
                "lower --chars or --max-tokens"
            )
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        size = self.options.concurrency
        for start in range(0, len(order), size):
            some = order[start : start + size]
            made = greedy(model, tokenizer, [prompts[i] for i in some], most)
            for i, one in zip(some, made, strict=True):
                text = tokenizer.decode(one.ids, skip_special_tokens=True).strip()
                why = "cut off" if one.cut else None if text else "empty"
                keep(i, Written(text, why, Usage(len(prompts[i]), len(one.ids))))
