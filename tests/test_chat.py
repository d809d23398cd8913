"""A chat is the same text on any day."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
import tiny

from thinkaloud.activations.corpus import Document
from thinkaloud.activations.tokens import encode
from thinkaloud.chat import chat_ids, chat_text
from thinkaloud.contract import check_marker, find_marker, hash_ids

CHAT = [{"role": "user", "content": "Hello."}]
DATED = {
    "asks the clock": "{% set today = strftime_now('%d %b %Y') %}Today Date: {{ today }}\n",
    "unless it is told": "{% if not day is defined %}{% if strftime_now is defined %}{% set day = strftime_now(\n"
    '"%d %b %Y") %}{% else %}{% set day = "never" %}{% endif %}{% endif %}Today Date: {{ day }}\n',
    "by the part": "Today Date: {{ strftime_now(format='%d') ~ strftime_now(' %b ') ~ strftime_now(\"%Y\") }}\n",
}


@pytest.fixture
def tomorrow(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Called, it moves the clock that chat templates read on by a day."""

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return datetime.now(tz) + timedelta(days=1)

    return lambda: monkeypatch.setattr("transformers.utils.chat_template_utils.datetime", Clock)


@pytest.mark.parametrize("dated", DATED.values(), ids=DATED)
def test_a_template_that_tells_the_date_writes_the_same_tomorrow(dated: str, tomorrow: Callable[[], None]) -> None:
    tok = tiny.tokenizer()
    tok.chat_template = tiny.CHAT_TEMPLATE.replace("<|bos|>", "<|bos|>" + dated)
    by_itself = tok.apply_chat_template(CHAT, tokenize=False)
    prompt, _, marker = find_marker(tok, tiny.AV_TEMPLATE, tiny.MARKER)
    contract = tiny.av_contract(tok, marker=marker, prompt_hash=hash_ids(prompt))
    read = encode(tok, [Document("chat", messages=tuple(CHAT))])
    tomorrow()
    assert tok.apply_chat_template(CHAT, tokenize=False) != by_itself, "the clock moves"
    assert check_marker(contract, tok)[0] == prompt
    assert tok.decode(prompt).startswith("<|bos|>Today Date: 26 Jul 2024\n<|user|>What is held in [")
    assert encode(tok, [Document("chat", messages=tuple(CHAT))]) == read == [chat_ids(tok, CHAT)]
    assert chat_text(tok, CHAT, generation_prompt=True) == (
        "<|bos|>Today Date: 26 Jul 2024\n<|user|>Hello.<|end|><|assistant|>"
    )
