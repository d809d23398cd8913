"""The implausible writer tells the truth of the last token alone."""

from pathlib import Path

from thinkaloud.writers import Context, explain_context
from thinkaloud.writers.base import writer
from thinkaloud.writers.claims import by_kind, parse

ABLATIONS = Path(__file__).parents[2] / "recipes" / "ablations"


def test_an_implausible_text_is_that_of_another_context_with_the_same_last_token() -> None:
    ends = {
        " sea": ["The captain looked at the sea", "Laura swam in the cold sea", "A storm is out at sea"],
        " hat": ["a hat"],
    }
    contexts = [Context(text, token, ((".", 0.9),)) for token, texts in ends.items() for text in texts]
    said = writer.find(str(ABLATIONS / "implausible.py"))().write(contexts)
    own = [explain_context(context) for context in contexts]
    assert sorted(said[:3]) == sorted(own[:3])
    assert all(text != mine for text, mine in zip(said[:3], own[:3], strict=True))
    assert by_kind(parse(said[3])).keys() <= {"token", "role"}
    for text, context in zip(said, contexts, strict=True):
        assert by_kind(parse(text))["token"].strip('"') == context.token.strip()
