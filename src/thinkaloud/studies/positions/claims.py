"""Claims of an explanation, by kind, found by rule.

Explanations mostly open with the kind of text and its topic, quote what they think stands there, and close on the last
token and the next one. Lines are taken for these parts, or the sentences of an explanation of one line.
"""

import re

from thinkaloud.explanation import split_parts
from thinkaloud.studies.numbers import numbers
from thinkaloud.writers.claims import LINES, Claim, parse
from thinkaloud.writers.wordlists import FUNCTION

KINDS = (
    "kind of text",
    "wording",
    "what came before",
    "topic",
    "place in sentence",
    "quotation",
    "number",
    "last token",
    "next token",
)

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
# A quotation that a cut explanation never closes goes on to the end of its line.
_QUOTATION = re.compile(r"[\"“]([^\"”\n]*)(?:[\"”]|$)", re.MULTILINE)
_LEAD = re.compile(r"[^.;:]*:\s*(?=[\"“])")
_CLAUSE_END = re.compile(r"[;.!?](?=\s|$)")
_ON = re.compile(r"\b(?:on|concerning|regarding|describing|discussing|explaining)\b")
_BEFORE = frozenset(LINES[1])
_WORDING = frozenset(LINES[0]) - {"genre", "topic", "name"}
# How the rule-made explanations say that they know of no topic.
_NO_TOPIC = ", its topic still open"


def claims(text: str) -> dict[str, frozenset[str]]:
    """The claims of an explanation by kind, each in lower case; a kind of which it claims nothing has an empty set.

    kind of text       the first sentence, up to "about" (or "on", "describing" and the like)
    wording            how it is put, and what came before the last words: claims that the rule-made explanations have
    what came before   in phrases of their own, each as it stands
    topic              content words outside quotation marks, but those of "place in sentence" and of the last line;
                       where the first sentence has an "about", of that sentence only what follows it
    place in sentence  what introduces a quotation behind the first line, up to its colon
    quotation          content words inside quotation marks, but those of the last line
    number             numbers in digits or words, but those of the last line
    last token         the last line, up to a semicolon; an explanation of one sentence has none
    next token         the rest of the last line, up to ", or"
    """
    aside, text = _aside(text)
    lines = _lines(text)
    if not lines:
        return {kind: frozenset() for kind in KINDS}
    last = lines.pop() if len(lines) > 1 else ""
    opening, topic = _opening(lines[0])
    body = "\n".join(lines)
    leads = [match.group() for line in lines[1:] for match in _LEAD.finditer(_masked(line))]
    plain = [topic, *(_LEAD.sub(" ", _masked(line)) for line in lines[1:])]
    end = _CLAUSE_END.search(_masked(last))
    coming = last[end.end() :] if end else ""
    return {
        "kind of text": _statement(opening),
        "wording": frozenset(phrase for kind, phrase in aside if kind in _WORDING),
        "what came before": frozenset(phrase for kind, phrase in aside if kind in _BEFORE),
        "topic": frozenset(content_words(" ".join(plain))) - {"naming"},
        "place in sentence": frozenset().union(*map(_statement, leads)),
        "quotation": frozenset(content_words(" ".join(_QUOTATION.findall(body)))),
        "number": frozenset(map(str, numbers(body))),
        "last token": _statement(last[: end.start()] if end else last),
        "next token": _statement(coming.split(", or ")[0]),
    }


def _aside(text: str) -> tuple[list[tuple[str, str]], str]:
    """The claims that have phrases of their own, kind and phrase, and the text without these phrases.

    Only an explanation that says what it ends on, as the rule-made ones do, has them.
    """
    said = parse(text)
    if not any(claim.kind == "token" for claim in said):
        return [], text
    found: list[Claim] = [claim for claim in said if claim.kind in _BEFORE | _WORDING]
    phrases = [(claim.kind, text[slice(*claim.span)].lower()) for claim in found]
    for claim in reversed(found):
        start, end = claim.span
        text = text[:start].removesuffix(", ") + text[end:]
    return phrases, text


def words(text: str) -> list[str]:
    """The words of a text in lower case, in order, without a closing 's."""
    return [re.sub(r"['’]s$", "", word) for word in _WORD.findall(text.lower())]


def content_words(text: str) -> list[str]:
    """The words of a text that are no function words and longer than one letter."""
    return [word for word in words(text) if len(word) > 1 and word not in FUNCTION]


def _lines(text: str) -> list[str]:
    """The lines that hold something; of a single line its sentences, quotations kept whole."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) != 1:
        return lines
    sentences = [part for part in split_parts(_masked(lines[0])) if part.kind == "sentence"]
    return [lines[0][part.start : part.end] for part in sentences]


def _masked(line: str) -> str:
    """The line with what it quotes made unreadable, every character in its place and the marks as they are."""
    return _QUOTATION.sub(lambda match: re.sub(r"[^\"“”]", "_", match.group()), line)


def _opening(line: str) -> tuple[str, str]:
    """The kind of text that the first line states, and what of the line may hold its topic."""
    if _NO_TOPIC in line:
        return line.replace(_NO_TOPIC, ""), ""
    plain = _masked(line)
    end = _CLAUSE_END.search(plain)
    stop = end.start() if end else len(plain)
    about = re.search(r"\babout\b", plain[:stop]) or _ON.search(plain[:stop])
    return (line[: about.start()], plain[about.end() :]) if about else (line[:stop], plain)


def _statement(text: str) -> frozenset[str]:
    normal = " ".join(text.lower().split()).strip(" ,.;:")
    return frozenset([normal] if normal else [])
