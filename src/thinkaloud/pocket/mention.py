"""Whether a text names a value of a fact of the pocket world: a number, a word or phrase, or a rhyme."""

import re
from functools import cache

from thinkaloud.numbers import numbers, parse
from thinkaloud.pocket.world import rhyme_words

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")


class Mention:
    """What a text names: its words, its numbers, and all of it in lower case with single spaces."""

    def __init__(self, text: str) -> None:
        self.words, self.numbers, self.plain = set(words(text)), numbers(text), " ".join(text.lower().split())

    def names(self, value: str) -> bool:
        """Whether the value stands here as a number, a whole word or phrase, or for a rhyme (-um) any word with it."""
        number = _number(value)
        if number is not None:
            return number in self.numbers
        if value.startswith("-"):
            return any(word.endswith(value[1:]) for word in self.words) or not self.words.isdisjoint(_rhymes(value))
        return re.search(rf"(?<!\w){re.escape(value.lower())}(?!\w)", self.plain) is not None


_number = cache(parse)


@cache
def _rhymes(value: str) -> tuple[str, ...]:
    try:
        return rhyme_words(value)
    except KeyError:
        return ()


def words(text: str) -> list[str]:
    """The words of a text in lower case, in order, without a closing 's."""
    return [re.sub(r"['’]s$", "", word) for word in WORD.findall(text.lower())]
