"""Evaluations of truth find out explanations whose truth is known: base rates, the tail alone, lies, confidence."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from thinkaloud.baseline import Baseline
from thinkaloud.errors import UserError
from thinkaloud.evals.base import Bench, Measured
from thinkaloud.evals.calibration import Calibration
from thinkaloud.evals.marks import Known, known, marked
from thinkaloud.evals.readers import OTHER, PAIR, WRITER, cross_fitted, lens_claims
from thinkaloud.evals.truth import Truth
from thinkaloud.evals.unsaid import Unsaid
from thinkaloud.stats import Estimate
from thinkaloud.writers import Context, explain_context
from thinkaloud.writers.claims import Claim, parse

THINGS = ["horse", "wagon", "soldier", "child", "tree", "engine", "dog", "flag"]
PLACES = ["harbour", "mill", "tower", "garden"]
NEXT = " lantern violin bridge hammer ladder".replace(" ", "\n ").split("\n")[1:]
ENDS = [(" saw the", " the"), (" went to sea and", " and"), (" found his hat on a", " a")]
CONTEXTS = [
    Context(
        f"The {thing} stood by the {PLACES[i % 4]} of the town. The old captain{end}",
        token,
        ((NEXT[(i + j) % 5], (0.95, 0.6, 0.3)[j]), (".", 0.02)),
    )
    for i, thing in enumerate(THINGS * 2)
    for j, (end, token) in enumerate(ENDS)
]
DOCS = [f"doc {i // 3}" for i in range(len(CONTEXTS))]


def found(said: Sequence[str], contexts: Sequence[Context] = CONTEXTS, docs: Sequence[str] = DOCS) -> Measured:
    """The tables of an evaluation, as a run would make them, with a lens and probes that say nothing right."""
    n = len(contexts)
    columns = {
        "row": range(n),
        "sample": 0,
        "explanation": said,
        "doc_id": docs,
        "text": [one.prefix for one in contexts],
        "token": [one.token for one in contexts],
        "chat": [one.is_chat for one in contexts],
        "next_tokens": [[token for token, _ in one.next_tokens] for one in contexts],
        "next_probs": [[p for _, p in one.next_tokens] for one in contexts],
    }
    own = {"row": range(n), "neighbour": [(i + 3) % n for i in range(n)], "lens": [[" zebra"]] * n}
    own |= {"lens_probs": [[0.9]] * n, "probe_next": [""] * n, "probe_speaker": ["user"] * n}
    return Measured(pd.DataFrame(columns), pd.DataFrame(own), Baseline(0.8, 100, 10, "heldout"))


def lines(rows: Any, label: str) -> dict[str, dict[str, Any]]:
    return {labels[label]: quantities for labels, quantities in rows}


def headline(said: Sequence[str]) -> dict[str, Any]:
    return lines(Unsaid().rows(found(said)), "who")[PAIR]


def test_the_writer_is_right_in_all_it_says_and_says_all_that_the_rules_would() -> None:
    said = list(map(explain_context, CONTEXTS))
    table = lines(Truth().rows(found(said)), "claim")
    for kind in ("genre", "chat", "quotation", "clause", "token", "role", "certainty", "next", "topic"):
        assert table[kind]["precision"].value == table[kind]["recall"].value == 1.0, kind
        assert table[kind]["false"].value == 0.0
    assert table["next"]["by chance"].value < 0.6
    assert table["next"]["gain over chance"].low > 0
    assert "recall, logit lens" in table["next"]
    assert "recall, logit lens" not in table["genre"]
    top = headline(said)
    assert (top["recall at 1"].value, top["false claims"].value, top["positions"]) == (1.0, 0.0, len(CONTEXTS))


def test_base_rates_gain_nothing_over_chance() -> None:
    table = lines(Truth().rows(found([explain_context(CONTEXTS[0])] * len(CONTEXTS))), "claim")
    for kind in ("token", "next", "role", "certainty"):
        gain = table[kind]["gain over chance"]
        assert gain.value == 0.0, kind
        assert gain.low <= 0.0 <= gain.high
    assert 0.1 < table["token"]["precision"].value < 0.6


def test_the_tail_alone_is_right_and_names_nothing_that_is_not_said() -> None:
    said = [f'Ends on "{context.token.strip()}"; what comes next is not known.' for context in CONTEXTS]
    top, table = headline(said), lines(Truth().rows(found(said)), "claim")
    assert (top["recall at 1"].value, top["any named"].value, top["false claims"].value) == (0.0, 0.0, 0.0)
    assert table["token"]["recall"].value == 1.0
    assert table["next"]["recall"].value == 0.0
    assert table["next"]["precision"] is None


@pytest.mark.parametrize("rate", [0.1, 0.4])
def test_lies_are_found_at_their_rate(rate: float) -> None:
    dice = np.random.default_rng(1)
    lie = dice.random(len(CONTEXTS)) < rate
    said = [
        f'Ends on "{"submarine" if lies else context.token.strip()}"; what comes next is not known.'
        for lies, context in zip(lie, CONTEXTS, strict=True)
    ]
    false = headline(said)["false claims"]
    assert false.value == pytest.approx(lie.mean())
    assert false.low <= rate <= false.high


def test_second_named_tokens_count_for_any_and_not_at_1() -> None:
    named = [(one.token.strip(), one.next_tokens[0][0].strip()) for one in CONTEXTS]
    said = [f'Ends on "{token}"; next is likely "zebra", or "{following}".' for token, following in named]
    top = headline(said)
    assert (top["recall at 1"].value, top["any named"].value) == (0.0, 1.0)
    assert top["false claims"].value == 0.5  # zebra, and that it is likely, of four claims


def test_who_is_beside_the_pair() -> None:
    table = lines(Unsaid().rows(found(list(map(explain_context, CONTEXTS)))), "who")
    assert table[WRITER]["recall at 1"].value == 1.0
    assert table["the writer without M's next tokens"]["recall at 1"].value == 0.0
    assert table["logit lens"]["false claims"].value == 1.0
    assert table["linear probes"]["false claims"].value == 1.0  # nobody speaks
    assert table["linear probes"]["claims"] == len(CONTEXTS)
    assert table[OTHER]["recall at 1"].value < 0.5


@pytest.mark.parametrize(
    ("prefix", "token", "following", "unsaid", "content"),
    [
        ("He saw the", " the", " lantern", True, True),
        ("A lantern. He saw the", " the", " lantern", False, True),
        ("Many lanterns. He saw the", " the", " lantern", False, True),  # a word begins so
        ("He saw", " saw", " the", True, False),
        ("the hat. He saw", " saw", " the", False, False),
        ("He saw", " saw", ".", False, True),  # no word
        ("He saw a lan", " lan", "tern", True, False),
        ("A lantern. He saw a lan", " lan", "tern", False, False),
        ("He saw a lan", " lan", "d", True, False),  # the piece itself is no word that has been said
    ],
)
def test_what_the_text_does_not_say(prefix: str, token: str, following: str, unsaid: bool, content: bool) -> None:
    of = Known.of(Context(prefix, token, ((following, 0.9),)))
    assert of.unsaid is unsaid
    assert (of.unsaid and of.content) is (unsaid and content)


@pytest.mark.parametrize(
    ("claim", "right", "held"),
    [
        (Claim("topic", "the wagon"), 1.0, 0.0),
        (Claim("topic", "the harbour"), 0.0, 1.0),
        (Claim("topic", "the submarine"), 0.0, 0.0),
        (Claim("quotation", "old captain saw the"), 1.0, 0.0),
        (Claim("quotation", "old captain saw submarines"), 0.75, 0.0),
        (Claim("subject", "submarine"), 0.0, 0.0),
        (Claim("tense", "past"), np.nan, np.nan),
        (Claim("token", '"the"'), 1.0, 0.0),
        (Claim("token", '"captain"'), 0.0, 0.0),
        (Claim("next", '"lantern"'), 1.0, 0.0),
        (Claim("next", "a full stop"), 0.0, 1.0),
        (Claim("next", '"zebra"'), 0.0, 0.0),
    ],
)
def test_one_claim(claim: Claim, right: float, held: float) -> None:
    text = "A wagon stood near the harbour. The old captain saw the"
    context = Context(text, " the", ((" lantern", 0.9), (".", 0.02)))
    of = [Known.of(context)]
    rules = {**of[0].rules, "topic": "the wagon"}
    of = [Known(**{**vars(of[0]), "rules": rules})]
    (row,) = marked({"a": {0: [claim]}}, of, ["doc"]).to_dict("records")
    np.testing.assert_allclose([row["right"], row["held"]], [right, held])
    np.testing.assert_allclose(row["false"], 1 - right - held)


def band(rows: Any) -> dict[str, dict[str, Any]]:
    return lines(rows, "word")


def test_calibrated_words_are_within_their_band_and_overconfident_ones_are_not() -> None:
    true = band(Calibration().rows(found(list(map(explain_context, CONTEXTS)))))
    assert set(true) == {"almost surely", "very likely", "likely"}
    assert {one["over its band"] for one in true.values()} == {"0"}
    assert true["likely"]["M's probability"].value == pytest.approx(0.3)
    assert true["likely"]["likeliest"].value == 1.0
    over = [f'Ends on "the"; next is almost surely "{one.next_tokens[0][0].strip()}".' for one in CONTEXTS]
    (sure,) = band(Calibration().rows(found(over[:-1], CONTEXTS[:-1], DOCS[:-1]))).values()
    beyond = sure["over its band"]
    assert isinstance(beyond, Estimate)
    assert beyond.value == pytest.approx((16 * (0.95 + 0.6 + 0.3) - 0.3) / 47 - 0.85)
    assert beyond.high < 0


def test_probes_are_fitted_on_other_documents_only() -> None:
    dice = np.random.default_rng(0)
    docs = np.repeat(np.arange(20), 6)
    values = np.where(np.arange(120) % 2, "a", "b")
    x = dice.normal(size=(120, 8)) + 3 * (values == "a")[:, None]
    assert np.mean(np.array(cross_fitted(x, values.tolist(), docs.tolist())) == values) > 0.95
    # What tells documents apart tells nothing of a document that was not seen.
    own = np.array([f"value {doc % 10}" for doc in docs])
    one_hot = 5 * np.eye(20)[docs]
    assert np.mean(np.array(cross_fitted(one_hot, own.tolist(), docs.tolist())) == own) < 0.3
    assert cross_fitted(x, values.tolist(), [0] * 120) == [""] * 120
    assert cross_fitted(x, [f"{i}" for i in range(120)], docs.tolist()) == [""] * 120


def test_a_lens_claims_as_a_writer_would() -> None:
    context = Context("He saw the", " the", ((" cat", 0.9),))
    says = lens_claims(context, [" cat", " dog", " cow"], [0.5, 0.3, 0.01])
    assert says[0] == Claim("token", '"cat"')
    assert [one.value for one in says[1:]] == ["very likely", '"cat"', '"dog"']
    assert parse('Ends on "cat"; next is very likely "cat", or "dog".') == says


def none_kept(bench: Any) -> Any:
    return [Context("The sea", " sea")]


@pytest.mark.parametrize("made", [Truth, Unsaid, Calibration])
def test_without_next_tokens_there_is_one_line(made: Callable[[], Any]) -> None:
    class Without(Bench):
        contexts = property(none_kept)  # type: ignore[assignment]

    bench = Without.__new__(Without)
    with pytest.raises(UserError, match="found none: extract with --next-tokens 6"):
        made().measure(bench)
    with pytest.raises(UserError, match="found none"):
        known(none_kept(None))


def test_one_document_and_no_claims() -> None:
    one = found(list(map(explain_context, CONTEXTS)), docs=["one"] * len(CONTEXTS))
    assert OTHER not in lines(Unsaid().rows(one), "who")
    token = lines(Truth().rows(one), "claim")["token"]
    assert (token["precision"].value, token["by chance"], token["gain over chance"]) == (1.0, None, None)
    silent = found(["\n"] * len(CONTEXTS))
    top = lines(Unsaid().rows(silent), "who")[PAIR]
    assert (top["false claims"], top["claims"], top["recall at 1"].value) == (None, 0, 0.0)
    assert list(Calibration().rows(silent)) == []
    assert lines(Truth().rows(silent), "claim")["token"]["recall"].value == 0.0


def test_a_neighbour_is_of_another_document() -> None:
    from thinkaloud.evals.controls import nearest_rows

    x = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.1, 1.0]])
    assert nearest_rows(x, ["a", "a", "b", "b"]).tolist() == [3, 3, 1, 1]
