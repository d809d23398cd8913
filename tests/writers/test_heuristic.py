import hashlib
import json
import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkaloud.errors import UserError
from thinkaloud.evals.prose import repeated_items
from thinkaloud.pocket.world import episodes
from thinkaloud.writers import Context, HeuristicWriter, explain_context
from thinkaloud.writers.base import writer as registered
from thinkaloud.writers.claims import LIMIT, parse, write
from thinkaloud.writers.clause import QUOTED_CHARS, last_words
from thinkaloud.writers.ending import name_token
from thinkaloud.writers.heuristic import claims_of
from thinkaloud.writers.passage import Passage, role_of
from thinkaloud.writers.topic import topics_of

NOVEL = (
    'The captain put down his pipe. "There is a storm behind the harbour," he said, "and my brother is at sea." '
    'Billy looked at the window. He thought of the boat and of his mother.\n\n"Will you go out?" asked Billy.\n\n'
    '"I shall go," answered the captain, "when the boat comes out of the'
)
ARTICLE = (
    "Charlemagne was king of the Franks from 768 and became the first emperor of the western empire in the early "
    "medieval period. During his reign several wars were fought in northern Europe. By the late eighth century the "
    "kingdom had established"
)
RECIPE = (
    "Ingredients\n\n- 2 cups flour\n- 1 cup butter\n- salt\n\nDirections\n\n"
    "1. Heat the oven. Mix the flour and the butter"
)
PROBLEM = (
    "<|user|>Ivan comes back from the lake with 23 photos. As 11 are blurred, they are deleted. How many photos does "
    "Ivan have?<|end|><|assistant|>23 - 11 ="
)
CHAT = (
    "<|user|>Did you watch the football game?<|end|><|assistant|>I did! The team played well.<|end|>"
    "<|user|>Who is your player"
)


THE_NEXT = ((" house", 0.31), (" harbour", 0.2), (" door", 0.1), (" sea", 0.05), (" sky", 0.01))


def context(prefix: str, token: str, *next_tokens: tuple[str, float], is_chat: bool = False) -> Context:
    return Context(prefix, token, next_tokens, is_chat)


def lines(prefix: str, token: str, *next_tokens: tuple[str, float], is_chat: bool = False) -> list[str]:
    return explain_context(context(prefix, token, *next_tokens, is_chat=is_chat)).split("\n")


CASES = [
    pytest.param(
        context(NOVEL, " the", *THE_NEXT),
        [
            "Dialogue in fiction",
            "captain",
            "In speech",
            "when-clause",
            'out of the"',
            'Ends on "the", an article;',
        ],
        id="novel dialogue",
    ),
    pytest.param(
        context(ARTICLE, " established", (" a", 0.3), (" the", 0.2)),
        [
            "Encyclopaedic prose on history",
            'Ends on "established", a verb;',
            'likely "a", or "the".',
        ],
        id="encyclopaedia",
    ),
    pytest.param(
        context(RECIPE, " butter", (".", 0.4), (" in", 0.2)),
        ["A recipe", "the flour", 'Ends on "butter", a noun; next is likely a full stop, or "in".'],
        id="recipe",
    ),
    pytest.param(
        context(PROBLEM, " =", (" 1", 0.9), ("1", 0.05), is_chat=True),
        [
            "A chat working a word problem",
            "Asked how many photos Ivan, answer calculating",
            "The assistant, first turn",
            "Ends on an equals sign after 11;",
        ],
        id="word problem",
    ),
    pytest.param(
        context(CHAT, " player", ("?", 0.8), is_chat=True),
        ["A friendly chat", "The user", "a question", "very likely a question mark."],
        id="chat",
    ),
    pytest.param(
        context(CHAT + "?<|end|>", "<|end|>", ("<|assistant|>", 0.99), is_chat=True),
        ["Between turns", "Ends on the end of the turn; next is almost surely the start of the assistant's turn."],
        id="end of a turn",
    ),
    pytest.param(
        context(CHAT + "?<|end|><|assistant|>", "<|assistant|>", ("I", 0.2), ("My", 0.1), is_chat=True),
        [
            "Asked who player, answer not begun, subject team, verb played.",
            'The assistant, second turn, before a new sentence: "Who is your player?"',
            "the start of the assistant's turn;",
            '"I", or "My".',
        ],
        id="start of a turn",
    ),
    pytest.param(
        context(NOVEL + " har", " har", ("bour", 0.9), ("vest", 0.05)),
        ['Ends on "har", a piece beginning a word; next is almost surely "-bour".'],
        id="word piece that begins",
    ),
    pytest.param(
        context(NOVEL + " harbour", "bour", (".", 0.5), ("s", 0.2)),
        ['Ends on "-bour", a piece finishing the noun harbour;', 'or "-s".'],
        id="word piece that finishes",
    ),
    pytest.param(
        context(NOVEL + " harbo", "bo", ("ur", 0.9)),
        ['Ends on "-bo", a piece inside harbo;'],
        id="word piece inside",
    ),
    pytest.param(
        context(NOVEL + ' harbour."\n\n', "\n\n", ('"', 0.5), ("The", 0.1)),
        ["before a new paragraph", "Ends on a paragraph break;", "very likely an opening quote"],
        id="paragraph break",
    ),
    pytest.param(
        context(NOVEL + " harbour.\n\n", "\n", ("The", 0.1)), ["Ends on a paragraph break;"], id="second line break"
    ),
    pytest.param(
        context("Task: find the rule.\nGiven: doll, top, bear, doll", " doll", (",", 0.9)),
        ["A puzzle", "Early in a list"],
        id="rule",
    ),
    pytest.param(
        context("The bill came to 1204", "4", (".", 0.3)),
        ['Ends on "4", a digit of 1204; next is likely a full stop.'],
        id="digit",
    ),
    pytest.param(context("She paid 7", " 7", (" dollars", 0.3)), ['Ends on "7", a number;'], id="number"),
    pytest.param(
        context("The row on the wall is 14, 16, 18, 20, 22. To go on, you count", " count", (" up", 0.9)),
        ["A number sequence", 'Ends on "count", a verb;'],
        id="number sequence",
    ),
    pytest.param(
        context(
            "A rhyme for two:\nWith clay on her fingers she models a shoe,\nand when it has dried",
            " dried",
            (" she", 0.6),
        ),
        ["A rhymed verse", "In a line below shoe"],
        id="verse",
    ),
    pytest.param(
        context("Kate is in the kitchen. Sam goes to the garden. Kate runs to the attic. Sam is", " is", (" in", 0.9)),
        ["A puzzle of who is where", "about the kitchen, naming Sam.", 'Ends on "is", an auxiliary;'],
        id="places",
    ),
    pytest.param(
        context("<|user|>Which is a fruit?\nA. Stone\nB. Pear<|end|><|assistant|>B", "B", (".", 0.9), is_chat=True),
        ["A multiple-choice question", "The assistant"],
        id="multiple choice",
    ),
    pytest.param(context("We saw Mr", " Mr", (".", 0.9)), ["next is almost surely a full stop."], id="one alternative"),
    pytest.param(context("Nobody knew", " knew"), ["what comes next is not known."], id="no next tokens"),
]
CONTEXTS = [case.values[0] for case in CASES if isinstance(case.values[0], Context)]


@pytest.mark.parametrize(("case", "expected"), CASES)
def test_says_what_it_should(case: Context, expected: list[str]):
    text = explain_context(case)
    for phrase in expected:
        assert phrase in text


@pytest.mark.parametrize("case", CONTEXTS)
def test_a_few_short_lines_and_at_most_one_quotation_before_the_last(case: Context):
    written = explain_context(case).split("\n")
    assert 3 <= len(written) <= 4
    assert all('"' not in line for line in written[:-2])
    assert written[-2].count('"') in (0, 2)
    assert 90 <= len("\n".join(written)) <= LIMIT


def test_a_whole_explanation():
    assert explain_context(context(NOVEL, " the", *THE_NEXT)) == (
        "Dialogue in fiction, plain wording, person he, about his pipe, naming Billy.\n"
        'In speech, early in a when-clause: "answered the captain, \'when the boat comes out of the"\n'
        'Ends on "the", an article; next is likely "house", or "harbour", "door".'
    )


def test_it_is_the_end_that_counts():
    """What stands more than a window before the end changes nothing."""
    tail = " The captain looked at the harbour and the boats." * 16
    assert explain_context(context("Once. " * 99 + tail, ".")) == explain_context(context("Never. " * 99 + tail, "."))


def test_certainty_follows_the_probability():
    said = [lines("He opened the", " the", (" door", p))[2] for p in (0.95, 0.6, 0.3, 0.15, 0.02)]
    phrases = ["almost surely", "very likely", "likely", "perhaps", "open, say"]
    assert [f"next is {phrase} " in line for phrase, line in zip(phrases, said, strict=True)] == [True] * 5


def test_alternatives_are_told_once_and_improbable_ones_left_out():
    last = lines("He opened", " opened", (" the", 0.6), (".", 0.1), (" .", 0.1), (" a", 0.05), (" it", 0.001))[2]
    assert last.endswith('next is very likely "the", or a full stop, "a".')


def test_alternatives_stop_when_nearly_all_is_told():
    assert lines("He opened the", " the", (" door", 0.7), (" box", 0.22), (" lid", 0.05))[2].endswith(
        '"door", or "box".'
    )


@pytest.mark.parametrize(
    ("prefix", "phrase"),
    [
        ("The boat left because they had in the meantime of the old year and", "Midway in a because-clause"),
        ("Where did the old captain go with", "Early in a question"),
        ("He said that when", "Early in a when-clause"),
        ("The town (on the river", "In brackets, early in a further clause"),
        ("She bought bread, milk, and", "Early in a list"),
        ("It rained. He", "Opening a new sentence"),
        ("It rained.", "Before a new sentence"),
        ("It rained.\n\n", "Before a new paragraph"),
    ],
)
def test_clauses(prefix: str, phrase: str):
    assert phrase in lines(prefix, "")[-2]


def test_names_keep_their_capitals_and_surnames():
    passage = Passage("Yesterday Laura Osnes sang in the theatre. Everyone praised Laura Osnes and the theatre for it")
    assert topics_of(passage) == ("the theatre", "Laura Osnes")


def test_the_topic_is_recent_and_no_name_repeats_it():
    passage = Passage(
        "The dragon slept. " + "He was there. " * 30 + "The sailor met two Sailors and the Sailor laughed at Nora aloud"
    )
    assert topics_of(passage) == ("the sailor", "Nora")


def test_a_word_that_only_opens_sentences_is_no_name():
    assert topics_of(Passage("Answering takes long. The lamp was out and the")) == ("the lamp", "")
    assert topics_of(Passage("Kate ran. The lamp was out. Kate fell over the"))[1] == "Kate"


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (
            "def read(path):\n    with open(path) as file:\n        return [line.strip() for line in file]\n",
            "Program code",
        ),
        ('{"name": "Tom", "age": 12, "tags": ["a", "b"], "town": "York"', "Structured data"),
        ("name,age,town\nTom,12,York\nAnn,14,Bath\nBen,", "Structured data"),
        ("| name | age |\n|---|---|\n| Tom | 12 |\n| Ann |", "A table"),
        ("can't wait for the weekend 🎉🎉 so happy", "A message with emoji"),
        ("Доброе утро! Сегодня хорошая погода", "Text in another script"),
        ("41.22  77.32  83.54  32.78  36.57  95.98  58.92  12.40  7.31  66.02", "Columns of numbers"),
    ],
)
def test_what_is_no_prose_is_called_so(text: str, kind: str):
    assert lines(text, text[-1])[0].startswith(f"{kind}, ")


@pytest.mark.parametrize("case", CONTEXTS)
def test_no_list_names_an_item_twice(case: Context):
    assert repeated_items(explain_context(case)) == 0


@pytest.mark.parametrize(
    ("word", "role"),
    [
        ("the", "article"),
        ("Her", "possessive"),
        ("of", "preposition"),
        ("quickly", "adverb"),
        ("walked", "verb"),
        ("cmdlets", "noun"),
        ("careless", "adjective"),
        ("whom", "pronoun"),
        ("seven", "number word"),
        ("knows", "verb"),
    ],
)
def test_roles(word: str, role: str):
    assert role_of(word) == role


@pytest.mark.parametrize(
    ("token", "name"),
    [
        ("\n", "a line break"),
        ("\n\n", "a paragraph break"),
        ("  ", "a space"),
        ("", "nothing"),
        (' "', "an opening quote"),
        ('"', "a closing quote"),
        ('."', "a full stop closing the quote"),
        ("\ufffd", "part of a character"),
        ("<|end|>", "the end of the turn"),
        ("<|endoftext|>", "the end of the text"),
        ("<end_of_turn>", "the end of the turn"),
        ("<|im_start|>user", "the start of the user's turn"),
        (' ("', '"(\'"'),
        (" sea", '"sea"'),
    ],
)
def test_token_names(token: str, name: str):
    assert name_token(token, inside_word=False, opens_quote=False) == name


def test_the_quotation_keeps_to_its_turn_and_marks_breaks():
    assert last_words('first paragraph.\n\nHe said "go on" to') == "first paragraph. / He said 'go on' to"
    assert last_words("<|user|>one two<|end|>\n") == "one two"
    assert last_words("<|user|>one two<|end|><|assistant|>three") == "three"
    assert last_words("word " * 3 + "x" * 500) == "x" * QUOTED_CHARS
    assert last_words("a b c d e f g h i j k l") == "c d e f g h i j k l"


def test_an_abbreviation_ends_no_sentence():
    assert "subject Mr" not in lines("Then we met Mr. Brown in the lane", " lane")[1]
    assert Passage("Then we met Mr. Brown").sentence == 0
    assert Passage("We met. Then Brown").sentence == 3


def test_deterministic_and_picklable():
    function = pickle.loads(pickle.dumps(explain_context))
    again = pickle.loads(pickle.dumps(CONTEXTS))
    texts = HeuristicWriter().write(CONTEXTS)
    assert texts == [function(case) for case in again]


def test_kinds_that_are_left_out_are_not_said_and_the_rest_is(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("WITHOUT", "tense,clause,next")
    monkeypatch.setattr(sys, "path", list(sys.path))
    file = Path(__file__).parents[2] / "recipes" / "ablations" / "without.py"
    chosen = pickle.loads(pickle.dumps(registered.find(str(file))()))
    assert chosen.name == "heuristic/4 without clause, next, tense"
    for case, text in zip(CONTEXTS, chosen.write(CONTEXTS), strict=True):
        kept = [one for one in claims_of(case) if one.kind not in ("tense", "clause", "next", "certainty")]
        assert [one for one in parse(text) if one.kind != "certainty"] == kept
    with pytest.raises(UserError, match="no kind of claim 'tone': expected some of genre, language"):
        HeuristicWriter(without=["tone"])


anything = st.text(alphabet=st.characters(), max_size=300)
marked = st.lists(
    st.sampled_from(
        [
            "<|user|>",
            "<|end|>",
            "<",
            "|>",
            "\n",
            "\n\n",
            '"',
            "“",
            "'",
            " ",
            "12",
            ".",
            ",",
            "the",
            "A",
            "é",
            "(",
            "####",
        ]
    ),
    max_size=40,
).map("".join)


@settings(max_examples=300)
@given(
    prefix=st.one_of(anything, marked),
    token=st.one_of(st.none(), anything, marked),
    next_tokens=st.lists(st.tuples(st.one_of(anything, marked), st.floats(0, 1)), max_size=6),
    is_chat=st.booleans(),
)
def test_any_text_gets_a_few_bounded_lines_that_parse_back(prefix, token, next_tokens, is_chat):
    final = prefix[-2:] if token is None else token
    claims = claims_of(Context(prefix, final, tuple(next_tokens), is_chat))
    text = write(claims)
    written = text.split("\n")
    assert len(written) in (3, 4)
    assert len(text) <= LIMIT
    assert written[-2].count('"') in (0, 2)
    assert re.match(r"Ends on .*; .+\.$", written[-1], re.DOTALL)
    assert parse(text) == claims
    text.encode()


def many_contexts() -> Iterator[Context]:
    """Ends of episodes and of the bundled texts."""
    texts = [episode.text for split in ("train", "heldout") for episode in episodes(7, 100, split)]
    for file in sorted((Path(__file__).parents[2] / "texts").glob("*.txt")):
        texts += [text for text in file.read_text(encoding="utf-8").split("\n\n")[:60] if text.strip()]
    for text in texts:
        for k in range(1, 6):
            prefix = text[: max(1, len(text) * k // 5)]
            yield Context(prefix, prefix.split(" ")[-1], ((" the", 0.5), (" a", 0.2)), text.startswith("<|"))


def test_what_is_written_of_real_texts_and_chats_is_read_back_and_repeats_nothing() -> None:
    chats = []
    for name in ("story-questions", "tasks", "coffee-orders"):
        for line in (
            (Path(__file__).parents[2] / "texts" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()[:40]
        ):
            turns = json.loads(line)["messages"]
            chats.append("".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in turns))
    ends = [chat[: len(chat) * k // 7] for chat in chats for k in range(1, 8)]
    for case in (*many_contexts(), *(Context(end, end[-3:], ((" the", 0.5),), True) for end in ends)):
        said = claims_of(case)
        text = write(said)
        assert parse(text) == said
        assert repeated_items(text) == 0


def test_explanations_are_those_that_its_version_always_wrote() -> None:
    """To the byte: another text under one version would mix two writers in one cache and one data set."""
    said = "\x00".join(map(explain_context, many_contexts()))
    assert HeuristicWriter.name == "heuristic/4"
    assert hashlib.sha256(said.encode()).hexdigest() == (
        "a6197e9068dc81de7ae2f79ef85d3f34d8626d45a05c4061deef7e6392383f14"
    )
