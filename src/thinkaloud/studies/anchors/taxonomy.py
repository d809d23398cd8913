"""Classes of an explanation's sentences by rule: kind, topic, doing, quotation, next."""

import re

from thinkaloud.evals.prose import without_quotations

CLASSES = {
    "kind": "what kind of text it is",
    "topic": "what the text is about",
    "doing": "what the text does at this point",
    "quotation": "quotes three words or more",
    "next": "the last token, or what comes next",
    "other": "none of these",
}

_QUOTATION = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”")
_KIND = re.compile(
    r"\b(?:narrative|prose|fiction(?:al)?|dialogue|chat|conversation|article|essay|code|recipe|poem|verse|letter|report|"
    r"review|story|novel|document|text|passage|format(?:ted)?|style|structured?|problem|speech|news|encyclop\w+|wiki\w*|"
    r"forum|blog|tutorial|instructions?|question|exercise|solution)\b",
    re.IGNORECASE,
)
_TOPIC = re.compile(
    r"\b(?:about|regarding|concerning|topics?|discuss\w*|describ\w*|explain\w*|deals? with|theme)\b",
    re.IGNORECASE,
)
_DOING = re.compile(
    r"\b(?:opening|midway|early in|late in|in speech|clause|sentence|steps?|calculat\w*|comput\w*|add(?:s|ing)|"
    r"subtract\w*|multipl\w*|divid\w*|sums?|stat(?:es|ing)|giv(?:es|ing)|asks?|asking|answers?|answering|introduc\w*|conclu\w*|"
    r"compar\w*|enumerat\w*|continu\w*|begin\w*|build\w*|show(?:s|ing))\b",
    re.IGNORECASE,
)
_NEXT = re.compile(
    r"\bnext\b|\bends (?:on|with|in)\b|\bending (?:on|with|in)\b|\b(?:final|last) (?:token|word|character)|\bexpect\w*|"
    r"\blikely\b|\bfollow(?:s|ed)? by\b|\bwill (?:be|continue|follow)\b|\bcontinuations?\b|\bpredict\w*|\bupcoming\b|"
    r"\babout to\b",
    re.IGNORECASE,
)


def classes(sentence: str) -> list[str]:
    """Every class whose signs a sentence bears in its own words, in the order of CLASSES; "other" where it bears none.

    >>> classes('Worked problem, about the hives: "Sara has 21 hives. She"'), classes('Ends on "She"; next is "sells".')
    (['kind', 'topic', 'quotation'], ['next'])
    """
    own = without_quotations(sentence)
    coming = _NEXT.search(own) is not None
    found = {
        "kind": not coming and _KIND.search(own),
        "topic": not coming and _TOPIC.search(own),
        "doing": not coming and _DOING.search(own),
        "quotation": any(len(quoted.split()) > 2 for quoted in _QUOTATION.findall(sentence)),
        "next": coming,
    }
    return [name for name, holds in found.items() if holds] or ["other"]
