"""Claims are right where the rules make them too, and by chance as often as another document's are the same."""

import pyarrow as pa
import pytest

from thinkaloud.errors import UserError
from thinkaloud.evals.claims import agreement, how_right
from thinkaloud.writers import Context, explain_context
from thinkaloud.writers.write import contexts_of

ENDS = [("The old captain saw the", " the"), ("A boat is out at sea and", " and"), ("He found his hat on a", " a")]
CONTEXTS = [
    Context(f"The {thing} stood by the gate of the town. {end}", token, ((" door", 0.6), (".", 0.2)))
    for thing in ("horse", "wagon", "soldier", "child", "tree", "engine", "dog", "flag")
    for end, token in ENDS
]
DOCS = [i // 3 for i in range(len(CONTEXTS))]


def test_what_the_rules_write_themselves_is_right_and_by_chance_only_where_all_say_the_same() -> None:
    table = agreement(list(map(explain_context, CONTEXTS)), CONTEXTS, DOCS)
    assert {one.right.value for one in table.values()} == {1.0}
    assert table["next"].chance.value == 1.0
    assert table["next"].lift.value == 0.0
    assert table["topic"].chance.value < 0.5
    assert table["topic"].lift.low > 0.3
    assert table["token"].said.value == 1.0
    assert 0.1 < table["token"].chance.value < 0.6
    assert "question" not in table


def test_of_a_single_document_chance_is_not_known() -> None:
    found = agreement(list(map(explain_context, CONTEXTS)), CONTEXTS, ["one"] * len(CONTEXTS))["token"]
    assert found.right.value == 1.0
    assert (str(found.chance), str(found.lift)) == ("–", "–")


def test_shares_are_those_of_a_plain_count() -> None:
    said = [explain_context(context) if i % 3 else "Nothing at all" for i, context in enumerate(CONTEXTS)]
    said[1] = said[1].replace('"and"', '"but"')
    found = agreement(said, CONTEXTS, DOCS)["token"]
    assert found.said.value == pytest.approx(2 / 3)
    assert found.right.value == pytest.approx(15 / 16)
    assert found.said.n == len(CONTEXTS)
    assert found.right.n == 16  # those that say it
    assert found.right.clusters == 8


@pytest.mark.parametrize(
    ("kind", "value", "share"),
    [
        ("topic", "his boat", 1),
        ("topic", "the boats", 0),
        ("name", "Laura", 0.5),
        ("name", "Laura Osnes", 1),
        ("quotation", "in the old boat", 0.75),
        ("quotation", "", 0),
        ("tense", "Past", 1),
        ("tense", "present", 0),
        ("person", "she", 0),
        ("next", '"door"', 1),
    ],
)
def test_how_right_one_claim_is(kind: str, value: str, share: float) -> None:
    truth = {"topic": "the boat", "name": "Laura Osnes", "tense": "past", "next": '"door"'}
    assert how_right(kind, value, truth, ["the", "old", "boat"]) == share


def test_contexts_come_from_the_explanation_table() -> None:
    columns = {
        "text": [context.prefix for context in CONTEXTS],
        "token": [context.token for context in CONTEXTS],
        "next_tokens": [[token for token, _ in context.next_tokens] for context in CONTEXTS],
        "next_probs": [[p for _, p in context.next_tokens] for context in CONTEXTS],
    }
    table = pa.table(columns)
    assert contexts_of(table) == CONTEXTS
    assert contexts_of(table.append_column("chat", [[True] * len(CONTEXTS)]))[0].is_chat
    assert contexts_of(table.select(["text", "token"]))[0] == Context(CONTEXTS[0].prefix, " the")
    with pytest.raises(UserError, match="a writer needs the columns text and token, found no text"):
        contexts_of(table.drop_columns(["text"]))
