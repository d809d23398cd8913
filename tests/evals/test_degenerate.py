"""Loops, debris, other scripts and page furniture are told from prose; how often, on texts labelled by hand."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud.errors import UserError
from thinkaloud.evals.degenerate import (
    CLASSES,
    classify,
    disorder,
    glued,
    half_words,
    load_labelled,
    precision,
    stretch,
)

ORDINARY = (
    "Third-person narrative, about the forest, the forest and the forest.\n"
    'Midway in a main clause: "the forest was the forest"\n'
    'Ends on "forest", a noun; next is likely "of", or "in".'
)


@pytest.mark.parametrize(
    ("text", "label"),
    [
        (ORDINARY, "fine"),
        ("The word is λόγος, that is reason or word, and the lecture goes on about Heraclitus.", "fine"),
        ("A list is read out: 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12. Next is 13.", "fine"),
        ("", "garbled"),
        ("It computes 48/2=24, then 24+48=72, so the total is x=72.", "fine"),
        ("12", "fine"),
        ("I love the game. " + "Haha! " * 9, "repetition"),
        ("It is about the " + "master-" * 12, "repetition"),
        ("more than 1" + "0" * 40, "repetition"),
        ("shop\ufffd\ufffd of\ufffd the \ufffdn", "garbled"),
        ("copper gratitude ladder Wilhelm exemption jackets diagonal Lutheran yearning sip", "garbled"),
        ("Текст о задаче, ответ восемнадцать.", "other script"),
        ("🎉🔥💯 fun 🙏😂🚀", "other script"),
        ("Skip to content | Menu | Home | Log in | Sign up", "page furniture"),
        ("https://example.org/a https://example.org/b", "page furniture"),
    ],
)
def test_each_class(text: str, label: str) -> None:
    assert classify(text) == label


@given(st.text(max_size=300))
def test_any_text_has_a_class(text: str) -> None:
    assert classify(text) in CLASSES


def test_the_labelled_set_is_large_and_in_two_halves() -> None:
    rows = load_labelled(split=None)
    assert len(rows) >= 1300
    assert len({row["text"] for row in rows}) == len(rows)
    assert set(Counter(row["label"] for row in rows)) == set(CLASSES)
    assert sum(row["source"].startswith(("pocket", "SmolLM2")) for row in rows) > len(rows) / 3
    halves = [load_labelled(split=split) for split in ("dev", "test")]
    assert sum(map(len, halves)) == len(rows)
    assert all(len(half) > 0.45 * len(rows) for half in halves)
    good = Counter(row["style"] for row in rows if row["label"] == "fine")
    assert len(good) >= 12
    assert min(good.values()) >= 25


def test_precision_on_the_held_out_half() -> None:
    found = {record["class"]: record for record in precision(load_labelled())}
    for name in CLASSES[1:]:
        assert found[name]["precision"].value > 0.9
        assert found[name]["recall"].value > 0.75
    assert found["fine"]["recall"].value > 0.95


def test_good_texts_of_every_style_are_fine() -> None:
    by_style: defaultdict[str, list[bool]] = defaultdict(list)
    for row in load_labelled():
        if row["label"] == "fine":
            by_style[row["style"]].append(classify(row["text"]) == "fine")
    right = {style: sum(fine) / len(fine) for style, fine in by_style.items()}
    assert min(right.values()) >= 0.95, right
    assert all(len(by_style[style]) >= 55 for style in ("noun phrases", "code", "mixed"))


@pytest.mark.parametrize(
    ("measure", "text", "low", "high"),
    [
        (half_words, "we sat by the river and the boats went by", 0, 0),
        (half_words, "we sat briaretee the rivelour and teh boastn went by", 0.05, 0.1),
        (half_words, "see config.yaml_old and `qzx`, at https://exmpl.org/qwrt", 0, 0),
        (glued, "PyTorch, MongoDB and GitHub", 0, 0.1),
        (glued, "call getUserName on the OrderService", 0, 0),
        (glued, "the oneSundiesNow or;ite and suchIndler.then to", 0.15, 1),
        (disorder, "The old boat lay on the shingle, and the tide came in.", -2, -0.4),
        (disorder, "lay and the the on boat tide shingle in came the old", 0.05, 2),
        (stretch, "hydraulic pump seal material inspection interval table", 0, 0),
        (stretch, "copper gratitude ladder exemption jackets diagonal yearning lantern quarry sip", 0.2, 0.2),
    ],
)
def test_measures_of_what_is_broken(measure: Callable[[str], float], text: str, low: float, high: float) -> None:
    assert low <= measure(text) <= high


def test_precision_counts_what_it_should() -> None:
    rows = [
        {"text": ORDINARY, "label": "fine"},
        {"text": "no " * 20, "label": "repetition"},
        {"text": "so " * 20, "label": "repetition"},
        {"text": "no " * 20, "label": "fine"},
        {"text": "so " * 20, "label": "fine"},
        {"text": ORDINARY, "label": "garbled"},
    ]
    found = {record["class"]: record for record in precision(rows)}
    assert found["repetition"]["found"] == 4
    assert found["repetition"]["precision"].value == 0.5
    assert found["repetition"]["recall"].value == 1
    assert 0 < found["repetition"]["recall"].low < 1  # two texts alone prove little
    assert found["garbled"]["recall"].value == 0
    assert found["other script"]["labelled"] == 0


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: expected a JSON object with text and label"),
        ('{"text": "a"}', "line 1: expected a JSON object with text and label"),
        ('{"text": "a", "label": "odd"}', "no class 'odd'"),
        ("", "holds no labelled texts"),
    ],
)
def test_labels_that_cannot_be_used(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "l.jsonl").write_text(f"{line}\n" if line else "")
    with pytest.raises(UserError, match=message):
        load_labelled(str(tmp_path / "l.jsonl"))


def test_labels_of_ones_own_need_no_split(tmp_path: Path) -> None:
    (tmp_path / "l.jsonl").write_text(json.dumps({"text": "So.", "label": "fine"}) + "\n")
    assert len(load_labelled(str(tmp_path / "l.jsonl"))) == 1
    with pytest.raises(UserError, match="cannot be read"):
        load_labelled(str(tmp_path / "none.jsonl"))
