"""The writer of tails: the last tokens of a text by M's own tokenizer, under a name that says how many."""

from pathlib import Path

import pytest
import tiny

from thinkaloud.errors import UserError
from thinkaloud.writers import Context
from thinkaloud.writers.base import writer

FILE = str(Path(__file__).parents[2] / "recipes" / "ablations" / "tail.py")


def test_the_last_tokens_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TAIL", "4")
    monkeypatch.setenv("MODEL", str(tiny.save_base("llama", tmp_path / "base")))
    made = writer.find(FILE)()
    assert made.name == f"tail/1 of 4 tokens of {tmp_path / 'base'}"
    assert made.write([Context("the old sea", "a"), Context("<|user|>ab c", "c"), Context("ab", "b")]) == [
        " sea",
        "ab c",
        "ab",
    ]


@pytest.mark.parametrize("there", [{}, {"TAIL": "4"}, {"TAIL": "four", "MODEL": "pocket/base"}])
def test_what_it_needs_is_asked_for(there: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TAIL", "MODEL"):
        monkeypatch.delenv(name, raising=False)
    for name, value in there.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="TAIL=8 MODEL=pocket/base thinkaloud explain --writer"):
        writer.find(FILE)()
