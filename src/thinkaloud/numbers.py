"""Numbers that a text names, in digits or words, and where they stand."""

import re
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation

# fmt: off
_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]
# fmt: on
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SMALL = {word: i for i, word in enumerate(_ONES)} | {word: 10 * (i + 2) for i, word in enumerate(_TENS)}
_LARGE = {"thousand": 1_000, "million": 1_000_000, "billion": 1_000_000_000}
# Digits with separators between groups of three, else without; a plain space parts two numbers. A sign counts only
# where no word or bracket stands before it.
_GROUPED, _PLAIN = r"\d{1,3}(?:[,\u00a0\u202f]\d{3})+(?!,?\d)", r"\d+"
_DIGITS = rf"(?<![\w.])(?:(?<![\w)\]])[-−])?\$?(?:{_GROUPED}|{_PLAIN})(?:\.\d+)?(?!\w|\.\d)"
_BELOW_100 = rf"(?:(?:{'|'.join(_TENS)})(?:[\s-](?:{'|'.join(_ONES[1:10])})(?!\w))?|{'|'.join(_ONES[::-1])})"
_BELOW_1000 = rf"(?:(?:(?:a|{'|'.join(_ONES[1:10])})\s)?hundred(?:\s(?:and\s)?{_BELOW_100})?|{_BELOW_100})"
_SCALE = "(?:thousand|million|billion)"
_SCALED = rf"(?:a|{_BELOW_1000})\s{_SCALE}(?:\s(?:and\s)?{_BELOW_1000}(?:\s{_SCALE})?)*"
_SPELLED = rf"\b(?:{_SCALED}|{_BELOW_1000}|{_SCALE})\b"
_NUMBER = re.compile(f"(?P<digits>{_DIGITS})|(?P<words>{_SPELLED})", re.IGNORECASE)


def spans(text: str) -> Iterator[tuple[int, int, Decimal]]:
    """(start, end, value) of every number that the text names, in order."""
    for match in _NUMBER.finditer(text):
        value = parse(match.group())
        if value is not None:
            yield match.start(), match.end(), value


def numbers(text: str) -> set[Decimal]:
    """The values a text names."""
    return {value for _, _, value in spans(text)}


def parse(text: str) -> Decimal | None:
    """The value of one number in digits or words; None if it is none."""
    plain = re.sub(r"[,\s\u00a0\u202f$]", "", text.strip()).replace("−", "-")
    try:
        return Decimal(plain).normalize() + 0 if re.fullmatch(r"-?\d+(\.\d+)?", plain) else _spelled(text)
    except InvalidOperation:
        return None


def without(text: str, value: Decimal) -> str:
    """The text with every instance of a number taken out, with one of the spaces around it."""
    out, last = [], 0
    for start, end, found in spans(text):
        if found == value:
            before, after = text[last:start], text[end : end + 1]
            out.append(before.removesuffix(" ") if not after or after in " .,;:!?\"')" else before)
            last = end
    return "".join([*out, text[last:]])


def _spelled(text: str) -> Decimal | None:
    total = current = 0
    words = [word for word in re.split(r"[\s,-]+", text.lower().strip()) if word not in ("and", "a")]
    if not words:
        return None
    for word in words:
        if word in _SMALL:
            current += _SMALL[word]
        elif word == "hundred":
            current = max(1, current) * 100
        elif word in _LARGE:
            total, current = total + max(1, current) * _LARGE[word], 0
        else:
            return None
    return Decimal(total + current)
