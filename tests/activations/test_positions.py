"""Positions are chosen by document alone, and read as a person means them."""

import numpy as np
import pytest
import tiny
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import AddedToken

from thinkaloud.activations import choose_positions, parse_positions
from thinkaloud.activations.positions import allowed_positions, special_ids
from thinkaloud.errors import UserError


@given(st.integers(0, 5), st.text(), st.sets(st.integers(0, 500)), st.integers(1, 20), st.integers(0, 900))
def test_a_choice_is_a_sorted_sample_and_the_same_again(
    seed: int, doc: str, allowed: set[int], n: int, window: int
) -> None:
    chosen = choose_positions(seed, doc, sorted(allowed), n, window)
    assert chosen == sorted(set(chosen))
    assert set(chosen) <= allowed
    assert len(chosen) == min(n, len(allowed))
    assert chosen == choose_positions(seed, doc, sorted(allowed), n, window)


def test_the_choice_hangs_on_seed_document_and_window() -> None:
    chosen = {
        tuple(choose_positions(seed, doc, range(50, 1000), 10, window))
        for seed in range(3)
        for doc in ("a", "b", "c")
        for window in (0, 300)
    }
    assert len(chosen) == 18
    assert choose_positions(0, "a", range(5), None) == [0, 1, 2, 3, 4]
    # Fixed for good: data taken by different versions can be merged.
    assert choose_positions(0, "doc", range(50, 1000), 5) == [229, 443, 602, 719, 763]


def test_every_position_is_as_likely() -> None:
    counts = np.zeros(20)
    for i in range(2000):
        counts[choose_positions(1, f"doc-{i}", range(20), 5)] += 1
    assert (np.abs(counts / 2000 - 0.25) < 0.05).all()


def test_special_tokens_markers_and_early_positions_are_not_allowed() -> None:
    tokenizer = tiny.tokenizer()
    tokenizer.add_tokens([AddedToken("<tool_call>"), AddedToken("[INST]"), AddedToken("\n\n\n"), AddedToken("<|x|>")])
    special = special_ids(tokenizer)
    names = set(tokenizer.convert_ids_to_tokens(special.tolist()))
    assert {tiny.BOS, tiny.END, tiny.USER, tiny.ASSISTANT, "<tool_call>", "[INST]", "<|x|>"} <= names
    assert not {"\n\n\n", "</expl", tiny.MARKER} & names
    ids = tokenizer("ab<|user|>cd<tool_call>ef")["input_ids"]
    assert allowed_positions(ids, special, 0).tolist() == [1, 2, 4, 5, 7, 8]
    assert allowed_positions(ids, special, 5).tolist() == [5, 7, 8]
    assert allowed_positions(ids, special, 50).tolist() == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("all", [0, 1, 2, 3, 4]),
        ("last", [4]),
        ("0,-1", [0, 4]),
        ("2:", [2, 3, 4]),
        (":-3", [0, 1]),
        ("-2:", [3, 4]),
        ("1:3, 4, 1", [1, 2, 4]),
        ("3:100", [3, 4]),
        (2, [2]),
        ([-1, 0, 4], [0, 4]),
    ],
)
def test_positions_as_a_person_writes_them(spec: str | int | list[int], expected: list[int]) -> None:
    assert parse_positions(spec, 5) == expected


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("5", "position 5 is outside the text: it has 5 tokens, 0 to 4"),
        ("-6", "position -6 is outside"),
        ("first", "positions must be all, last, indices like 0,-1 or ranges like 50:, found 'first'"),
        ("", "found ''"),
        ("1,,2", "found ''"),
        ("1:2:3", "found '1:2:3'"),
        ("50:", "no position left: '50:' names none of the text's 5 tokens"),
        ([], "no position left"),
        ([1.5], "a position must be a whole number, found 1.5"),
        ([True], "a position must be a whole number, found True"),
    ],
)
def test_what_is_no_position_is_one_line(spec: str | list[int], message: str) -> None:
    with pytest.raises(UserError) as error:
        parse_positions(spec, 5)
    assert message in str(error.value)


@given(st.text(alphabet="0123456789-:, alst", max_size=12), st.integers(0, 30))
def test_any_text_is_positions_or_one_line(spec: str, n_tokens: int) -> None:
    try:
        found = parse_positions(spec, n_tokens)
    except UserError:
        return
    assert found == sorted(set(found))
    assert set(found) <= set(range(n_tokens))


@given(st.integers(-40, 40), st.integers(-40, 40), st.integers(1, 30))
def test_ranges_are_pythons(start: int, stop: int, n_tokens: int) -> None:
    expected = list(range(n_tokens))[start:stop]
    if expected:
        assert parse_positions(f"{start}:{stop}", n_tokens) == expected
    else:
        with pytest.raises(UserError):
            parse_positions(f"{start}:{stop}", n_tokens)
