"""A changed fact costs more to an AR that reads facts, and less to one that reads phrases."""

import re

import pytest
import torch
from known_pairs import WIDTH, bench, direction, measured, results, said_of

from thinkaloud.evals.corruption import Corruption


def by_facts(text: str) -> torch.Tensor:
    """Reads names, topics and quoted words, in whatever phrase they stand."""
    return direction(" ".join(sorted(re.findall(r'(?:the|Laura) \w+(?=[,.])|"[^"]*"', text))))


def by_phrases(text: str) -> torch.Tensor:
    """Reads nothing but the phrases, without what is said in them."""
    return direction("".join(re.findall(r"about|naming|Ends on|: \"", text)))


def test_an_ar_that_reads_facts_pays_for_another_fact_and_not_for_other_words() -> None:
    found = results(Corruption(), bench(by_facts))
    assert set(found) == {"any", "a topic", "a name", "the last token", "a quotation"}
    for name, row in found.items():
        assert row["cost of another fact"].value > 0.3, name
        assert row["cost of other words"].value == pytest.approx(0, abs=1e-5), name
        assert row["fact costs more"].value == 1, name
        assert row["difference"].value == pytest.approx(row["cost of another fact"].value, abs=1e-5)
    assert found["a topic"]["facts"] == found["any"]["explanations"] == 10


def test_an_ar_that_reads_phrases_pays_for_other_words_and_not_for_another_fact() -> None:
    at = torch.stack([by_phrases(said_of(i)) + 0.3 * direction(f"{i} more") for i in range(40)])
    found = results(Corruption(), bench(by_phrases, at))
    for name in ("a topic", "a name", "the last token"):
        assert found[name]["cost of another fact"].value == pytest.approx(0, abs=1e-5)
        assert found[name]["cost of other words"].value > 0.3
        assert found[name]["fact costs more"].value == 0


def test_the_other_fact_is_of_another_document_and_everything_else_stays() -> None:
    own = measured(Corruption(), bench(direction)).own
    for row, kind, corrupted, reworded in own[["row", "kind", "corrupted", "reworded"]].itertuples(index=False):
        said = said_of(row)
        assert corrupted != said != reworded
        if kind == "token":
            assert reworded == said.replace("Ends on", "The last token is")
            assert re.sub(r'Ends on "\w+"', "", corrupted) == re.sub(r'Ends on "\w+"', "", said)
        if kind == "name":
            other = int(re.search(r"naming Laura (\d+)", corrupted)[1])
            assert other % 10 != row % 10
            assert reworded == said.replace("naming", "with the name")


@pytest.mark.parametrize(
    "how", [{"docs": 1}, {"finish": "cut"}, {"texts": ["Words that no writer would say"] * 8, "docs": 4}]
)
def test_where_there_is_no_fact_to_change_a_note_says_so(how: dict[str, object]) -> None:
    found = results(Corruption(), bench(direction, **how))  # type: ignore[arg-type]
    assert found["any"]["fact costs more"] is None
    assert "not to be had: no explanation states a fact" in found["any"]["note"]


@pytest.mark.filterwarnings("error")
def test_vectors_of_one_direction_have_no_costs() -> None:
    found = results(Corruption(), bench(direction, torch.ones(40, WIDTH)))
    assert {str(row["fact costs more"]) for row in found.values()} == {"–"}
