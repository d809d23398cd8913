"""Probes read where they say, before the text gives the answer away, and count right what they find."""

import json
import re
from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
import tyro
from hypothesis import given
from hypothesis import strategies as st
from pocket.world_reader import read_quantities

from thinkaloud import extract
from thinkaloud.activations.forward import Pass
from thinkaloud.pocket import probe
from thinkaloud.pocket import tokenizer as pocket_tokenizer
from thinkaloud.pocket.probe import (
    WORDINGS,
    Probed,
    fitted,
    last_before,
    places,
    question_of,
    settled_token,
    solved,
    table,
)
from thinkaloud.pocket.world import FAMILIES, SPLITS, Episode, Fact, episode, episodes, wordings
from thinkaloud.site import Site

SITE = Site("resid_post", 2)


@cache
def tokenizer() -> Any:
    """Words in several pieces, as a small vocabulary has them."""
    return pocket_tokenizer.train([episode(seed).text for seed in range(300)], 700)


@cache
def model() -> Any:
    tok = tokenizer()
    named = {name: getattr(tok, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    return tiny.model("llama", vocab_size=len(tok), max_position_embeddings=1024, **named)


def drawn(family: str, n: int) -> list[Episode]:
    return [episode(seed, family, split) for split in SPLITS for seed in range(n)]


def ends_of(text: str) -> list[int]:
    return [end for _, end in tokenizer()(text, return_offsets_mapping=True)["offset_mapping"]]


# "She has 12 pens." in the tokens [bos] "She" " has" " 1" "2" " pens" "."
TEXT, ENDS = "She has 12 pens.", [0, 3, 7, 9, 10, 15, 16]


@pytest.mark.parametrize(
    ("known_from", "stated_at", "settled", "before"),
    [
        (3, 8, 1, 2),  # the number begins inside " 1", which is passed over
        (7, 10, 2, 4),  # and here a token ends just where it is stated
        (10, 11, 4, 4),
        (8, 11, 3, 4),
        (1, 4, 1, 1),  # settled inside a token: the whole of it has to be read
        (15, 16, 5, 6),
        (16, 16, 6, 6),
    ],
)
def test_tokens_by_hand(known_from: int, stated_at: int, settled: int, before: int) -> None:
    fact = Fact("f", "x", known_from, stated_at)
    assert settled_token(ENDS, fact) == settled
    assert last_before(ENDS, fact) == before
    (first, *second) = places(Episode("rules", TEXT, (fact,), None, "w", "train"), ENDS)
    assert first == ("f", "x", "settled", settled)
    assert second == [("f", "x", "before stated", before)]


def test_a_fact_never_stated_or_stated_within_its_own_token_has_one_place() -> None:
    facts = (Fact("place:Vera:2", "x", 7, None), Fact("next", "y", 2, 6))
    found = list(places(Episode("places", TEXT, facts, None, "w", "train"), [0, 1, 7, 16]))
    assert found == [("place", "x", "settled", 2), ("next", "y", "settled", 2)]


@given(st.lists(st.integers(1, 9), min_size=1, max_size=40), st.data())
def test_tokens_however_the_text_is_cut(lengths: list[int], data: st.DataObject) -> None:
    ends = [0, *accumulate(lengths)]
    known = data.draw(st.integers(1, ends[-1]))
    stated = data.draw(st.integers(known, ends[-1]))
    fact = Fact("f", "x", known, stated)
    settled, before = settled_token(ends, fact), last_before(ends, fact)
    assert ends[settled - 1] < known <= ends[settled], "one token fewer does not settle it"
    assert ends[before] <= stated, "nothing of the value is read"
    assert before == len(ends) - 1 or ends[before + 1] > stated, "one token more would read some of it"


@pytest.mark.parametrize("family", FAMILIES)
def test_no_place_before_the_statement_holds_any_of_the_value(family: str) -> None:
    stated = 0
    for made in drawn(family, 60):
        ids = tokenizer()(made.text)["input_ids"]
        for name, value, at, index in places(made, ends_of(made.text)):
            # What has been read at this token, put together from the tokens rather than from offsets.
            read = tokenizer().decode(ids[1 : index + 1])
            less = tokenizer().decode(ids[1:index])
            assert made.text.startswith(read)
            facts = [fact for fact in made.facts if fact.name.split(":")[0] == name and fact.value == value]
            if at == "settled":
                assert any(len(less) < fact.known_from <= len(read) for fact in facts)
            else:
                more = len(tokenizer().decode(ids[1 : index + 2]))
                told = [f for f in facts if f.stated_at is not None and len(read) <= f.stated_at < more]
                assert told
                assert all(f.known_from <= len(read) for f in told)
                stated += 1
    assert stated > 60


@pytest.mark.parametrize("split", SPLITS)
def test_a_question_is_all_but_the_working(split: str) -> None:
    kinds = {True: 0, False: 0}
    for seed in range(150):
        made = episode(seed, "problems", split)
        question = question_of(made)
        assert made.text.startswith(question)
        assert all(fact.known_from < len(question) <= (fact.stated_at or 0) for fact in made.facts)
        told = question.removesuffix("<|end|><|assistant|>") if made.messages else question.removesuffix("\n")
        assert told.endswith("?")
        assert told != question
        assert "=" not in question
        assert re.match(r"(First: |We get )?\d+ [-+*/] \d+ = ", made.text[len(question) :])
        kinds[made.messages is not None] += 1
    assert min(kinds.values()) > 30


def reference(some: list[Episode]) -> dict[tuple[str, str, str], list[tuple[str, torch.Tensor]]]:
    """(value, vector) at every place, taken one text at a time by the extraction; tokens are found by decoding."""
    found: dict[tuple[str, str, str], list[tuple[str, torch.Tensor]]] = {}
    tok = tokenizer()
    for made in some:
        ids = tok(made.text)["input_ids"]
        read = [len(tok.decode(ids[1 : i + 1])) for i in range(len(ids))]
        vectors = extract(model(), [made.text], SITE, "all", tok).vectors
        assert len(vectors) == len(ids)
        for fact in made.facts:
            name = fact.name.split(":")[0]
            settled = min(i for i, length in enumerate(read) if length >= fact.known_from)
            found.setdefault((made.family, name, "settled"), []).append((fact.value, vectors[settled]))
            if fact.stated_at is not None:
                before = max(i for i, length in enumerate(read) if length <= fact.stated_at)
                if before >= settled:
                    found.setdefault((made.family, name, "before stated"), []).append((fact.value, vectors[before]))
    return found


def test_rows_are_the_vectors_of_an_extraction() -> None:
    some = [made for family in FAMILIES for made in drawn(family, 2)]
    found, wanted = probe.rows(Pass(model(), SITE), tokenizer(), some), reference(some)
    assert found.keys() == wanted.keys()
    assert {family for family, _, _ in found} == set(FAMILIES)
    assert {at for _, _, at in found} == set(probe.AT)
    for key, (vectors, values) in found.items():
        assert vectors.shape == (len(wanted[key]), 32)
        assert values.tolist() == [value for value, _ in wanted[key]]
        np.testing.assert_allclose(vectors, torch.stack([v for _, v in wanted[key]]).numpy(), rtol=1e-4, atol=1e-4)


def planted(n: int, seed: int, signal: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Vectors with one of three values on directions of their own, under noise and on very different scales."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 3, n)
    x = rng.normal(size=(n, 12))
    x[:, :3] += signal * np.eye(3)[values]
    return (x * np.logspace(-3, 3, 12)).astype(np.float32), np.array(["red", "green", "blue"])[values]


def test_a_probe_finds_what_is_planted_and_nothing_else() -> None:
    x, y = planted(600, 0)
    x_new, y_new = planted(300, 1)
    assert (fitted(x, y).predict(x_new) == y_new).mean() > 0.9
    shuffled = np.random.default_rng(2).permutation(y)
    assert (fitted(x, shuffled).predict(x_new) == y_new).mean() < 0.5
    nothing, new = planted(600, 3, signal=0.0), planted(300, 4, signal=0.0)
    assert (fitted(*nothing).predict(new[0]) == new[1]).mean() < 0.5


def test_every_probe_is_fitted_on_train_and_read_on_held_out_episodes(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str, str, frozenset[str]]] = []
    x_train, y_train = planted(600, 5)
    x_held, y_held = planted(300, 6)
    y_held = np.where(np.arange(300) < 150, y_held, "violet")  # a value that train never has is always missed

    def rows(run: Pass, tok: Any, some: list[Episode]) -> dict[tuple[str, str, str], tuple[np.ndarray, np.ndarray]]:
        (family,), (split,) = {made.family for made in some}, {made.split for made in some}
        (new,) = {made.wording in wordings(family, "heldout") for made in some}
        seen.append((split, "new" if new else "known", frozenset(made.text for made in some)))
        x, y = (x_train, y_train) if split == "train" else (x_held, y_held)
        found = {(family, "planted", "settled"): (x, y), (family, "constant", "settled"): (x, np.full(len(x), "one"))}
        return found | ({(family, "rare", "settled"): (x, y)} if split == "train" else {})

    monkeypatch.setattr(probe, "rows", rows)
    found = probe.probe(model(), tokenizer(), SITE, 7, 24)
    wanted = [(family, "planted", "settled", wording) for family in FAMILIES for wording in WORDINGS]
    assert [(p.family, p.fact, p.at, p.wording) for p in found] == wanted
    kinds = [("train", "known"), ("heldout", "known"), ("heldout", "new")]
    assert [(split, wording) for split, wording, _ in seen] == kinds * len(FAMILIES)
    assert len(set().union(*(texts for *_, texts in seen))) == (7 + 24) * len(FAMILIES), "no episode is in two"
    for one in found:
        assert (one.values, one.n_train, one.n) == (3, 600, 300)
        assert one.majority == 0.5  # violet, by construction
        assert 0.45 < one.accuracy <= 0.5


class Solver(torch.nn.Module):
    """As much of a model as writes an answer: what `say` gives for a question."""

    config, layers = tiny.CONFIGS["llama"](), ()

    def __init__(self, say: Callable[[str], str]) -> None:
        super().__init__()
        self.say = say
        self.asked: list[str] = []

    def parameters(self, recurse: bool = True) -> Iterator[torch.nn.Parameter]:
        return iter([torch.nn.Parameter(torch.zeros(1))])

    def generate(self, ids: torch.Tensor, **options: Any) -> torch.Tensor:
        assert options["attention_mask"].equal(torch.ones_like(ids))
        assert options["do_sample"] is False
        assert tokenizer().eos_token_id in options["eos_token_id"]
        assert int(ids[0, 0]) == tokenizer().bos_token_id
        self.asked.append(tokenizer().decode(ids[0, 1:]))
        said = tokenizer()(self.say(self.asked[-1]), add_special_tokens=False)["input_ids"]
        return torch.cat([ids, torch.tensor([said[: options["max_new_tokens"]]])], dim=1)


def answer(question: str) -> int:
    """What a careful reader works out."""
    return read_quantities(question)[-1]


@pytest.mark.parametrize(
    ("say", "share"),
    [
        (lambda q: f"It is so.\n#### {answer(q)}<|end|>", 1.0),
        (lambda q: f"####{answer(q)}", 1.0),
        (lambda q: f"#### {answer(q) + 1}", 0.0),
        (lambda q: f"#### {answer(q)}0", 0.0),
        (lambda q: f"#### -{answer(q)}", 0.0),
        (lambda q: f"The answer is {answer(q)}.", 0.0),  # without its mark an answer is none
        (lambda q: "", 0.0),
        (lambda q: f"#### {answer(q) + 1}\n#### {answer(q)}", 0.0),  # the first answer counts
    ],
    ids=["right", "close", "wrong", "longer", "negative", "unmarked", "silent", "second"],
)
def test_an_answer_is_right_or_wrong(say: Callable[[str], str], share: float) -> None:
    assert solved(Solver(say), tokenizer(), 12) == share


def test_the_share_of_right_answers() -> None:
    solver = Solver(lambda q: f"#### {answer(q) if len(solver.asked) % 4 else 0}")
    assert solved(solver, tokenizer(), 20) == 0.75
    asked = [question_of(made) for made in episodes(2_000_003, 20, "heldout", ["problems"])]
    assert sorted(solver.asked) == sorted(asked)
    other = Solver(lambda q: f"#### {answer(q)}")
    assert solved(other, tokenizer(), 20, seed=1) == 1
    assert set(other.asked).isdisjoint(solver.asked)
    short = Solver(lambda q: f"{'so ' * 90}#### {answer(q)}")
    assert solved(short, tokenizer(), 4, max_tokens=20) == 0.0


def test_a_table() -> None:
    found = [
        Probed("rules", "rule", "settled", "known", 0.514, 0.25, 8, 90, 40),
        Probed("rules", "rule", "settled", "new", 0.4, 0.21, 8, 90, 30),
        Probed("rules", "rule", "before stated", "known", 0.996, 0.25, 8, 90, 40),
        Probed("places", "place", "settled", "known", 0.5, 0.126, 10, 90, 40),
        Probed("places", "asked", "before stated", "new", 1.0, 0.1, 9, 90, 40),
    ]
    assert table(found).splitlines() == [
        "| family | fact | values | settled, known wording | settled, new wording "
        "| before stated, known wording | before stated, new wording | commonest value |",
        "|---|---|---|---|---|---|---|---|",
        "| rules | rule | 8 | 0.51 | 0.40 | 1.00 |  | 0.25 |",
        "| places | place | 10 | 0.50 |  |  |  | 0.13 |",
        "| places | asked | 9 |  |  |  | 1.00 | 0.10 |",
    ]


def test_the_command_prints_the_tables_and_writes_the_figures(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model().save_pretrained(str(tmp_path / "model"))
    tokenizer().save_pretrained(str(tmp_path / "model"))
    out = tmp_path / "probes.json"
    sizes = ["--train", "12", "--heldout", "8", "--problems", "2", "--layer", "2"]
    tyro.cli(probe.main, args=["--model", str(tmp_path / "model"), *sizes, "--out", str(out)])
    printed = capsys.readouterr().out
    figures = json.loads(out.read_text())
    found = [Probed(**one) for one in figures["probes"]]
    assert table(found) in printed
    assert "word problems answered right: 0.0 % of 2" in printed, "random weights do not count"
    assert {one.family for one in found} == set(FAMILIES)
    assert all(0 <= one.accuracy <= 1 and 0 < one.majority <= 1 for one in found)
    counted = {wording: {p.n for p in found if (p.family, p.wording) == ("couplets", wording)} for wording in WORDINGS}
    assert all(len(counts) == 1 for counts in counted.values())
    assert sum(n for counts in counted.values() for n in counts) == 8
