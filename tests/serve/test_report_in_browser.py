"""Does the report work in a browser: no errors, the chosen token's words in the panel, keys that go on from there?"""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from thinkaloud.serve.export import report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the PATH: install one to test the report's script"
)
SEPARATE = ("--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync")


def dom(page: Path, address: str = "") -> str:
    """The page's document after its script has run; any message of the console fails the test."""
    command = [str(CHROMIUM), "--headless", "--no-sandbox", "--disable-gpu", *SEPARATE, "--enable-logging=stderr"]
    profile = page.parent / f"profile-{len(list(page.parent.iterdir()))}"
    command += [f"--user-data-dir={profile}", "--virtual-time-budget=2000", "--dump-dom", page.as_uri() + address]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr
    return done.stdout


def panel(document: str) -> str:
    """The text of the panel beside the texts."""
    inside = re.search(r'<aside id="panel".*?</aside>', document, re.DOTALL)
    assert inside
    return " ".join(re.sub(r"<[^>]+>", " ", inside.group()).split())


def current(document: str) -> list[str]:
    return [
        match.group(1)
        for tag in re.findall(r"<a [^>]*>", document)
        if "aria-current" in tag and (match := re.search(r'data-key="([\d.]+)"', tag))
    ]


@pytest.fixture
def page(make_reading: Any, tmp_path: Path) -> Path:
    tokens = ["<|bos|>", "The", " sea", " was"]
    first = make_reading(
        tokens, {1: [("An article.", 0.25)], 2: [("A place.\nA verb is next.", 0.125), ("Water.", 0.75)]}
    )
    second = make_reading(
        ["</script>", "x"], {0: [("<img src=x onerror=alert(1)>", 0.4)], 1: [("The end.", 0.6)]}, finish="cut"
    )
    path = tmp_path / "report.html"
    path.write_text(report([first, second]), encoding="utf-8")
    return path


def test_the_address_chooses_the_token_and_the_panel_says_its_words(page: Path) -> None:
    document = dom(page, "#1.1")
    assert current(document) == ["1.1"]
    assert "The" in panel(document)
    assert "text 1, position 1 · token id 101 · norm 7.50" in panel(document)
    assert "An article. FVE 0.50 cosine 0.875 · MSE 0.250" in panel(document)


def test_without_an_address_it_begins_with_the_best_and_shows_every_sample(page: Path) -> None:
    document = dom(page)
    assert current(document) == ["1.2"]
    said = panel(document)
    assert "␣sea" in said
    assert said.index("A place. A verb is next. FVE 0.75") < said.index("Water. FVE −0.50")


def test_keys_and_buttons_go_from_token_to_token_across_texts(page: Path) -> None:
    drive = """<script>
      const at = () => document.querySelector("[aria-current]");
      const press = (key) => at().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
      document.querySelector('[data-key="1.1"]').click();
      press("ArrowLeft"); press("ArrowRight"); press("ArrowRight");
      document.querySelector('button[aria-label="Next token"]').click();
      const reachable = document.querySelectorAll(".token[tabindex='0']").length;
      const atTheEnd = document.querySelector('button[aria-label="Next token"]').disabled;
      document.title = [location.hash, document.activeElement.ariaLabel, reachable, atTheEnd].join(" ");
    </script>"""
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", drive + "</body>"), encoding="utf-8")
    document = dom(page)
    assert current(document) == ["2.1"]
    assert "The end. cut off at the token cap FVE −0.20" in panel(document)
    assert "<title>#2.1 Previous token 1 true</title>" in document


def test_hostile_tokens_and_words_stay_text(page: Path) -> None:
    document = dom(page, "#2.0")
    assert "&lt;/script&gt; ← → text 2, position 0" in panel(document)
    assert "&lt;img src=x onerror=alert(1)&gt;" in panel(document)
    assert "<img" not in document
