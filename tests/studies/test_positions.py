"""First mentions are what they are in constructed texts whose truth is known, and a run resumes."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pytest

from thinkaloud import NLA, UserError
from thinkaloud.pocket.mention import Mention, words
from thinkaloud.studies.folder import Folder
from thinkaloud.studies.page import render
from thinkaloud.studies.positions import Positions
from thinkaloud.studies.positions import run as positions
from thinkaloud.studies.positions.analysis import along, bin_of
from thinkaloud.studies.positions.analysis import facts_named as facts_table
from thinkaloud.studies.positions.analysis import words_named as words_table
from thinkaloud.studies.positions.mentions import (
    NEVER,
    WHEN,
    Records,
    facts_named,
    when,
    words_named,
)
from thinkaloud.studies.results import Read, Results

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def word(*numbers: int) -> str:
    """A word for each combination of numbers, that is no function word."""
    return "".join("q" + LETTERS[n // 26] + LETTERS[n % 26] for n in numbers)


def said(id: str, position: int, text: str, family: str = "f", mse: float = 0.5) -> dict[str, Any]:
    return {"id": id, "family": family, "position": position, "text": text, "mse": mse}


def known(name: str, value: str, settled: int, stated: int | None) -> dict[str, Any]:
    return {"name": name, "value": value, "settled": settled, "stated": stated}


def text_of(id: str, text: str, facts: Records = (), family: str = "f") -> dict[str, Any]:
    """A text of which every word with the space before it is a token."""
    tokens = re.findall(r"\s*\S+", text)
    ends = np.cumsum([len(token) for token in tokens]).tolist()
    places = list(range(len(tokens)))
    read = {"id": id, "family": family, "text": text, "ids": places, "tokens": tokens, "ends": ends}
    return {**read, "places": places, "facts": facts}


def written(make: Callable[[Results], None]) -> Read:
    """Results as they come out of their file."""
    results = Results("positions")
    make(results)
    with TemporaryDirectory() as folder:
        results.write(Path(folder))
        return Read(Path(folder))


def table_of(facts: Records) -> list[dict[str, Any]]:
    return written(lambda results: facts_table(results, pd.DataFrame(facts)))["facts"]


@pytest.mark.parametrize(
    ("value", "text", "named"),
    [
        ("12", "It comes to twelve.", True),
        ("12", "It comes to 120 or 1.2.", False),
        ("office", "In the Office.", True),
        ("office", "The officer's offices", False),
        ("count up", "They count\nup by one", True),
        ("count up", "They account up", False),
        ("-um", "ends on drum", True),
        ("-um", "ends on number", False),
        ("-um", "ends on thumb", True),  # it rhymes, and the world says so
        ("May", "may come", True),
        ("office", "", False),
    ],
)
def test_a_value_is_named_as_a_whole(value: str, text: str, named: bool) -> None:
    assert Mention(text).names(value) is named


def with_fact(t: int, named_at: Sequence[int], length: int = 20) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """A text that settles its own animal at token 6 and states it at token 14, named at some positions."""
    text = text_of(f"t{t}", " ".join(f"w{i}" for i in range(length)), [known("animal", word(t), 6, 14)])
    spoken = [
        said(text["id"], p, f"Prose about {word(t) if p in named_at else 'nothing'} here.") for p in range(length)
    ]
    return text, spoken


def test_a_fact_named_five_tokens_before_it_is_stated() -> None:
    made = [with_fact(t, [9, 15]) for t in range(4)]
    facts = facts_named([text for text, _ in made], [one for _, some in made for one in some])
    for row in facts:
        assert (row["settled"], row["named"], row["stated"]) == (6, 9, 14)
        assert (row["before"], row["chance"], row["stands"]) == (True, 0.0, False)
    assert table_of(facts)[0]["difference"].value == 1


def test_a_mention_before_the_text_settles_the_fact_or_after_it_states_it_is_not_early() -> None:
    text, spoken = with_fact(0, [2, 17])
    (row,) = facts_named([text], spoken)
    assert (row["named"], row["before"], row["chance"]) == (17, False, None)
    text, spoken = with_fact(0, [])
    assert facts_named([text], spoken)[0]["named"] is None


def test_values_named_without_regard_to_the_text_are_at_the_chance_level() -> None:
    generator = np.random.default_rng(7)
    values = [word(i) for i in range(8)]
    texts, spoken = [], []
    for t in range(64):
        texts.append(text_of(f"t{t}", " ".join("w" * 12), [known("animal", values[t % 8], 2, 10)]))
        spoken += [said(f"t{t}", p, f"Prose about {generator.choice(values)}.") for p in range(12)]
    facts = facts_named(texts, spoken)
    expected = 1 - (7 / 8) ** 8
    (row,) = table_of(facts)
    assert row["named before"].value == pytest.approx(expected, abs=0.15)
    assert row["chance"].value == pytest.approx(expected, abs=0.08)
    assert row["difference"].sign == 0
    assert (row["difference"].clusters, row["facts"]) == (64, 64)


def test_a_fact_never_stated_is_followed_to_the_end_and_one_in_the_text_already_is_marked() -> None:
    text = text_of("a", "the office is far off now", [known("place:Vera:1", "office", 1, None)])
    spoken = [said("a", p, "Prose about the office." if p == 5 else "Prose.") for p in range(6)]
    (row,) = facts_named([text], spoken)
    assert (row["fact"], row["stands"], row["named"], row["places"], row["before"]) == ("place", True, 5, 5, True)


def test_the_texts_own_words_are_found_by_kind_and_counted_from_their_first_token() -> None:
    texts = [
        text_of("a", "Today the harbour saw Tobias and 17 gulls. Then Tobias slept. <|tag|>"),
        text_of("b", "Nothing at all was said on that day by anyone there or here."),
    ]
    texts[0] = {**texts[0], "places": texts[0]["places"][:-1]}  # the tag is a special token
    named = {"harbour": 0, "tobias": 5, "17": 9}
    spoken = [
        said(one["id"], p, f"Prose about {' and '.join(w for w, at in named.items() if at == p and one['id'] == 'a')}.")
        for one in texts
        for p in one["places"]
    ]
    found = {row["word"]: row for row in words_named(texts, spoken) if row["id"] == "a"}
    assert {w: (row["kind"], row["said"], row["when"]) for w, row in found.items()} == {
        "tobias": ("name", 4, "at once (0 to 2)"),
        "17": ("number", 6, "soon (3 to 10)"),
        "harbour": ("rarer word", 2, "2 or more tokens before"),
        "gulls": ("rarer word", 7, NEVER),
        "slept": ("rarer word", 10, NEVER),
    }
    assert found["harbour"]["chance"][NEVER] == 1
    assert sum(found["harbour"]["chance"].values()) == 1


def test_chance_of_a_word_is_of_texts_without_it_that_are_read_so_far() -> None:
    texts = [
        text_of("a", "one two 17 four"),
        text_of("b", "one two five four"),
        text_of("c", "one two 17 four"),  # has it too, so that it tells nothing of chance
        text_of("d", "one two"),  # too short to tell of token 2
    ]
    spoken = [
        said(t["id"], p, "Prose on 17." if (t["id"], p) in {("a", 1), ("b", 1)} else "")
        for t in texts
        for p in t["places"]
    ]
    row, _ = [row for row in words_named(texts, spoken) if row["word"] == "17"]
    assert (row["id"], row["when"], row["chance"]["the token before"]) == ("a", "the token before", 1.0)


def test_words_are_lower_case_without_the_possessive() -> None:
    assert words("Olga's CAT doesn't eat 3 fish") == ["olga", "cat", "doesn't", "eat", "fish"]


@pytest.mark.parametrize(
    ("named", "name"),
    [
        (3, "2 or more tokens before"),
        (9, "the token before"),
        (10, "at once (0 to 2)"),
        (13, "soon (3 to 10)"),
        (21, "later (11 or more)"),
        (None, NEVER),
    ],
)
def test_when(named: int | None, name: str) -> None:
    assert when(named, 10) == name


def test_fve_by_bin_and_kind_of_text() -> None:
    spoken = pd.DataFrame([said(id, p, "", family=id[0]) for id in ("a1", "b1", "b2") for p in (0, 2, 3)])
    spoken["fve"] = [0.5, 0.5, 0.7, 0.1, 0.2, 0.3, 0.3, 0.4, 0.5]
    tables = written(lambda results: along(results, spoken))
    assert {row["tokens from the start"]: row["FVE"].value for row in tables["along"]} == pytest.approx(
        {"0": 0.3, "2–3": 2.6 / 6}
    )
    assert [(row["kind of text"], row["texts"], row["explanations"]) for row in tables["kinds"]] == [
        ("a", 1, 3),
        ("b", 2, 6),
    ]
    assert tables["kinds"][1]["FVE"].value == pytest.approx(0.3)
    assert [bin_of(p) for p in (0, 1, 2, 3, 4, 7, 8, 100)] == ["0", "1", "2–3", "2–3", "4–7", "4–7", "8–15", "64–127"]


def test_what_is_named_beyond_chance_in_one_kind_and_below_it_in_another_has_no_common_number() -> None:
    head = {"stands": False, "stated": 9, "settled": 1, "named": 2, "places": 3, "fact": "animal"}
    facts = [
        {**head, "id": f"{family}{t}", "family": family, "before": t % 20 != 0 if family == "b" else t % 20 == 0}
        | {"chance": 0.5}
        for family in ("a", "b")
        for t in range(40)
    ]
    tables = written(lambda results: facts_table(results, pd.DataFrame(facts)))
    assert tables.values["P1 more"].note == "not pooled: above zero in b, below in a"
    assert np.isnan(tables.values["P1 more"].value)
    (claim, _) = tables.claims()
    assert [(part["part"], part["verdict"]) for part in claim["parts"]] == [
        ("a", "does not hold"),
        ("b", "holds"),
    ]
    assert claim["verdict"] == "does not hold"


@pytest.mark.parametrize("more", [{0.0}, {1.0}, {0.0, 1.0}], ids=str)
def test_differences_that_look_like_shares_are_differences(more: set[float]) -> None:
    """Nothing is named by chance, so what is named beyond it is 0 or 1."""
    first = [next(iter(WHEN)) if one else NEVER for one in sorted(more)]
    chance = dict.fromkeys([*WHEN, NEVER], 0.0)
    words = [{"id": f"t{t}", "kind": "name", "when": first[t % len(first)], "chance": chance} for t in range(60)]
    tables = written(lambda results: words_table(results, pd.DataFrame(words)))
    (_, claim) = tables.claims()
    assert claim["verdict"] == ("holds" if 1.0 in more else "open")


@pytest.fixture(scope="module")
def nla() -> NLA:
    return NLA.from_pretrained("pocket")


def study(nla: NLA, out: Path, **changes: Any) -> str:
    config = Positions(out=str(out), **{"n": 6, "longest": 12, "max_tokens": 40, **changes})
    folder = Folder(out, "positions", config.asked())
    config.run(folder, nla)
    config.analyse(folder).write(folder.out)
    return render(config.page(folder))


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_to_the_same_tables(
    nla: NLA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = study(nla, tmp_path / "whole")

    read_table, calls = positions.read_table, iter(range(99))

    def stops(*asked: Any) -> Any:
        if next(calls):
            raise RuntimeError("power cut")
        return read_table(*asked)

    monkeypatch.setattr(positions, "read_table", stops)
    with pytest.raises(RuntimeError):
        study(nla, tmp_path / "again")
    monkeypatch.undo()
    assert study(nla, tmp_path / "again") == page
    names = sorted(path.name for path in (tmp_path / "whole" / "tables").iterdir())
    assert {"texts.parquet", "readings.parquet", "words.parquet"} <= set(names)
    for name in names:
        first, second = (tmp_path / part / "tables" / name for part in ("whole", "again"))
        assert first.read_bytes() == second.read_bytes(), name
    assert page.count("<b>Shows</b>") == page.count("<b>Does not show</b>") == 3


def test_texts_of_a_file_that_are_short_odd_or_special(nla: NLA, tmp_path: Path) -> None:
    corpus = tmp_path / "c.txt"
    corpus.write_text("Hi\n<|doc|>\n<|end|>\n<|doc|>\nCaptain Zoë, née <b>Żak</b>, saw 17 ships & more of them.\n")
    page = study(nla, tmp_path / "out", texts=str(corpus))
    assert "2 read, 1 of them cut" in page
    assert "<b>Żak" not in page
    assert "When a fact first stands" not in page


def test_one_text_says_that_there_is_no_chance_level(nla: NLA, tmp_path: Path) -> None:
    page = study(nla, tmp_path / "out", n=1)
    assert "There is one text only: no chance level" in page
    assert "by chance." not in re.findall(r'<p class="answer">(.*?)</p>', page)[0]


def test_places_and_facts_of_episodes_are_where_the_text_has_them(nla: NLA) -> None:
    table = positions.text_table(Positions(out="x", n=12, longest=256), nla)
    for text in table:
        ends, words = text["ends"], text["text"]
        assert len(text["ids"]) == len(ends) == len(text["tokens"])
        assert ends[-1] == len(words)
        assert not any(text["tokens"][place].startswith("<|") for place in text["places"])
        for fact in text["facts"]:
            if fact["stated"] is None or fact["name"] == "rhyme":
                continue
            start, end = ends[fact["stated"] - 1], ends[fact["stated"]]
            assert words[start:].lstrip().startswith(fact["value"][: end - start].strip())
            assert fact["settled"] < len(text["ids"])


def test_special_tokens_alone_are_nothing_to_read(nla: NLA, tmp_path: Path) -> None:
    corpus = tmp_path / "c.txt"
    corpus.write_text("<|end|>")
    with pytest.raises(UserError, match="no text to read in"):
        study(nla, tmp_path / "out", texts=str(corpus))
