"""`thinkaloud demo` reads its texts, sets the controls beside them, and writes the report it names."""

import json
import re
from pathlib import Path

import pytest
import tiny

from thinkaloud import cli
from thinkaloud.cli import demo
from thinkaloud.evals import controls
from thinkaloud.pair.formats import save
from thinkaloud.pair.nla import NLA


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random pair with its base, small enough to say nothing quickly."""
    root = tmp_path_factory.mktemp("demo") / "pair"
    save(tiny.verbalizer(), root / "av")
    save(tiny.reconstructor(), root / "ar")
    tiny.save_base("llama", root / "base")
    return root


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo, "TEXTS", ("The sea is calm.", [{"role": "user", "content": "Hello you"}]))
    monkeypatch.setattr(demo, "MAX_TOKENS", 3)


@pytest.mark.usefixtures("short")
def test_it_shows_a_handful_and_writes_the_rest(
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page = tmp_path / "report.html"
    assert cli.main(["demo", "--nla", str(pair), "--out", str(page)]) == 0
    out = capsys.readouterr().out
    assert max(len(line) for line in out.splitlines() if str(tmp_path) not in line and str(pair) not in line) <= 80
    assert "4 of 17 positions" in out  # a byte is a token here, and one more begins the text
    assert "user: Hello you" in out
    assert "Another text's explanation" in out
    assert str(page) in out
    assert "next: thinkaloud read" in out
    text = page.read_text(encoding="utf-8")
    data = re.search(r'id="data">(.*?)</script>', text, re.DOTALL)
    assert data
    assert [len(reading) for reading in json.loads(data.group(1))["readings"]] == [17, 12]
    assert "A random direction" in text


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["demo", "--nla", "/no/such/pair", "--out", str(tmp_path / "none" / "x.html")]) == 2
    assert "no folder" in capsys.readouterr().err


def test_the_positions_shown_are_evenly_spread_and_plain(pair: Path) -> None:
    nla = NLA.from_pretrained(pair)
    reading = nla.read("abcdefghijkl", max_tokens=2)
    assert [p.token for p in demo.spread(reading, 4)] == ["c", "f", "i", "l"]
    assert [p.token for p in demo.spread(nla.read("ab", max_tokens=2), 4)] == ["a", "b"]


def test_controls_beside_readings_are_scored_as_they_say(pair: Path) -> None:
    nla = NLA.from_pretrained(pair)
    first = nla.read("abcdef", max_tokens=2)
    nla = nla.with_baseline(first.baseline)
    readings = [nla.read(text, max_tokens=2) for text in ("abcdef", "ghij")]
    own, mean, shuffled, foreign, noise = controls.beside(readings, nla, noise=4, max_tokens=2)
    mse = [p.scores[0].mse for reading in readings for p in reading if not p.special]
    assert own.fve == pytest.approx(1 - sum(mse) / len(mse) / first.baseline.v, abs=1e-5)
    assert own.n == mean.n == shuffled.n == foreign.n == 10
    assert mean.fve == 0
    assert noise.n == 4
    assert noise.example
