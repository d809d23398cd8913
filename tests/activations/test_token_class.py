"""Every token of every kind of vocabulary is put into the one class it belongs to."""

from functools import partial
from typing import Any

import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken, Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from thinkaloud.activations.positions import special_ids
from thinkaloud.activations.token_class import CLASSES, class_of, token_class
from thinkaloud.activations.tokens import Reader


@pytest.fixture(scope="module")
def sentencepiece() -> Any:
    """A vocabulary that writes ▁ for a space and <0x0A> for a byte."""
    words = ["<unk>", "<s>", "▁the", "▁", "re", "▁12", "<0x0A>", "<0xE6>", "<0xBD>", "<0x41>", "."]
    core = Tokenizer(
        models.BPE(vocab={w: i for i, w in enumerate(words)}, merges=[], byte_fallback=True, unk_token="<unk>")
    )
    core.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    core.add_special_tokens([AddedToken("<s>", special=True)])
    return PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", unk_token="<unk>")


@pytest.mark.parametrize(
    ("text", "before", "after", "kind"),
    [
        (" ", "", "", "whitespace"),
        ("\n\n", "end", "Next", "whitespace"),
        ("\u3000\t", "", "", "whitespace"),
        (".", "end", " Next", "punctuation"),
        ('."', "", "", "punctuation"),
        (" —", "", "", "punctuation"),
        (" the", "in", " sea", "whole word"),
        (" the", "in", "refore", "word piece"),
        ("refore", " the", ".", "word piece"),
        ("The", "\n", " sea", "whole word"),
        ("The", '"', ",", "whole word"),
        ("'t", " don", " go", "word piece"),
        ("'t", " ", "is", "word piece"),
        ("'tis", " ", " so", "whole word"),
        ("é", "caf", "", "word piece"),
        ("e\u0301", " ", "t", "word piece"),
        (" word.", "a", "B", "whole word"),
        ("3rd", " ", " of", "whole word"),
        ("12", " ", "3", "number"),
        (" 3.14", "", "", "number"),
        ("½", "", "", "number"),
        ("+", "", "", "symbol"),
        (" $", "", "5", "symbol"),
        ("🌊", "", "", "symbol"),
        (").$", "", "", "symbol"),
        ("", "", "", "symbol"),
        ("\ufffd", "caf", "", "byte piece"),
    ],
)
def test_classes_by_text_and_neighbours(text: str, before: str, after: str, kind: str) -> None:
    assert class_of(text, before, after) == kind


def classed(tokenizer: Any, token: int, before: int | None = None, after: int | None = None) -> str:
    """The class of a token between two others, or at the border of the text."""
    left, right = ([] if one is None else [one] for one in (before, after))
    special = set(special_ids(tokenizer).tolist())
    return token_class([*left, token, *right], len(left), Reader(tokenizer), special)


@given(st.text(max_size=8), st.text(max_size=3), st.text(max_size=3))
def test_every_token_has_a_class_and_only_parts_of_characters_are_byte_pieces(
    text: str, before: str, after: str
) -> None:
    found = class_of(text, before, after)
    assert found in CLASSES
    assert (found == "byte piece") == ("\ufffd" in text)
    if "\ufffd" not in text and any(char.isalpha() for char in text):
        assert found in ("whole word", "word piece")


def test_a_byte_level_vocabulary() -> None:
    tokenizer = tiny.tokenizer()
    classes, ids = partial(classed, tokenizer), tokenizer.get_vocab()
    assert classes(ids["<|user|>"]) == "special"
    assert classes(ids["Ġ"]) == "whitespace"
    assert classes(ids["Ċ"]) == "whitespace"
    assert classes(ids["a"], ids["Ġ"], ids["."]) == "whole word"
    assert classes(ids["a"], ids["Ġ"], ids["b"]) == "word piece"
    assert classes(ids["a"], ids["<|user|>"], ids["<|end|>"]) == "whole word"  # a marker's letters are no word
    assert classes(ids["Ã"]) == "byte piece"
    assert classes(ids[tiny.MARKER]) == "symbol"  # an added token stands for itself, not for bytes


def test_a_sentencepiece_vocabulary_with_byte_fallback(sentencepiece: Any) -> None:
    classes, ids = partial(classed, sentencepiece), sentencepiece.get_vocab()
    found = {token: classes(i) for token, i in ids.items()}
    assert found == {
        "<unk>": "special",
        "<s>": "special",
        "▁the": "whole word",
        "▁": "whitespace",
        "re": "whole word",
        "▁12": "number",
        "<0x0A>": "whitespace",
        "<0xE6>": "byte piece",
        "<0xBD>": "byte piece",
        "<0x41>": "whole word",
        ".": "punctuation",
    }
    assert classes(ids["▁the"], None, ids["re"]) == "word piece"
    assert classes(ids["re"], ids["▁the"], ids["▁"]) == "word piece"
    assert classes(ids["re"], ids["<0xE6>"], None) == "whole word"
