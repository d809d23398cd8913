"""Claims: what an explanation says, each of a kind; written as a few lines, and read back from any explanation."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from .wordlists import read

LIMIT = 420


@dataclass(frozen=True)
class Claim:
    """One thing that an explanation says: its kind, its words, and where in the text it is said (0, 0 if unwritten)."""

    kind: str
    value: str
    span: tuple[int, int] = field(default=(0, 0), compare=False)


_DATA = read("claims.json")
# The lines of an explanation: kinds in their order, each with its phrase. The last line is put together by `_ending`.
LINES: tuple[dict[str, str], ...] = tuple(_DATA["lines"])
KINDS = tuple(kind for line in LINES for kind in line)
# What is left out first where an explanation would pass LIMIT.
DROPPED: list[str] = _DATA["dropped"].split()
UNKNOWN = "what comes next is not known"
# How sure a next token is, in words: the first whose probability it has.
CERTAINTY: list[tuple[float, str]] = _DATA["certainty"]

# What a value looks like, where any words will not do: parts are told apart by it.
_VALUES: dict[str, str] = _DATA["values"]
_PARTS = [
    (kind, re.compile(phrase.format(f"(?P<value>{_VALUES.get(kind, '.+')})")))
    for line in LINES[:3]
    for kind, phrase in line.items()
    if kind not in ("genre", "quotation")
]
# Parts lie between marks that are followed by a space; a topic or name needs no mark before it. "A chat about a story"
# is one of the kinds of text.
_PART = re.compile(r"(?:[^\s,;.:]|[,;.:](?=\S))(?:(?! (?:about(?! a story)|naming) )(?:[^,;.:]|[,;.:](?=\S)))*")
_WORKED = ", worked"  # the one kind of text that had a comma in it, up to heuristic/3
_QUOTATION = re.compile(r'(?P<shown>"(?P<value>[^"]*)"?)\s*$')
_NAMED = r'"[^"\n]*"|[^",;]+'
_ENDING = re.compile(
    rf"\b[Ee]nds on (?P<token>{_NAMED}?)(?:,? (?P<role>(?:after|an?) [^;\n]+?))?(?:; *(?P<coming>.*?))?\.?\s*$"
)
_COMING = re.compile(rf"next is (?P<certainty>{'|'.join(phrase for _, phrase in CERTAINTY)}) (?P<next>.*)")
_NEXT = re.compile(r'"[^"\n]*"|(?<![^\s,])(?!or\s)[^\s",;](?:[^",;]*[^\s",;])?')


def write(claims: Iterable[Claim]) -> str:
    """The claims as an explanation."""
    kept = list(claims)
    said = {claim.kind: claim.value for claim in kept}
    lines = []
    for kinds in LINES[:3]:
        line = ", ".join(
            phrase.format(said[kind]) for kind, phrase in kinds.items() if kind in said.keys() - {"quotation"}
        )
        if "quotation" in kinds and "quotation" in said:
            line += f'{": " if line else ""}"{said["quotation"]}"'
        elif line:
            line += "."
        lines.append(line[:1].upper() + line[1:])
    lines.append(_ending(said, [claim.value for claim in kept if claim.kind == "next"]))
    return "\n".join(filter(None, lines))


def fit(claims: Iterable[Claim], limit: int = LIMIT) -> list[Claim]:
    """Those of the claims that an explanation has room for; the least useful kinds go first."""
    kept = list(claims)
    for kind in DROPPED:
        if len(write(kept)) <= limit:
            break
        kept = [claim for claim in kept if claim.kind != kind]
    return kept


def parse(text: str) -> list[Claim]:
    """The claims of an explanation in their order: all of a written one, and those that any other one makes in the same
    words.
    """
    found: list[Claim] = []
    start = 0
    for line in text.split("\n"):
        ending = _ENDING.search(line)
        claims = _read_ending(ending) if ending else _read_line(line, first=not found)
        found += [Claim(c.kind, c.value, (c.span[0] + start, c.span[1] + start)) for c in claims]
        start += len(line) + 1
    return found


def by_kind(claims: Iterable[Claim]) -> dict[str, str]:
    """The first claim of each kind."""
    out: dict[str, str] = {}
    for claim in claims:
        out.setdefault(claim.kind, claim.value)
    return out


def certainty(probability: float) -> str:
    """How sure a next token is, in words."""
    return next((phrase for bound, phrase in CERTAINTY if probability >= bound), CERTAINTY[-1][1])


def _ending(said: dict[str, str], following: Sequence[str]) -> str:
    role = said.get("role", "")
    ends = f"Ends on {said['token']}" if "token" in said else ""
    if ends and role:
        ends += f" {role}" if role.startswith("after ") else f", {role}"
    others = f", or {', '.join(following[1:])}" if len(following) > 1 else ""
    sure = said.get("certainty", "likely")
    coming = f"next is {sure} {following[0]}{others}" if following else UNKNOWN
    return "; ".join(filter(None, (ends, coming))) + "."


def _read_line(line: str, first: bool) -> Iterator[Claim]:
    quotation = _QUOTATION.search(line)
    head = line[: quotation.start()] if quotation else line
    for number, part in enumerate(_PART.finditer(head)):
        start, end = part.span()
        words = part.group().rstrip()
        claim = _claim(words[0].lower() + words[1:], start, start + len(words))
        if claim is None and first and number == 0:
            words += _WORKED if head.startswith(_WORKED, end) else ""
            claim = Claim("genre", words, (start, start + len(words)))
        if claim:
            yield claim
    if quotation:
        yield Claim("quotation", quotation["value"], quotation.span("shown"))


def _claim(words: str, start: int, end: int) -> Claim | None:
    found = ((kind, phrase.fullmatch(words)) for kind, phrase in _PARTS)
    return next((Claim(kind, match["value"], (start, end)) for kind, match in found if match), None)


def _read_ending(found: re.Match[str]) -> Iterator[Claim]:
    for kind in ("token", "role"):
        if found[kind]:
            yield Claim(kind, found[kind].strip(), found.span(kind))
    coming = _COMING.fullmatch(found["coming"] or "")
    if coming is None:
        return
    start = found.start("coming")
    begin, end = coming.span("certainty")
    yield Claim("certainty", coming["certainty"], (start + begin, start + end))
    start += coming.start("next")
    for token in _NEXT.finditer(coming["next"]):
        yield Claim("next", token.group(), (start + token.start(), start + token.end()))
