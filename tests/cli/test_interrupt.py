"""Ctrl-C says what is left, and how to go on, of verbs that take long and are not resumed."""

from pathlib import Path

import pytest
from terminal import THINKALOUD, Terminal

TEXT = "The old lighthouse keeper had lived alone on the rock for eleven years. " * 6


def interrupted(words: list[str], drawn: str) -> str:
    """What a command says that gets Ctrl-C once `drawn` is on the terminal."""
    with Terminal([*THINKALOUD, *words], 100) as terminal:
        terminal.until(drawn)
        terminal.press("\x03")
        assert terminal.finish() == 130
        assert "Traceback" not in terminal.text
        return terminal.text


@pytest.mark.slow
def test_a_reading_has_a_total_and_leaves_nothing(tmp_path: Path) -> None:
    said = interrupted(["read", TEXT, "--positions", "5:65", "--html", str(tmp_path / "r.html")], "of 60 explanations")
    assert "stopped: nothing is kept of a reading that is not done" in said
    assert f"next: thinkaloud read '{TEXT[:40]}" in said.replace("\n", "")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_study_keeps_its_pieces(tmp_path: Path) -> None:
    out = tmp_path / "study"
    words = ["study", "anchors", "--preset", "pocket", "--limit", "3", "--places", "answer end", "--out", str(out)]
    said = interrupted(words, "rollouts")
    assert f"stopped: the tables and pieces that are done are kept in {out}" in said.replace("\n", "")
    assert "next: thinkaloud study anchors --preset pocket" in said
    assert (out / "tables" / "explanations.parquet").is_file()
