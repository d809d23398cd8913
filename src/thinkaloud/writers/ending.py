"""The final token of a text, its role, and the target model's next tokens, in words."""

import re

from .passage import IS_MARKER, ROLES, Passage, role_of, speaker_of
from .wordlists import MARKERS, MARKS, SETS

PIECE_CHARS = 16
# Alternatives are told until this much of the probability is, and none below the floor.
ENOUGH, FLOOR = 0.9, 0.05
CERTAINTY = ((0.85, "almost surely"), (0.5, "very likely"), (0.25, "likely"), (0.1, "perhaps"), (0.0, "open, say"))
DETERMINERS = frozenset(["article", "possessive", "determiner"])
NAMING = frozenset(["noun", "adjective"])
LAST_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*'?$")
LAST_NUMBER = re.compile(r"\d[\d.,]*$")


def ending_line(passage: Passage, token: str, next_tokens: tuple[tuple[str, float], ...], most: int) -> str:
    """The third feature: ``Ends on "the", an article; next is likely "house", or "window", "door".``"""
    return f"Ends on {_final(passage, token, next_tokens)}; {_expected(passage.text, next_tokens, most)}."


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


def _final(passage: Passage, token: str, next_tokens: tuple[tuple[str, float], ...]) -> str:
    tail = passage.text[-64:]
    bare = token.strip()
    if not bare and tail.endswith("\n\n"):
        return "a paragraph break"
    if not bare or not bare[-1].isalnum():
        named = name_token(token, False, tail.endswith("“"))
        before = passage.lower[-2] if bare and len(passage.lower) > 1 else ""
        return f"{named} after {before[:PIECE_CHARS]}" if before[:1].isalnum() else named
    number = LAST_NUMBER.search(tail)
    if number and bare.isdigit():
        whole = number.group()[-PIECE_CHARS:]
        shown = bare[-PIECE_CHARS:]
        return f'"{shown}", a number' if len(whole) <= len(shown) else f'"{shown}", a digit of {whole}'
    last = LAST_WORD.search(tail)
    word = last.group() if last else bare
    inside = len(word) > len(bare)
    shown = name_token(token, inside, False)
    if next_tokens and tail[-1:].isalpha() and _continues(next_tokens[0][0]):
        return f"{shown}, a piece inside {word[-PIECE_CHARS:]}" if inside else f"{shown}, a piece beginning a word"
    role = _role_here(passage, word, next_tokens)
    if inside:
        return f"{shown}, a piece finishing the {role} {word[-PIECE_CHARS:]}"
    return f"{shown}, an {role}" if role[0] in "aeiou" else f"{shown}, a {role}"


def _role_here(passage: Passage, word: str, next_tokens: tuple[tuple[str, float], ...]) -> str:
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


def _expected(text: str, next_tokens: tuple[tuple[str, float], ...], most: int) -> str:
    inside, opens = text[-1:].isalpha(), text[-1:] in ("", " ", "\n", "(", "—", ">")
    named: list[str] = []
    told = 0.0
    for token, probability in next_tokens:
        if len(named) == most or told >= ENOUGH or (named and probability < FLOOR):
            break
        told += probability
        name = name_token(token, inside, opens)
        if name not in named:
            named.append(name)
    if not named:
        return "what comes next is not known"
    best = next_tokens[0][1]
    certainty = next((phrase for bound, phrase in CERTAINTY if best >= bound), CERTAINTY[-1][1])
    others = f", or {', '.join(named[1:])}" if len(named) > 1 else ""
    return f"next is {certainty} {named[0]}{others}"
