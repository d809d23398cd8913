"""A chat as its template writes it, text or token ids, on a fixed date."""

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

DATE = datetime(2024, 7, 26)
"""What `strftime_now` gives in a chat template, so that prompts and readings are the same on any day: the date on which
templates of the Llama 3 family fall back. M can be told another one in the chat itself."""

_NOW = re.compile(r"""\bstrftime_now\(\s*(?:format\s*=\s*)?(['"])(.*?)\1\s*\)""")


def chat_ids(tokenizer: Any, messages: Sequence[Mapping[str, Any]], generation_prompt: bool = False) -> list[int]:
    """Token ids of a chat. Template and tokenizer go in one step: two would double the BOS of some families."""
    return list(_applied(tokenizer, messages, generation_prompt, tokenize=True, return_dict=True)["input_ids"])


def chat_text(tokenizer: Any, messages: Sequence[Mapping[str, Any]], generation_prompt: bool = False) -> str:
    """A chat as text, special tokens written out."""
    return _applied(tokenizer, messages, generation_prompt, tokenize=False)


def _applied(tokenizer: Any, messages: Sequence[Mapping[str, Any]], generation_prompt: bool, **how: Any) -> Any:
    # The date goes into the template's text: Transformers hands no function of ours on to a template.
    dated = _NOW.sub(lambda call: repr(DATE.strftime(call[2])), tokenizer.get_chat_template())
    return tokenizer.apply_chat_template(
        list(messages), chat_template=dated, add_generation_prompt=generation_prompt, **how
    )
