"""The pocket tokenizer keeps every text, splits numbers into digits, and knows a chat, the marker and the tags."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud import contract
from thinkaloud.config.train import AR_TEMPLATE, AV_TEMPLATE
from thinkaloud.explanation import wrap
from thinkaloud.loading import load_tokenizer
from thinkaloud.pocket import corpus
from thinkaloud.pocket.chat import BOS, END, ROLES, render
from thinkaloud.pocket.tokenizer import CONTEXT, MARKER, VOCABULARY, train

SIZE = 600
TEXTS = [corpus.as_text(document) for document in corpus.world(0, 150)]
TOKENIZER = train(TEXTS, SIZE)

any_text = st.text(st.characters(codec="utf-8"))
# Text of a message that holds no tag of the template, which would be read as one.
content = any_text.filter(lambda text: "<|" not in text)
chats = st.lists(st.fixed_dictionaries({"role": st.sampled_from(ROLES), "content": content}), min_size=1, max_size=4)


def ids(text: str, tokenizer: Any = TOKENIZER) -> list[int]:
    return tokenizer(text, add_special_tokens=False)["input_ids"]


def pieces(text: str) -> list[str]:
    return [TOKENIZER.decode([i]) for i in ids(text)]


@given(any_text)
def test_every_text_comes_back(text: str) -> None:
    with_bos = TOKENIZER(text)["input_ids"]
    assert with_bos == [TOKENIZER.bos_token_id, *ids(text)]
    assert TOKENIZER.decode(with_bos) == BOS + text


@given(st.text("0123456789 ,.abé", max_size=30))
def test_a_number_is_its_digits(text: str) -> None:
    tokens = pieces(text)
    assert [token for token in tokens if any(c.isdigit() for c in token)] == [c for c in text if c.isdigit()]


def test_common_words_are_one_token_and_rare_ones_are_not() -> None:
    assert pieces(" the") == [" the"]
    assert len(pieces(" the quixotic")) > 2
    assert len(ids(" ".join(TEXTS))) < len(" ".join(TEXTS)) / 2


@given(chats)
def test_a_chat_is_the_same_tokens_by_template_and_as_text(messages: list[dict[str, str]]) -> None:
    by_template = TOKENIZER.apply_chat_template(messages, return_dict=True)["input_ids"]
    assert by_template == TOKENIZER(render(messages))["input_ids"]
    assert by_template.count(TOKENIZER.bos_token_id) == 1
    assert by_template.count(TOKENIZER.eos_token_id) == len(messages)
    assert TOKENIZER.decode(by_template) == BOS + render(messages)


def test_a_chat_asks_for_an_answer() -> None:
    messages = [{"role": "user", "content": "Hello"}]
    asked = TOKENIZER.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    assert asked == "<|bos|><|user|>Hello<|end|><|assistant|>"


def test_special_tokens() -> None:
    special = [BOS, END, *(f"<|{role}|>" for role in ROLES)]
    assert [ids(token) for token in special] == [[i] for i in range(len(special))]
    assert TOKENIZER.all_special_ids == list(range(len(special)))
    assert (TOKENIZER.bos_token, TOKENIZER.eos_token, TOKENIZER.pad_token) == (BOS, END, END)
    assert TOKENIZER.decode(ids("".join(special)), skip_special_tokens=True) == ""
    assert TOKENIZER.model_max_length == CONTEXT


@pytest.mark.parametrize("token", [MARKER, contract.OPEN, contract.CLOSE])
def test_the_marker_and_the_tags_are_one_plain_token_anywhere(token: str) -> None:
    (alone,) = ids(token)
    assert alone not in TOKENIZER.all_special_ids
    for text in (f"a{token}b", f" {token} ", f"({token})", f"<|user|>{token}<|end|>", f"7{token}7"):
        assert ids(text).count(alone) == 1
    assert TOKENIZER.decode(ids(f"a {token} b"), skip_special_tokens=True) == f"a {token} b"


def test_the_prompt_of_an_av_finds_its_marker() -> None:
    prompt, places, marker = contract.find_marker(TOKENIZER, AV_TEMPLATE, MARKER)
    assert [marker.token_id] == ids(MARKER)
    assert [i for i, token in enumerate(prompt) if token == marker.token_id] == places
    (place,) = places
    around = TOKENIZER.decode(prompt[place - 20 : place]), TOKENIZER.decode(prompt[place + 1 : place + 20])
    assert around[0].endswith("<activation>")
    assert around[1].startswith("</activation>")
    assert TOKENIZER.decode(prompt).startswith("<|bos|><|user|>")
    assert TOKENIZER.decode(prompt).endswith("<|end|><|assistant|>")


def test_a_response_is_opened_and_closed_by_one_token_each() -> None:
    response = ids(wrap("Ends on a noun."))
    assert [response[0], response[-1]] == [*ids(contract.OPEN), *ids(contract.CLOSE)]


def test_the_prompt_of_an_ar_ends_the_same_whatever_is_explained() -> None:
    ends = {tuple(TOKENIZER(AR_TEMPLATE.replace("{explanation}", text))["input_ids"][-5:]) for text in TEXTS[:50]}
    assert len(ends) == 1


def test_the_same_text_gives_the_same_tokenizer() -> None:
    again = train(iter(TEXTS), SIZE)
    assert again.backend_tokenizer.to_str() == TOKENIZER.backend_tokenizer.to_str()
    assert train(TEXTS[:75], SIZE).backend_tokenizer.to_str() != TOKENIZER.backend_tokenizer.to_str()


def test_as_many_tokens_as_were_asked_for() -> None:
    assert len(TOKENIZER) == SIZE
    assert max(TOKENIZER.get_vocab().values()) == SIZE - 1
    assert len(train(TEXTS[:5])) < VOCABULARY, "a short text has no more to merge"


def test_it_is_saved_and_loaded(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(str(tmp_path))
    loaded = load_tokenizer(tmp_path)
    text = f"Room 123, <|user|>{MARKER} where?<|end|>{wrap('so')}"
    assert loaded(text)["input_ids"] == TOKENIZER(text)["input_ids"]
    messages = [{"role": "user", "content": "Hello"}]
    assert (
        loaded.apply_chat_template(messages, return_dict=True)["input_ids"] == TOKENIZER(render(messages))["input_ids"]
    )
    assert (loaded.bos_token, loaded.eos_token, loaded.pad_token) == (BOS, END, END)
    assert loaded.all_special_ids == TOKENIZER.all_special_ids
    assert loaded.model_max_length == CONTEXT
