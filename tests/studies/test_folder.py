"""A study's folder goes on where it was, gives the same tables, and refuses what is not its own."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from thinkaloud.errors import UserError
from thinkaloud.studies.folder import Folder

ASKED = {"n": 3, "seed": 0, "places": ("a", "b")}


def numbers(some: Sequence[int], start: int) -> pa.Table:
    assert some[0] == start
    return pa.table({"i": list(some)})


def test_a_table_is_made_once(tmp_path: Path) -> None:
    folder, made = Folder(tmp_path / "s", "positions", ASKED), []

    def make() -> pa.Table:
        made.append(1)
        return pa.table({"x": [1, 2]})

    assert folder.table("t", make).equals(Folder(tmp_path / "s", "positions", ASKED).table("t", make))
    assert len(made) == 1


def test_pieces_go_on_after_a_stop_and_equal_an_unbroken_run(tmp_path: Path) -> None:
    asked_for: list[int] = []

    def stops(some: Sequence[int], start: int) -> pa.Table:
        if start == 4 and len(asked_for) == 2:
            asked_for.append(start)
            raise RuntimeError("power cut")
        return goes_on(some, start)

    def goes_on(some: Sequence[int], start: int) -> pa.Table:
        asked_for.append(start)
        return numbers(some, start)

    with pytest.raises(RuntimeError):
        Folder(tmp_path / "s", "positions", ASKED).pieces("p", range(7), 2, stops)
    assert not (tmp_path / "s" / "tables" / "p.parquet").exists()
    again = Folder(tmp_path / "s", "positions", ASKED).pieces("p", range(7), 2, goes_on)
    assert asked_for == [0, 2, 4, 4, 6]
    assert again["i"].to_pylist() == list(range(7))
    whole = Folder(tmp_path / "whole", "positions", ASKED).pieces("p", range(7), 2, numbers)
    assert again.equals(whole)
    assert (tmp_path / "s/tables/p.parquet").read_bytes() == (tmp_path / "whole/tables/p.parquet").read_bytes()
    assert not list((tmp_path / "s" / "work").iterdir())
    assert Folder(tmp_path / "s", "positions", ASKED).pieces("p", range(7), 2, stops).equals(whole)


def test_pieces_tell_how_far_they_are(tmp_path: Path) -> None:
    told: list[Any] = []
    folder = Folder(tmp_path / "s", "positions", ASKED)
    folder.watch = lambda *now: told.append(now)
    folder.pieces("p", range(5), 2, numbers)
    assert told == [("p", 0, 5), ("p", 2, 5), ("p", 4, 5), ("p", 5, 5)]


@pytest.mark.parametrize(
    ("name", "asked", "message"),
    [
        ("survey", ASKED, "study = 'positions', now it is 'survey'"),
        ("positions", {**ASKED, "seed": 1}, "seed = 0, now it is 1"),
        ("positions", {**ASKED, "places": ("a",)}, r"places = \['a', 'b'\], now it is \['a'\]"),
        ("positions", {**ASKED, "sources": {"av": "ab"}}, "sources.av = 'cd', now it is 'ab'"),
    ],
)
def test_another_study_or_option_is_refused_by_its_name(
    tmp_path: Path, name: str, asked: dict[str, Any], message: str
) -> None:
    begun = Folder(tmp_path / "s", "positions", {**ASKED, "sources": {"av": "cd"}})
    begun.table("one", lambda: [{"a": 1}])
    with pytest.raises(UserError, match=message):
        Folder(tmp_path / "s", name, asked)
    Folder(tmp_path / "s", "positions", ASKED)


def test_what_was_asked_by_mistake_is_asked_again(tmp_path: Path) -> None:
    Folder(tmp_path / "s", "positions", ASKED)
    Folder(tmp_path / "s", "positions", {**ASKED, "seed": 1}).table("one", lambda: [{"a": 1}])
    with pytest.raises(UserError, match="seed = 1, now it is 0"):
        Folder(tmp_path / "s", "positions", ASKED)


def test_options_of_the_analysis_never_refuse_a_folder(tmp_path: Path) -> None:
    analysis = {"n": ("one",), "places": ()}
    begun = Folder(tmp_path / "s", "positions", ASKED, analysis)
    for name in ("one", "two"):
        begun.table(name, lambda: [{"a": 1}])
    Folder(tmp_path / "s", "positions", {**ASKED, "places": ("c",)}, analysis)
    assert {path.stem for path in (tmp_path / "s" / "tables").iterdir()} == {"one", "two"}
    Folder(tmp_path / "s", "positions", {**ASKED, "n": 9}, analysis)
    assert {path.stem for path in (tmp_path / "s" / "tables").iterdir()} == {"two"}, "the others are made anew"
    with pytest.raises(UserError, match="seed = 0, now it is 1"):
        Folder(tmp_path / "s", "positions", {**ASKED, "seed": 1}, analysis)


def test_a_folder_of_something_else_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(UserError, match="holds no study: choose another --out"):
        Folder(tmp_path, "positions", ASKED)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(UserError, match="holds no study"):
        Folder(tmp_path / "thesis.txt", "positions", ASKED)


def test_an_empty_folder_is_taken_and_a_broken_one_is_named(tmp_path: Path) -> None:
    Folder(tmp_path, "positions", ASKED).table("one", lambda: [{"a": 1}])
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(UserError, match=r"study\.json is not JSON"):
        Folder(tmp_path, "positions", ASKED)


def test_figures_are_the_same_svg_every_time(tmp_path: Path) -> None:
    def draw(figure: Any) -> None:
        axes = figure.subplots()
        axes.plot([0, 1], [0, 1], label="a < b")
        axes.fill_between([0, 1], [0, 0], [1, 1], alpha=0.2)
        axes.legend()

    first = Folder(tmp_path / "a", "positions", ASKED).figure("f", draw)
    second = Folder(tmp_path / "b", "positions", ASKED).figure("f", draw)
    assert first == second
    assert first.startswith("<svg")
    assert "a &lt; b" in first  # letters, not outlines
    assert "currentColor" in first  # readable on a dark page
    assert not {"#010203", "#000000", "#ffffff"} & set(re.findall("#[0-9a-f]{6}", first))
    assert (tmp_path / "a/figures/f.svg").read_bytes() == (tmp_path / "b/figures/f.svg").read_bytes()


def test_the_page_ends_the_work(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "s", "positions", ASKED)
    assert folder.page("<p>é</p>").read_text(encoding="utf-8") == "<p>é</p>"
    assert not (tmp_path / "s" / "work").exists()
    assert Folder(tmp_path / "s", "positions", ASKED).pieces("p", range(3), 2, numbers).num_rows == 3


def test_no_records_make_no_table(tmp_path: Path) -> None:
    folder = Folder(tmp_path, "positions", ASKED)
    with pytest.raises(UserError, match="nothing was found"):
        folder.table("none", list)
    assert folder.table("one", lambda: [{"a": 1, "b": None}]).to_pylist() == [{"a": 1, "b": None}]
