"""The messages of a chat are found among its tokens, whatever the template puts around them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud.pair.turns import Turn, turns

CHAT = [{"role": "user", "content": "Hi there"}, {"role": "assistant", "content": "Good day."}]
CHATML = ["<|im_start|>", "user", "\n", "Hi", " there", "<|im_end|>", "\n", "<|im_start|>", "assistant", "\n"]
CHATML += ["Good", " day", ".", "<|im_end|>", "\n"]


@pytest.mark.parametrize(
    ("tokens", "cut"),
    [
        (["<|bos|>", "<|user|>", "Hi", " there", "<|end|>", "<|assistant|>", "Good", " day", ".", "<|end|>"], 5),
        (
            CHATML,
            6,
        ),
        (["<s>", "[INST]", " Hi", " there", "[/INST]", " Good", " day", ".", "</s>"], 4),
        (["<|bos|>", "<|user|>", "Hi th", "ere<|end|>", "<|assistant|>", "Good day."], 4),
    ],
    ids=["pocket", "chatml", "inst", "merged"],
)
def test_a_chat_is_cut_where_its_messages_meet(tokens: list[str], cut: int) -> None:
    assert turns(tokens, CHAT) == [Turn("user", 0, cut), Turn("assistant", cut, len(tokens))]


def test_characters_split_over_tokens_do_not_hide_a_message() -> None:
    messages = [{"role": "user", "content": "Zoë 🎈 flew"}, {"role": "assistant", "content": "Yes"}]
    tokens = ["<|user|>", "Zo", "�", "�", " �", "�", " flew", "<|end|>", "<|assistant|>", "Yes", "<|end|>"]
    assert [turn.start for turn in turns(tokens, messages)] == [0, 8]


def test_a_plain_text_and_a_chat_that_was_rewritten_stay_whole() -> None:
    assert turns(["a", "b"], "ab") == [Turn("", 0, 2)]
    assert turns(["a", "b"], CHAT) == [Turn("", 0, 2)]
    assert turns([], "") == [Turn("", 0, 0)]


MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant"]), "content": st.text(min_size=1, max_size=12)}
    ),
    max_size=4,
)


@given(MESSAGES, st.data())
def test_turns_follow_one_another_without_gaps(messages: list[dict[str, str]], data: st.DataObject) -> None:
    tokens = [t for m in messages for t in (f"<|{m['role']}|>", *m["content"], "<|end|>")]
    found = turns(tokens, messages)
    assert found[0].start == 0
    assert found[-1].end == len(tokens)
    assert all(left.end == right.start for left, right in pairwise(found))
