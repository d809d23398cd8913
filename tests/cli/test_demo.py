"""`thinkaloud demo` chooses its pair, reads its chat, sets the controls beside it, and writes the report it names."""

from pathlib import Path

import pytest
import tiny

from thinkaloud import cli, loading, packages
from thinkaloud.cli import demo
from thinkaloud.errors import UserError
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
    chat = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello you"}]
    monkeypatch.setattr(demo, "CHAT", chat)
    monkeypatch.setattr(demo, "READ", 12)
    monkeypatch.setattr(demo, "MAX_TOKENS", 3)


@pytest.mark.usefixtures("short")
def test_it_shows_a_handful_and_writes_the_rest(
    pair: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    page = tmp_path / "report.html"
    assert cli.main(["demo", "--nla", str(pair), "--out", str(page)]) == 0
    out = capsys.readouterr().out
    assert "4 of the 12 positions read" in out
    assert "user: Hello you" in out
    assert "Another position's explanation" in out
    assert str(page) in out
    assert "next: thinkaloud read" in out
    text = page.read_text(encoding="utf-8")
    assert text.count("<template") == 12
    assert "A random direction" in text


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["demo", "--nla", "/no/such/pair", "--out", str(tmp_path / "none" / "x.html")]) == 2
    assert "no folder" in capsys.readouterr().err


def test_positions_are_evenly_spread_and_end_with_the_last() -> None:
    assert demo.evenly("abcdefghijkl", 4) == ("c", "f", "i", "l")
    assert demo.evenly("ab", 4) == ("a", "b")
    assert demo.evenly(range(100), 16)[-1] == 99
    assert len(demo.evenly(range(100), 16)) == 16


def test_the_pair_is_smollm2_where_it_and_its_model_can_be_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loading, "__file__", str(tmp_path / "src" / "thinkaloud" / "loading.py"))
    monkeypatch.setenv("THINKALOUD_CACHE", str(tmp_path / "cache"))
    assert demo.chosen() == ("pocket", "since smollm2 is not bundled with this installation")
    (tmp_path / "models" / "smollm2" / "av").mkdir(parents=True)

    def no_index(model: packages.Packaged) -> Path:
        raise UserError("no index")

    with monkeypatch.context() as patched:
        patched.setattr(packages, "fetch", no_index)
        assert demo.chosen() == ("pocket", "since the model of smollm2 cannot be had (no index)")
    packages.packaged()["smollm2"].folder.mkdir(parents=True)
    assert demo.chosen()[0] == "smollm2"


def test_controls_beside_a_reading_are_scored_as_they_say(pair: Path) -> None:
    nla = NLA.from_pretrained(pair)
    baseline = nla.read("abcdef", max_tokens=2).baseline
    nla = nla.with_baseline(baseline)
    reading = nla.read("abcdefghij", max_tokens=2)
    own, mean, shuffled, noise = controls.beside(reading, nla, noise=4, max_tokens=2)
    mse = [p.scores[0].mse for p in reading if not p.special]
    assert own.fve == pytest.approx(1 - sum(mse) / len(mse) / baseline.v, abs=1e-5)
    assert own.n == mean.n == shuffled.n == 10
    assert mean.fve == 0
    assert noise.n == 4
    assert noise.example
