"""Explanations by a language model: a prompt about each context, and the features in its answer, a line each."""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.resources import files

from thinkaloud.config.data import Asking
from thinkaloud.contract import CLOSE, OPEN
from thinkaloud.errors import UserError
from thinkaloud.explanation import unwrap
from thinkaloud.writers.asked import Asked
from thinkaloud.writers.base import Chat, Context, Written
from thinkaloud.writers.cache import cache_key

LINE_TOKENS, LINES = 25, 3  # what the package's prompt asks for, for estimates
_PLACE = re.compile(r"\{(text|token|next)\}")
_MARK = re.compile(r"^(?:[-–*•·]|\(?\d{1,2}[.)])\s+")


class PromptedWriter:
    """Has a language model explain contexts; `lost` counts those without an explanation by the reason for it."""

    def __init__(self, model: Asked, options: Asking, watch: Callable[[int], None] = lambda rows: None) -> None:
        self.model, self.options, self.watch = model, options, watch
        self.template, self.sees_next = prompt_of(options), options.show_next
        told = [self.template, options.chars, options.show_next, options.max_tokens, options.temperature]
        self.name = f"{model.name}/{cache_key(*told).hex()[:8]}"
        self.lost: Counter[str] = Counter()

    def chat(self, context: Context) -> Chat:
        """What the model is told of a context."""
        said = {"text": context.prefix[-self.options.chars :], "token": json.dumps(context.token, ensure_ascii=False)}
        likely = context.next_tokens if self.options.show_next else ()
        shown = ", ".join(f"{json.dumps(word, ensure_ascii=False)} {p:.2f}" for word, p in likely)
        said["next"] = shown and f"What the model itself finds likeliest next: {shown}"
        prompt = _PLACE.sub(lambda place: said[place[1]], self.template)
        return [{"role": "user", "content": prompt.strip()}]

    def write(self, contexts: Sequence[Context]) -> list[str | None]:
        """One text for each context; None where the model refused, or what it wrote is of no use."""
        read = list(map(features, self.model.ask(list(map(self.chat, contexts)), self.watch)))
        self.lost.update(one.refusal.partition(":")[0] for one in read if one.refusal)
        return [None if one.refusal else one.text for one in read]


def prompt_of(options: Asking) -> str:
    """The package's prompt, or the one in a person's file; UserError where that does not show the text."""
    if options.prompt is None:
        return files("thinkaloud.writers").joinpath("prompt.txt").read_text(encoding="utf-8")
    try:
        prompt = options.prompt.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise UserError(f"{options.prompt} is not a text in UTF-8: expected a prompt with {{text}} in it") from None
    if "{text}" not in prompt:
        raise UserError(f"the prompt in {options.prompt} shows no text: write {{text}} where it belongs")
    return prompt


def features(written: Written) -> Written:
    """An answer as an explanation: what stands between the tags if there are any, a feature a line, without bullets,
    numbers and a line that only announces them. Malformed where no words are left, or tags inside.
    """
    if written.refusal:
        return written
    lines = [_MARK.sub("", line.strip()) for line in unwrap(written.text).splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].endswith(":"):
        del lines[0]
    text = "\n".join(lines)
    good = any(map(str.isalnum, text)) and OPEN not in text and CLOSE not in text
    return Written(text, None if good else "malformed", written.usage)
