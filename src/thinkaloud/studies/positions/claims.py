"""Claims of an explanation, by kind: those that the writer's parser finds, and the words, quotations and numbers."""

import re

from thinkaloud.sentences import spans
from thinkaloud.studies.numbers import numbers
from thinkaloud.writers.claims import LINES, parse
from thinkaloud.writers.wordlists import FUNCTION

# What the kinds of the writer's claims are here; words of its topics and names are topics, as all other words.
GROUPS = {
    "genre": "kind of text",
    **dict.fromkeys(LINES[0].keys() - {"genre", "topic", "name"}, "wording"),
    **dict.fromkeys(LINES[1], "what came before"),
    **dict.fromkeys(LINES[2].keys() - {"quotation"}, "place in sentence"),
}
KINDS = (*dict.fromkeys(GROUPS.values()), "topic", "quotation", "number", "last token", "next token")

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
# A quotation that a cut explanation never closes goes on to the end of its line.
_QUOTATION = re.compile(r"[\"“]([^\"”\n]*)(?:[\"”]|$)", re.MULTILINE)


def claims(text: str) -> dict[str, set[str]]:
    """The claims of an explanation by kind, each in lower case.

    Its last sentence, where it has more than one, is what it says of the last token, and behind a semicolon of the next
    one, up to ", or". Quotations, topics and numbers are content words and numbers of the others: those in quotation
    marks, those in no claim of another kind, and all. Only an explanation that says what it ends on, as the rule-made
    ones do, has claims of the writer's but for the kind of text.
    """
    lines = [text[start:end] for start, end in spans(text)]
    last, _, coming = (lines.pop() if len(lines) > 1 else "").partition("; ")
    body = rest = "\n".join(lines)
    found: dict[str, set[str]] = {kind: set() for kind in KINDS}
    written = any(claim.kind == "token" for claim in parse(text))
    for claim in reversed(parse(body)):
        if claim.kind == "genre" or (written and claim.kind in GROUPS):
            start, end = claim.span
            found[GROUPS[claim.kind]].add(rest[start:end].lower())
            rest = rest[:start] + rest[end:]
    plain = _QUOTATION.sub(" ", rest.replace("its topic still open", ""))  # so rule-made ones say that they know none
    found["topic"] = set(content_words(plain)) - {"naming"}
    found["quotation"] = set(content_words(" ".join(_QUOTATION.findall(body))))
    found["number"] = set(map(str, numbers(body)))
    for kind, said in (("last token", last), ("next token", coming.split(", or ")[0])):
        found[kind] |= {" ".join(said.lower().split()).strip(" ,.;:")} - {""}
    return found


def words(text: str) -> list[str]:
    """The words of a text in lower case, in order, without a closing 's."""
    return [re.sub(r"['’]s$", "", word) for word in WORD.findall(text.lower())]


def content_words(text: str) -> list[str]:
    """The words of a text that are no function words and longer than one letter."""
    return [word for word in words(text) if len(word) > 1 and word not in FUNCTION]
