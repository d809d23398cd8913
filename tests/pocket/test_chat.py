"""The chat template gives a tokenizer exactly the text that `render` gives."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jinja2.exceptions import TemplateError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from thinkaloud.errors import UserError
from thinkaloud.pocket.chat import BOS, CHAT_TEMPLATE, ROLES, render


def by_template(messages: list[dict[str, str]], add_generation_prompt: bool = False) -> str:
    """As Hugging Face tokenizers render a template: a sandbox that trims blocks and can raise."""

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = raise_exception
    template = environment.from_string(CHAT_TEMPLATE)
    return template.render(messages=messages, add_generation_prompt=add_generation_prompt)


chats = st.lists(st.fixed_dictionaries({"role": st.sampled_from(ROLES), "content": st.text()}), max_size=5)


@given(chats)
def test_template_and_render_agree(messages: list[dict[str, str]]) -> None:
    assert by_template(messages) == BOS + render(messages)
    assert by_template(messages, add_generation_prompt=True) == BOS + render(messages) + "<|assistant|>"


def test_a_chat_as_text() -> None:
    messages = [{"role": "user", "content": "Where is Anna?"}, {"role": "assistant", "content": "In the\ngarden."}]
    assert render(messages) == "<|user|>Where is Anna?<|end|><|assistant|>In the\ngarden.<|end|>"


def test_a_foreign_role_is_refused() -> None:
    messages = [{"role": "tool", "content": "7"}]
    with pytest.raises(UserError, match="expected a role, system, user, assistant; found 'tool'"):
        render(messages)
    with pytest.raises(TemplateError, match="found tool"):
        by_template(messages)
