"""Text as it is printed: characters that print as nothing or move the cursor made visible, figures, lengths of time."""

import unicodedata
from typing import Any

SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}
UNPRINTABLE = ("Cc", "Cf", "Cs", "Zl", "Zp")  # control, format (bidi too), surrogate, line and paragraph separators


def visible(text: str) -> str:
    """`text` with every character that prints as nothing, or moves the cursor, made visible: a token on one line."""
    return "".join(SIGNS.get(c) or clean(c) for c in text)


def clean(text: str) -> str:
    """`text` safe for a terminal or a page: line breaks stay, what cannot be printed becomes its number."""
    return "".join(c if c == "\n" or unicodedata.category(c) not in UNPRINTABLE else f"<{ord(c):X}>" for c in text)


def plain(*parts: Any, width: int | None = None) -> str:
    """What rich prints, as plain text of this width (80, or COLUMNS), without blanks at the ends of lines."""
    from rich.console import Console

    how: dict[str, Any] = {"color_system": None, "force_terminal": False, "force_jupyter": False}
    console = Console(width=width, highlight=False, markup=False, **how)
    with console.capture() as captured:
        console.print(*parts, sep="\n")
    return "\n".join(line.rstrip() for line in captured.get().removesuffix("\n").split("\n"))


def minus(text: str) -> str:
    """A figure with a minus sign for its hyphen."""
    return text.replace("-", "−")


def duration(seconds: float) -> str:
    """A length of time as a person says it: 42 s, 3 min, 2 h 05 min."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d} min"
