"""Classes of an explanation's sentences by rule (their signs in classes.yaml): kind, topic, doing, quotation, next."""

import re
from functools import cache
from importlib.resources import files

import yaml

from thinkaloud.evals.prose import without_quotations

CLASSES = ("kind", "topic", "doing", "quotation", "next", "other")
_QUOTATION = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”")


@cache
def _signs() -> dict[str, re.Pattern[str]]:
    read = yaml.safe_load(files("thinkaloud.studies.anchors").joinpath("classes.yaml").read_text(encoding="utf-8"))
    return {name: re.compile(rf"\b(?:{'|'.join(signs)})\b", re.IGNORECASE) for name, signs in read.items()}


def classes(sentence: str) -> list[str]:
    """Every class whose signs a sentence bears in its own words, in the order of CLASSES; "other" where it bears none.

    What says what comes next is of no kind, no topic and does nothing. A quotation has three words or more.

    >>> classes('Worked problem, about the hives: "Sara has 21 hives. She"'), classes('Ends on "She"; next is "sells".')
    (['kind', 'topic', 'quotation'], ['next'])
    """
    own = without_quotations(sentence)
    found = {name for name, sign in _signs().items() if sign.search(own)}
    found -= {"kind", "topic", "doing"} if "next" in found else set()
    found |= {"quotation" for quoted in _QUOTATION.findall(sentence) if len(quoted.split()) > 2}
    return [name for name in CLASSES if name in found] or ["other"]
