"""What the rules say of a text, kind by kind: who acts, how it is put, what was asked, what an answer is doing."""

import pytest

from thinkaloud.writers import Context, explain_context
from thinkaloud.writers.claims import by_kind, parse

NOVEL = (
    'The captain put down his pipe. "There is a storm behind the harbour," he said, "and my brother is at sea." '
    'Billy looked at the window. He thought of the boat and of his mother.\n\n"Will you go out?" asked Billy.\n\n'
    '"I shall go," answered the captain, "when the boat comes out of the'
)


def claims(prefix: str, token: str = "", is_chat: bool = False) -> dict[str, str]:
    return by_kind(parse(explain_context(Context(prefix, token, (), is_chat))))


def test_who_acts_on_whom_is_told_of_what_stands_before_the_quotation():
    said = claims(
        "Yesterday the old sailor had painted the boat. " + "It was so and so again and again and again and it was so"
    )
    assert (said["subject"], said["verb"], said["object"]) == ("sailor", "had painted", "boat")
    assert said["opening"] == "It was so"
    assert "subject" not in claims("Yesterday the old sailor had painted the boat.")


@pytest.mark.parametrize(
    ("kind", "prefix", "value"),
    [
        ("tense", "He came and saw the gate, and the dogs ran when she went past them that day.", "past"),
        ("tense", "It is a good plan, and it has friends who are sure that it is what we have now.", "present"),
        ("register", "If thou hast seen him, thou canst say what he did when he came to the gate.", "archaic"),
        ("register", "I'm sure you don't know it, but we can't go there and I'll tell you why now.", "conversational"),
        ("person", "She took her hat, and she said that the house was hers.", "she"),
        ("person", "She took her hat, and he took his.", None),
        ("number", "In 1969 there were 12 of them, and all of the others that had come went home again", "12"),
        ("number", "In 12 towns in 1969, and all of the others that had come went home again", "1969 as a year"),
        ("number", "They sold 3 of them for $40 and all of the others that had come went home again", "40 as a price"),
        ("quantity", "Only 1 of them", None),
        ("beginning", "The", "the very"),
        ("beginning", "The old house stood by", "near the"),
        ("beginning", NOVEL, None),
        ("language", "def f(x):\n    return self.x\n\nimport os\nfor a in b:\n", "Python"),
        ("language", "let mut a = Vec::new();\npub fn read(x: &mut A) -> Result<A> {\n  println!(a);\n", "Rust"),
        ("language", "Доброе утро! Сегодня хорошая погода", "Cyrillic"),
        ("language", "Il est venu avec nous dans les rues de la ville pour voir ce que le roi dit", "French"),
        ("language", NOVEL, None),
    ],
)
def test_how_a_text_is_put(kind: str, prefix: str, value: str | None):
    assert claims(prefix).get(kind) == value


CHATML = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM.<|im_end|>\n<|im_start|>user\n"
WATER = f"{CHATML}Why is water wet?<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("prefix", "value"),
    [
        ("", "not begun"),
        ("Water is", "just begun"),
        ("Sorry, I", "refusing"),
        ("Yes, of course it is", "saying yes"),
        ("No, it is not so", "saying no"),
        ("What do you mean by wet?", "asking back"),
        ("It sticks to the skin because", "giving reasons"),
        ("It is:\n- soft\n- cold", "listing item two"),
        ("Count them: 3 + 4 =", "calculating"),
        ("Water is a liquid at room", "in one sentence"),
    ],
)
def test_what_an_answer_is_doing(prefix: str, value: str):
    assert claims(WATER + prefix, is_chat=True)["answer"] == value


@pytest.mark.parametrize(
    ("prefix", "token", "expected"),
    [
        ("<|im_start|>", "<|im_start|>", {"token": "the start of the turn"}),
        ("", "<|im_start|>", {"token": "the start of the turn", "beginning": "the very"}),
        ("", "<|endoftext|>", {"token": "the start of the text", "beginning": "the very"}),
        ("system", "system", {"token": '"system"', "role": "a speaker", "speaker": "system"}),
        (CHATML[:-1], "user", {"token": '"user"', "role": "a speaker", "speaker": "user"}),
        (CHATML, "\n", {"token": "a line break", "role": "after the start of the user's turn", "turn": "first"}),
        (
            f"{CHATML}Why is water wet?<|im_end|>",
            "<|im_end|>",
            {"container": "between turns", "question": "why water wet"},
        ),
        (f"{CHATML}Why is water wet?<|im_end|>\n", "\n", {"container": "between turns", "question": "why water wet"}),
        (WATER[:-7], "ass", {"token": '"ass"', "role": "a speaker", "container": "between turns"}),
        (WATER[:-1], "istant", {"token": '"istant"', "role": "a speaker", "speaker": "assistant"}),
        (
            f"{CHATML}Name three fruits.<|im_end|>\n",
            "\n",
            {"question": "name fruits", "container": "between turns"},
        ),
        (WATER, "\n", {"speaker": "assistant", "answer": "not begun", "question": "why water wet"}),
        (WATER.removeprefix("<|im_start|>"), "\n", {"speaker": "assistant", "question": "why water wet"}),
    ],
)
def test_chats_of_another_template_and_their_markers(prefix: str, token: str, expected: dict[str, str]):
    said = claims(prefix, token, is_chat=True)
    assert {kind: said.get(kind) for kind in expected} == expected
