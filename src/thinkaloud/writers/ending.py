"""What is the final token, what is its role, and what does the model expect next?"""

import re

from .passage import AFTER_MODAL, IS_MARKER, Passage, role_of, speaker_of

PIECE_CHARS = 16
# An alternative below this probability is not worth a word.
FLOOR = 0.004

PUNCTUATION = {
    ",": "a comma",
    ".": "a full stop",
    "?": "a question mark",
    "!": "an exclamation mark",
    ";": "a semicolon",
    ":": "a colon",
    "-": "a hyphen",
    "—": "a dash",
    "–": "a dash",
    "--": "a dash",
    "'": "an apostrophe",
    "’": "an apostrophe",
    "“": "an opening quote",
    "”": "a closing quote",
    "(": "an opening bracket",
    ")": "a closing bracket",
    "...": "an ellipsis",
    "…": "an ellipsis",
    "=": "an equals sign",
    "+": "a plus sign",
    "*": "a star",
    "/": "a slash",
    "$": "a dollar sign",
    "%": "a percent sign",
    "#": "a hash",
    "####": "the answer mark",
}
CLOSED = {
    ',"': "a comma and closing quote",
    '."': "a full stop and closing quote",
    '?"': "a question mark and closing quote",
    '!"': "an exclamation mark and closing quote",
    '—"': "a dash and closing quote",
}
DETERMINERS = frozenset(["article", "possessive", "determiner"])
LAST_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)*'?$")
LAST_NUMBER = re.compile(r"\d[\d.,]*$")
CERTAINTY = ((0.85, "almost surely"), (0.5, "very likely"), (0.25, "likely"), (0.1, "perhaps"), (0.0, "wide open, say"))


def ending_line(passage: Passage, token: str, next_tokens: tuple[tuple[str, float], ...], most: int) -> str:
    """The third feature: ``Ends on "the", an article; next is likely "house", or else "window" or "door".``"""
    goes_on = bool(next_tokens) and _continues(next_tokens[0][0]) and _ends_in_letter(passage.text)
    return f"Ends on {_final(passage, token, goes_on, next_tokens)}; {_expected(passage, next_tokens, most)}."


def name_token(token: str, inside_word: bool, opens_quote: bool) -> str:
    """A token's text as a reader would say it: a quoted word, a piece with a hyphen, or the name of a mark."""
    marker = IS_MARKER.search(token)
    if marker:
        return _marker_name(marker.group())
    bare = token.strip()
    if not bare:
        breaks = token.count("\n")
        return "a paragraph break" if breaks > 1 else "a line break" if breaks else "a space" if token else "nothing"
    if bare == '"':
        return "an opening quote" if opens_quote or token[0] in " \n" else "a closing quote"
    known = PUNCTUATION.get(bare) or CLOSED.get(bare)
    if known:
        return known
    if "\ufffd" in bare:
        return "part of a character"
    shown = bare.replace('"', "'").encode("utf-8", "replace").decode()[:PIECE_CHARS]
    shown = " ".join(shown.split())
    return f'"-{shown}"' if inside_word and _continues(token) else f'"{shown}"'


def _marker_name(marker: str) -> str:
    speaker = speaker_of(marker)
    if speaker:
        return f"the start of the {speaker}'s turn"
    if "text" in marker or "doc" in marker or "eos" in marker or marker == "</s>":
        return "the end of the text"
    return "the end of the turn" if "end" in marker or "eot" in marker else "a control mark"


def _continues(token: str) -> bool:
    return token[:1].isalpha() or (token[:1] == "'" and token[1:2].isalpha())


def _ends_in_letter(text: str) -> bool:
    return text[-1:].isalpha()


def _opens_quote(text: str) -> bool:
    return not text or text[-1] in " \n(—>"


def _final(passage: Passage, token: str, goes_on: bool, next_tokens: tuple[tuple[str, float], ...]) -> str:
    bare = token.strip()
    if not bare or not bare[-1].isalnum():
        named = name_token(token, False, passage.text.endswith("“"))
        before = passage.lower[-2] if bare and len(passage.lower) > 1 else ""
        return f"{named} after {before[:PIECE_CHARS]}" if before[:1].isalnum() else named
    number = LAST_NUMBER.search(passage.text)
    if number and bare.isdigit():
        whole = number.group()
        return f'"{bare[:PIECE_CHARS]}", a number' if len(whole) <= len(bare) else f'"{bare}", a digit of {whole[-12:]}'
    last = LAST_WORD.search(passage.text)
    word = last.group() if last else bare
    inside = len(word) > len(bare)
    shown = name_token(token, inside, False)
    if goes_on:
        return f"{shown}, a piece inside {word[-PIECE_CHARS:]}" if inside else f"{shown}, a piece beginning a word"
    role = _role_here(passage, word, next_tokens)
    return f"{shown}, a piece finishing the {role} {word[-PIECE_CHARS:]}" if inside else f"{shown}, {_a(role)}"


def _role_here(passage: Passage, word: str, next_tokens: tuple[tuple[str, float], ...]) -> str:
    """The role of the final word, corrected by the word before it and by what may follow."""
    role = role_of(word)
    if role not in ("noun", "verb", "adjective"):
        return role
    before = passage.lower[-2] if len(passage.lower) > 1 else ""
    if word[0].isupper() and before[:1].isalpha():
        return "name"
    if before in AFTER_MODAL and role != "adjective" and not word.endswith("s"):
        return "verb"
    if role_of(before) in DETERMINERS and before:
        following = next_tokens[0][0].strip() if next_tokens else ""
        return "adjective" if following.isalpha() and role_of(following) in ("noun", "adjective") else "noun"
    return role


def _expected(passage: Passage, next_tokens: tuple[tuple[str, float], ...], most: int) -> str:
    inside, opens = _ends_in_letter(passage.text), _opens_quote(passage.text)
    named: list[str] = []
    for text, probability in next_tokens:
        if len(named) == most or (named and probability < FLOOR):
            break
        name = name_token(text, inside, opens)
        if name not in named:
            named.append(name)
    if not named:
        return "what comes next is not known"
    best = next_tokens[0][1]
    certainty = next((words for bound, words in CERTAINTY if best >= bound), CERTAINTY[-1][1])
    first, others = named[0], named[1:]
    if not others:
        return f"next is {certainty} {first}"
    tail = others[0] if len(others) == 1 else f"{', '.join(others[:-1])} or {others[-1]}"
    return f"next is {certainty} {first}, or else {tail}"


def _a(role: str) -> str:
    return f"an {role}" if role[0] in "aeiou" else f"a {role}"
