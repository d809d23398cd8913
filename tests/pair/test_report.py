"""The report is one whole file that needs nothing else, says all without its script, and escapes what it is given."""

import html
import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thinkaloud.pair.report import report, title_of
from thinkaloud.pair.scores import Control

HOSTILE = (
    "</script><script>alert(1)</script><!-- \" ' & <img src=x onerror=alert(2)> "
    "\x1b[2J \x00 \u202e \u2028 \ud800 ${x} {{y}}"
)


class Outline(HTMLParser):
    """Tags, attributes and texts of a page, and whether its tags close in order."""

    VOID = ("meta", "link", "br", "img", "input")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)

    def attributes(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def chosen(page: str, key: str) -> str:
    """The text that the script puts beside the text for a position."""
    inside = re.search(rf'<template data-key="{key}">(.*?)</template>', page, re.DOTALL)
    assert inside
    return " ".join(re.sub(r"<[^>]+>", " ", inside.group(1)).split())


@pytest.fixture
def page(make_reading: Any) -> str:
    messages = [{"role": "user", "content": "The sea is"}, {"role": "assistant", "content": "Good day."}]
    tokens = ["<|bos|>", "<|user|>", "The", " sea", " is", "<|end|>", "<|assistant|>", "Good", " day", ".", "<|end|>"]
    said = {
        0: [("A start.", 2.0)],
        3: [("A place.\nA verb is next.", 0.125), ("Water.", 0.75)],
        8: [("A time of day.", 0.5)],
    }
    coming = {3: [(" is", 0.5), ("\n", 0.25), (" <b>", 0.001)]}
    chat = make_reading(tokens, said, text=messages, special=[0], finish="cut", coming=coming)
    controls = [Control("Own", "As read.", 0.31, 5), Control("Shuffled", "Dealt out.", -1.7, 5, "an <i>example</i>")]
    return report(chat, controls, title="Two <texts>")


def test_the_page_is_well_formed_and_asks_for_nothing_outside(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    assert page.startswith("<!doctype html>")
    assert not re.search(r"https?:|//cdn|@import|url\(", page)
    assert [attributes["href"] for attributes in outline.attributes("link")] == ["data:,"]
    assert all("src" not in attributes for _, attributes in outline.tags)


def test_every_position_stands_in_the_table_and_every_token_links_to_its_row(page: str) -> None:
    outline = Outline(page)
    rows = [attributes["id"] for attributes in outline.attributes("tr") if "id" in attributes]
    links = [attributes["href"] for attributes in outline.attributes("a")]
    assert rows == ["pos=0", "pos=3", "pos=8"]
    assert [link for link in links if "pos" in str(link)] == [f"#{row}" for row in rows]
    said = ["A place.", "A verb is next.", "Water."]
    assert [text for text in outline.texts["li"] if text in said] == 2 * said, "in the table, and for the script"
    next_tokens = ["␣is", "⏎", "␣<b>"]
    assert outline.texts["bdi"] == ["<|bos|>", "␣sea", *next_tokens, "␣day", *next_tokens]
    assert "cut off at the token cap" in page
    shown = outline.texts["td"]
    assert "0.75" in shown
    assert "−0.50" in shown
    assert "−3.00" in shown


def test_unread_tokens_are_shown_and_a_chat_by_its_turns(page: str) -> None:
    outline = Outline(page)
    assert [a.get("class") for a in outline.attributes("div") if "turn" in (a.get("class") or "").split()] == [
        "turn user",
        "turn assistant",
    ]
    classes = [attributes.get("class") for attributes in outline.attributes("span")]
    assert classes.count("unread") == 11 - 3
    assert [attributes["class"] for attributes in outline.attributes("a") if "class" in attributes] == [
        "token special worse",
        "token",
        "token",
    ]


def test_the_script_gets_the_same_figures(page: str) -> None:
    assert chosen(page, "pos=3") == (
        "␣sea position 3 · token id 103 · norm 7.50 M's own next tokens; outlined: named in the words "
        "␣is 50 % ⏎ 25 % ␣&lt;b&gt; &lt;1 % A place. A verb is next. cut off at the token cap FVE 0.75 cosine 0.938 · "
        "MSE 0.125 Water. cut off at the token cap FVE −0.50 cosine 0.625 · MSE 0.750"
    )
    assert [a.get("data-best") for a in Outline(page).attributes("tbody") if "data-key" in a] == ["-3.0", "0.75", "0.0"]


def test_it_says_what_was_read_and_what_the_figures_rest_on(page: str) -> None:
    for expected in (
        "V 0.5000 on 4,096 vectors of 512 documents (heldout)",
        "blocks.5.hook_resid_post",
        "hidden_states[6] (index 0 is the embedding)",
        "output of model.layers[5]",
        "How far to believe it",
        "negative = worse",
        "Two &lt;texts&gt;",
    ):
        assert expected in page


def test_controls_show_their_figure_and_stay_on_the_axis(page: str) -> None:
    outline = Outline(page)
    assert "−1.70" in outline.texts["td"]
    bars = [a["style"] for a in outline.attributes("i") if a.get("class") in ("over", "below")]
    assert bars == ["left:50.0%;width:15.5%", "left:0.0%;width:50.0%"]
    assert "an &lt;i&gt;example&lt;/i&gt;" in page


def test_what_is_wrong_and_what_samples_agree_on_is_marked_and_explained(make_reading: Any) -> None:
    said = [('Of the sea; "a captain" too.\nEnds on "ship"; next is "she".', 0.1), ("Of the sea.", 0.2)]
    made = report(make_reading(["The", " sea"], {1: said}, coming={1: [(" was", 0.75)]}))
    spans = [(a["class"].strip(), a.get("title")) for a in Outline(made).attributes("span") if a.get("class")]
    wrong = [
        ("wrong", "quoted, and not in the text so far"),
        ("wrong", 'the token is "sea"'),
        ("wrong", "not among M's 1 likeliest next tokens"),
    ]
    assert [(kind, title) for kind, title in spans if kind == "wrong" and title] == 2 * wrong
    assert made.count('<span class="agreed" title="in 2 of 2 samples">sea</span>') == 4
    assert "75 %" in made
    for rule in ("The final token:", "The next token:", "Quotations, numbers and names:", "Agreement"):
        assert rule in made


def test_the_title_is_the_beginning_of_the_text(make_reading: Any) -> None:
    short, long = make_reading(["The", " sea"], {1: [("x", 0.1)]}), make_reading(["word "] * 40, {1: [("x", 0.1)]})
    chat = make_reading(["x"], {0: [("x", 0.1)]}, text=[{"role": "user", "content": "Hi\nthere"}])
    assert "<title>“The sea” · thinkaloud</title>" in report(short)
    assert title_of(chat) == "“Hi there”"
    assert title_of(long) == f"“{'word ' * 12}…”"
    assert '<h1 dir="auto">Mine</h1>' in report(short, title="Mine")


def test_the_legend_says_the_baseline_and_dark_mode_is_there(page: str) -> None:
    key = page[page.index('<div class="key">') : page.index("<main>")]
    assert "V 0.5000 on 4,096 vectors of 512 documents (heldout)" in key
    assert "prefers-color-scheme: dark" in page


def test_no_controls_no_panel(make_reading: Any) -> None:
    assert "<h2>Controls</h2>" not in report(make_reading(["a"], {0: [("b", 0.1)]}))


def check_inert(page: str) -> None:
    outline = Outline(page)
    assert outline.open == []
    assert len(outline.attributes("script")) == 1
    assert outline.attributes("img") == []
    assert not any(name.startswith("on") for _, attributes in outline.tags for name in attributes)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", page)
    page.encode("utf-8")


def test_hostile_text_stays_text_everywhere(make_reading: Any) -> None:
    chat = [{"role": HOSTILE, "content": "x"}]
    tokens = [HOSTILE, "x"]
    read = {0: [(HOSTILE, 0.1)], 1: [(HOSTILE, 0.1)]}
    check_inert(report(make_reading(tokens, read, text=chat)))
    page = report(make_reading(tokens, read, name=HOSTILE), [Control(HOSTILE, HOSTILE, 0.0, 1, HOSTILE)], title=HOSTILE)
    check_inert(page)
    said = html.unescape(chosen(page, "pos=0"))
    assert "</script><script>alert(1)" in said
    assert "<202E>" in said


@given(st.text(st.characters(), max_size=30), st.text(st.characters(), max_size=60))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
def test_any_text_at_all_stays_text(make_reading: Any, token: str, said: str) -> None:
    check_inert(report(make_reading([token], {0: [(said, 0.1)]}, text=token or "x"), title=said))
