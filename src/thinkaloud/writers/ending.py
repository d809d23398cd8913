"""The final token of a text, its role, and the target model's next tokens, in words."""

import re
from collections.abc import Iterator, Sequence

from .claims import Claim, certainty
from .passage import IS_MARKER, ROLES, Passage, role_of, speaker_of
from .wordlists import MARKERS, MARKS, SETS

PIECE_CHARS = 16
MOST = 3  # next tokens that are told
# They are told until this much of the probability is, and none below the floor.
ENOUGH, FLOOR = 0.9, 0.05
DETERMINERS = frozenset(["article", "possessive", "determiner"])
NAMING = frozenset(["noun", "adjective"])
LAST_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*'?$")
LAST_NUMBER = re.compile(r"\d[\d.,]*$")


def ending(passage: Passage, token: str, next_tokens: Sequence[tuple[str, float]]) -> Iterator[Claim]:
    """The final token with its role, and what is next: ``Ends on "the", an article; next is likely "house"``."""
    name, role = _final(passage, token, next_tokens)
    yield Claim("token", name)
    if role:
        yield Claim("role", role)
    following = expected(passage.text, next_tokens)
    if following:
        yield Claim("certainty", certainty(next_tokens[0][1]))
    for one in following:
        yield Claim("next", one)


def name_token(token: str, inside_word: bool, opens_quote: bool) -> str:
    """A token's text as a reader would say it: a quoted word, a piece with a hyphen, or the name of a mark."""
    bare = token.strip()
    if not bare:
        breaks = token.count("\n")
        return "a paragraph break" if breaks > 1 else "a line break" if breaks else "a space" if token else "nothing"
    if bare == '"':
        return "an opening quote" if opens_quote or token[0] in " \n" else "a closing quote"
    known = MARKS.get(bare)
    if known:
        return known
    marker = IS_MARKER.search(bare) if bare[0] == "<" else None
    if marker:
        return _name_marker(marker.group())
    if "\ufffd" in bare:
        return "part of a character"
    shown = " ".join(bare.replace('"', "'").encode("utf-8", "replace").decode().split())[:PIECE_CHARS]
    return f'"-{shown}"' if inside_word and _continues(token) else f'"{shown}"'


def _name_marker(marker: str) -> str:
    if speaker := speaker_of(marker):
        return f"the start of the {speaker}'s turn"
    return next((name for part, name in MARKERS.items() if part in marker), "a control mark")


def _continues(token: str) -> bool:
    return token[:1].isalpha() or (token[:1] == "'" and token[1:2].isalpha())


def _final(passage: Passage, token: str, next_tokens: Sequence[tuple[str, float]]) -> tuple[str, str]:
    """The final token's name and its role, "" where it has none."""
    tail = passage.text[-64:]
    bare = token.strip()
    lower = passage.lower
    if lower and lower[-1].startswith("<|im_start|>") and lower[-1].endswith(bare.lower()) and bare[:1].isalpha():
        return f'"{bare}"', "a speaker"
    if not tail and bare[:1] == "<":
        return ("the start of the turn" if "start" in bare else "the start of the text"), ""
    if not bare and tail.endswith("\n\n"):
        return "a paragraph break", ""
    if not bare or not bare[-1].isalnum():
        named = name_token(token, False, tail.endswith("“"))
        before = lower[-2] if len(lower) > 1 else ""
        if not bare and before[:2] == "<|":
            return named, f"after {_name_marker(before)}"
        return named, f"after {before[:PIECE_CHARS]}" if bare and before[:1].isalnum() else ""
    number = LAST_NUMBER.search(tail)
    if number and bare.isdigit():
        whole = number.group()[-PIECE_CHARS:]
        shown = bare[-PIECE_CHARS:]
        return f'"{shown}"', "a number" if len(whole) <= len(shown) else f"a digit of {whole}"
    last = LAST_WORD.search(tail)
    word = last.group() if last else bare
    inside = len(word) > len(bare)
    shown = name_token(token, inside, False)
    if next_tokens and tail[-1:].isalpha() and _continues(next_tokens[0][0]):
        return shown, f"a piece inside {word[-PIECE_CHARS:]}" if inside else "a piece beginning a word"
    role = _role_here(passage, word, next_tokens)
    if inside:
        return shown, f"a piece finishing the {role} {word[-PIECE_CHARS:]}"
    return shown, f"{'an' if role[0] in 'aeiou' else 'a'} {role}"


def _role_here(passage: Passage, word: str, next_tokens: Sequence[tuple[str, float]]) -> str:
    """The role of the final word, corrected by the word before it and by what may follow."""
    role = role_of(word)
    if role not in ("noun", "verb", "adjective"):
        return role
    before = passage.lower[-2] if len(passage.lower) > 1 else ""
    if word[0].isupper() and (before[:1].isalpha() or (role == "noun" and word.lower() not in ROLES)):
        return "name"
    if before in SETS["before verbs"] and role != "adjective" and not word.endswith("s"):
        return "verb"
    if role != "noun" and before and role_of(before) in DETERMINERS:
        following = next_tokens[0][0].strip() if next_tokens else ""
        return role if role == "adjective" and following.isalpha() and role_of(following) in NAMING else "noun"
    return role


def expected(text: str, next_tokens: Sequence[tuple[str, float]]) -> list[str]:
    """The names of the tokens that are told to be next, best first."""
    named: list[str] = []
    told = 0.0
    for token, probability in next_tokens:
        if len(named) == MOST or told >= ENOUGH or (named and probability < FLOOR):
            break
        told += probability
        name = name_next(text, token)
        if name not in named:
            named.append(name)
    return named


def name_next(text: str, token: str) -> str:
    """The name of a token that may stand behind a text."""
    return name_token(token, text[-1:].isalpha(), text[-1:] in ("", " ", "\n", "(", "—", ">"))
