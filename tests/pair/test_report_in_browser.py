"""The report works in a browser: no errors, the chosen token's words in the panel, keys that go on from there."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from thinkaloud.pair.report import report

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
        if "aria-current" in tag and (match := re.search(r'data-key="([^"]+)"', tag.replace("&amp;", "&")))
    ]


@pytest.fixture
def page(make_reading: Any, tmp_path: Path) -> Path:
    said = {
        1: [("An article.", 0.25)],
        2: [("A place.\nA verb is next.", 0.125), ('Water; next is "was".', 0.75)],
        4: [("<img src=x onerror=alert(name)>", 0.4)],
        5: [("The end.", 0.6)],
    }
    tokens = ["<|bos|>", "The", " sea", " was", "</script>", "x"]
    made = make_reading(tokens, said, finish="cut", coming={2: [(" was", 0.5), ("</script>", 0.25)]})
    path = tmp_path / "report.html"
    path.write_text(report(made), encoding="utf-8")
    return path


def test_the_address_chooses_the_token_and_the_panel_says_its_words(page: Path) -> None:
    document = dom(page, "#pos=1")
    assert current(document) == ["pos=1"]
    assert "The" in panel(document)
    assert "→ position 1 · token id 101 · norm 7.50" in panel(document)
    assert "An article. cut off at the token cap FVE 0.50 cosine 0.875 · MSE 0.250" in panel(document)


def test_without_an_address_it_begins_with_the_best_and_shows_every_sample(page: Path) -> None:
    document = dom(page)
    assert current(document) == ["pos=2"]
    said = panel(document)
    assert "␣sea" in said
    assert said.index("A place. A verb is next. cut off") < said.index('Water; next is "was". cut off')
    assert "M's own next tokens; outlined: named in the words ␣was 50 % &lt;/script&gt; 25 %" in said
    shown = re.findall(r'<li class="named"[^>]*title="([^"]*)"', document[: document.index("</aside>")])
    assert shown == ["named as next in 1 of 2 samples"]


def test_keys_and_buttons_go_from_token_to_token(page: Path) -> None:
    drive = """<script>
      const at = () => document.querySelector("[aria-current]");
      const press = (key) => at().dispatchEvent(new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true }));
      document.querySelector('[data-key="pos=2"]').click();
      press("ArrowLeft"); press("ArrowRight"); press("ArrowRight");
      document.querySelector('button[aria-label="Next token"]').click();
      const reachable = document.querySelectorAll(".token[tabindex='0']").length;
      const atTheEnd = document.querySelector('button[aria-label="Next token"]').disabled;
      document.title = [location.hash, document.activeElement.ariaLabel, reachable, atTheEnd].join(" ");
    </script>"""
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", drive + "</body>"), encoding="utf-8")
    document = dom(page)
    assert current(document) == ["pos=5"]
    assert "The end. cut off at the token cap FVE −0.20" in panel(document)
    assert "<title>#pos=5 Previous token 1 true</title>" in document


def test_hostile_tokens_and_words_stay_text(page: Path) -> None:
    document = dom(page, "#pos=4")
    assert "&lt;/script&gt; ← → position 4" in panel(document)
    assert "&lt;img src=x onerror=alert(name)&gt;" in panel(document)
    assert "<img" not in document


def test_search_and_sort_leave_what_is_wanted_in_the_order_that_is_wanted(page: Path) -> None:
    drive = """<script>
      const set = (name, value) => {
        const field = document.getElementById("find").elements[name];
        field.value = value;
        field.dispatchEvent(new Event("input", { bubbles: true }));
      };
      const rows = () => [...document.querySelectorAll("tbody[data-key]")].filter((body) => !body.hidden);
      const order = () => rows().map((body) => body.dataset.key.replace(/\\D+/g, ".")).join(" ");
      const told = [order()];
      set("sort", "worst"); told.push(order());
      set("words", "THE"); told.push(order(), document.getElementById("count").textContent);
      told.push([...document.querySelectorAll(".token.out")].map((token) => token.textContent).join(""));
      set("words", ""); set("sort", ""); told.push(order());
      document.title = told.join(" | ");
    </script>"""
    page.write_text(page.read_text(encoding="utf-8").replace("</body>", drive + "</body>"), encoding="utf-8")
    told = re.search(r"<title>(.*)</title>", dom(page))
    assert told
    given, worst, kept, count, out, again = told.group(1).split(" | ")
    assert given == again == ".1 .2 .4 .5"
    assert worst == ".5 .4 .1 .2"
    assert (kept, count, out) == (".5 .1", "2 of 4 positions", " sea&lt;/script&gt;")


def test_in_a_notebooks_frame_the_script_runs_and_the_styles_stay_apart(make_reading: Any, tmp_path: Path) -> None:
    reading = make_reading(["The", " sea"], {0: [("An article.", 0.25)], 1: [("A place.", 0.1)]})
    page = tmp_path / "notebook.html"
    drive = """<script>
      addEventListener("load", () => {
        const frame = document.querySelector("iframe");
        let reached = "apart";
        try { reached = frame.contentWindow.document.title; } catch {}
        document.title = [getComputedStyle(document.body).maxWidth, reached].join(" ");
      });
    </script>"""
    page.write_text(f"<!doctype html><body>{reading._repr_html_()}{drive}</body>", encoding="utf-8")
    assert "<title>none apart</title>" in dom(page)
