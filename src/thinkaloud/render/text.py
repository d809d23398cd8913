"""Characters that print as nothing or move the cursor, made visible."""

import unicodedata

SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}
UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format (bidi too), surrogate, line and paragraph separators


def visible(text: str) -> str:
    """`text` with every character that prints as nothing, or moves the cursor, made visible: a token on one line."""
    return "".join(SIGNS.get(c) or clean(c) for c in text)


def clean(text: str) -> str:
    """`text` safe for a terminal or a page: line breaks stay, what cannot be printed becomes its number."""
    return "".join(c if c == "\n" or unicodedata.category(c) not in UNPRINTABLE else f"<{ord(c):X}>" for c in text)


def minus(text: str) -> str:
    """A figure with a minus sign for its hyphen."""
    return text.replace("-", "−")
