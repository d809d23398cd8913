"""Claims: what an explanation says, each of a kind; written as a few lines, and read back from any explanation."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

LIMIT = 420


@dataclass(frozen=True)
class Claim:
    """One thing that an explanation says: its kind, its words, and where in the text they stand (0, 0 if unwritten)."""

    kind: str
    value: str
    span: tuple[int, int] = field(default=(0, 0), compare=False)


# The lines of an explanation: kinds in their order, each with its phrase. The last line is put together by `_ending`.
LINES: tuple[dict[str, str], ...] = (
    {
        "genre": "{}",
        "language": "in {}",
        "beginning": "{} beginning",
        "register": "{} wording",
        "tense": "{} tense",
        "person": "person {}",
        "topic": "about {}",
        "name": "naming {}",
    },
    {
        "question": "asked {}",
        "answer": "answer {}",
        "quantity": "{}",
        "number": "last {}",
        "subject": "subject {}",
        "verb": "verb {}",
        "object": "object {}",
        "opening": "begins {}",
    },
    {"speaker": "the {}", "turn": "{} turn", "container": "{}", "clause": "{}", "quotation": '"{}"'},
    {"token": "Ends on {}", "role": "{}", "certainty": "next is {}", "next": "{}"},
)
KINDS = tuple(kind for line in LINES for kind in line)
# What is left out first where an explanation would pass LIMIT.
DROPPED = (
    "register",
    "person",
    "tense",
    "quantity",
    "number",
    "opening",
    "object",
    "verb",
    "subject",
    "question",
    "name",
)
UNKNOWN = "what comes next is not known"

# Alternatives are told until this much of the probability is, and none below the floor.
CERTAINTY = ((0.85, "almost surely"), (0.5, "very likely"), (0.25, "likely"), (0.1, "perhaps"), (0.0, "open, say"))

# What a value looks like, where any words will not do: parts are told apart by it.
_VALUES = {
    "language": r"[A-Z].*",
    "beginning": r"the very|near the",
    "register": r"\w+",
    "tense": r"\w+",
    "quantity": r"(?:two|three|several|many) numbers",
    "number": r"\d.*",
    "speaker": r"user|assistant|system",
    "turn": r"\w+",
    "container": r"in (?:speech|brackets|an? (?:list item|line\b.*|entry|row of cells))|between (?:speeches|turns)",
    "clause": r"(?:early|midway|late) in .+|(?:opening|before) a new .+",
}
_PARTS = [
    (kind, re.compile(phrase.format(f"(?P<value>{_VALUES.get(kind, '.+')})")))
    for line in LINES[:3]
    for kind, phrase in line.items()
    if kind not in ("genre", "quotation")
]
_PART = re.compile(r"(?:[^,;.:]|[,;.:](?=\S))+")
_QUOTATION = re.compile(r'[:.,] *"(.*?)"?\s*$|^"(.*?)"?\s*$')
_NAMED = r'"[^"\n]*"|[^",;]+'
_ENDING = re.compile(
    rf"\b[Ee]nds on (?P<token>{_NAMED}?)(?:,? (?P<role>(?:after|an?) [^;\n]+?))?(?:; *(?P<coming>.*?))?\.?\s*$"
)
_COMING = re.compile(rf"next is (?P<certainty>{'|'.join(phrase for _, phrase in CERTAINTY)}) (?P<next>.*)")
_NEXT = re.compile(_NAMED)


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
    last: Claim | None = None
    for number, part in enumerate(_PART.finditer(head)):
        lead = len(part.group()) - len(part.group().lstrip())
        start, words = part.start() + lead, part.group().strip()
        if not words:
            continue
        claim = _claim(words, start)
        if claim is None and first and (number == 0 or (last and last.kind == "genre")):
            # A kind of text may have a comma in it.
            begin = start if last is None else last.span[0]
            claim = Claim("genre", head[begin : start + len(words)], (begin, start + len(words)))
            last = None
        if last:
            yield last
        last = claim or last
        if claim is None:
            last = None
    if last:
        yield last
    if quotation:
        group = 1 if quotation.group(1) is not None else 2
        yield Claim("quotation", quotation.group(group), quotation.span(group))


def _claim(part: str, start: int) -> Claim | None:
    words = part[0].lower() + part[1:]
    for kind, phrase in _PARTS:
        if found := phrase.fullmatch(words):
            at = found.start("value")
            return Claim(
                kind, part[at : found.end("value")] if at else found["value"], (start + at, start + found.end("value"))
            )
    return None


def _read_ending(found: re.Match[str]) -> Iterator[Claim]:
    for kind in ("token", "role"):
        if found[kind]:
            yield Claim(kind, found[kind].strip(), found.span(kind))
    coming = _COMING.fullmatch(found["coming"] or "")
    if coming is None:
        return
    start = found.start("coming")
    yield Claim("certainty", coming["certainty"], _moved(coming.span("certainty"), start))
    for token in _NEXT.finditer(coming["next"]):
        name = token.group().strip().removeprefix("or ")
        if name and name != "or":
            begin = token.start() + token.group().index(name)
            at = start + coming.start("next") + begin
            yield Claim("next", name, (at, at + len(name)))


def _moved(span: tuple[int, int], by: int) -> tuple[int, int]:
    return span[0] + by, span[1] + by
