"""Facts of the pocket world: where they are read, twins in which names are swapped, margins, and what is left out."""

import re
from dataclasses import replace
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
import torch

from thinkaloud import NLA
from thinkaloud.activations import Activations
from thinkaloud.baseline import Baseline
from thinkaloud.contract import OPEN
from thinkaloud.evals.base import Bench, Measured
from thinkaloud.evals.margin import logprobs
from thinkaloud.pocket import facts
from thinkaloud.pocket.facts import AT, BEFORE, NOT_YET, SETTLED, STATED, SWAPPED, World, points, swapped
from thinkaloud.pocket.mention import Mention
from thinkaloud.pocket.world import FAMILIES, episodes


@pytest.fixture(scope="module")
def pocket() -> NLA:
    return NLA.from_pretrained("pocket")


def test_facts_are_read_before_and_after_they_are_settled_and_stated() -> None:
    seen = set()
    for episode in episodes(11, 60, "heldout"):
        ends = [found.end() for found in re.finditer(r"\s*\w+|\s*[^\w\s]", episode.text)]
        for fact, value, at, token in points(episode, ends):
            upto = episode.text[: ends[token]]
            known = [one.known_from for one in episode.facts if one.name.startswith(fact)]
            stated = [one.stated_at for one in episode.facts if one.name.startswith(fact) and one.stated_at is not None]
            if at == NOT_YET:
                assert any(len(upto) < one for one in known)
            if at == SETTLED:
                assert any(upto.endswith(episode.text[:one][-3:]) for one in known)
            if at == BEFORE:
                assert any(len(upto) <= one for one in stated)
            if at == STATED and not value.startswith("-"):
                assert upto.endswith(value) or value in upto[-len(value) - 12 :]
            seen.add((episode.family, at))
    assert seen == {(family, at) for family in FAMILIES for at in AT}


def test_a_twin_has_the_same_words_and_another_answer() -> None:
    twins = [(one, twin) for one in episodes(12, 60, "heldout", ["places"]) if (twin := swapped(one))]
    assert len(twins) > 20
    for one, twin in twins:
        (fact,) = twin.facts
        asked = next(fact for fact in one.facts if fact.name == "asked")
        assert fact.name == SWAPPED
        assert fact.value != asked.value
        assert twin.text.startswith(fact.value, fact.stated_at)
        assert twin.text[: fact.known_from] != one.text[: asked.known_from]
        told, twice = (
            set(re.findall(r"\w+", some.text[: fact.known_from])) for some, fact in ((one, asked), (twin, fact))
        )
        assert told == twice
    assert all(swapped(one) is None for one in episodes(12, 10, "heldout", ["rules"]))


def test_margins_are_those_of_a_plain_forward_pass(pocket: NLA) -> None:
    av = pocket.verbalizer
    vectors = torch.randn(2, 256, generator=torch.Generator().manual_seed(0))
    begins, endings = (
        ["Plain prose, about ", 'Ends on "the"; next is likely '],
        [["the sea", "the old dog"], ['"a"', '"it"']],
    )
    found = logprobs(av, vectors, begins, endings)
    for row, (begin, some) in enumerate(zip(begins, endings, strict=True)):
        whole = []
        for ending in some:
            ids = av.tokenizer(f"{OPEN}\n{begin}{ending}", add_special_tokens=False)["input_ids"]
            prompt, more = av.inputs(av.slot_vectors(vectors[row : row + 1]))
            embeds = torch.cat([prompt, av.model.get_input_embeddings()(torch.tensor([ids]))], dim=1)
            with torch.no_grad():
                logits = av.model(inputs_embeds=embeds, **more).logits[0, prompt.shape[1] - 1 : -1]
            chosen = torch.log_softmax(logits, -1).gather(1, torch.tensor(ids)[:, None])
            whole.append(float(chosen.sum()))
        assert found[row][0] - found[row][1] == pytest.approx(whole[0] - whole[1], abs=1e-3)


def table(rows: list[dict[str, Any]]) -> Measured:
    return Measured(pd.DataFrame(), pd.DataFrame(rows), Baseline(0.8, 100, 10, "heldout"))


def test_an_av_that_names_what_it_holds_gains_and_one_that_always_says_the_same_does_not() -> None:
    values = ["nurse", "student", "runner", "farm"] * 6

    def record(i: int, said: str) -> dict[str, Any]:
        others = [one for one in values if one != values[i]]
        named = [Mention(said).names(one) for one in others]
        head = {"family": "speakers", "fact": "trait", "at": BEFORE, "doc": str(i), "new": i % 2 == 0, "stands": False}
        head |= {"named": Mention(said).names(values[i]), "chance": sum(named) / len(named), "false": any(named)}
        return head | dict.fromkeys(("sampled", "written", "probe", "margin", "picks"), None)

    ((_, right),) = World().rows(table([record(i, f"about the {value}") for i, value in enumerate(values)]))
    assert (right["words"].value, right["false"].value) == (1.0, 0.0)
    assert right["gain over chance"].value == 1.0
    assert right["linear probe"] is None
    ((_, same),) = World().rows(table([record(i, "about the nurse") for i in range(len(values))]))
    assert same["words"].value == pytest.approx(0.25)
    assert same["false"].value == pytest.approx(0.75)
    assert same["gain over chance"].low <= 0.0 <= same["gain over chance"].high


def test_another_model_is_left_out_in_one_line(pocket: NLA) -> None:
    data = Activations(torch.zeros(0, 256), pa.table({"doc_id": pa.array([], pa.string())}), pocket.site)
    bench = Bench(replace(pocket, base="another/model"), data, [], Baseline(0.8, 100, 10, "heldout"))
    assert World().measure(bench) == ()
    ((labels, quantities),) = World().rows(table([]))
    assert "needs a pair that reads the pocket base model" in labels["fact"]
    assert quantities == {}


def test_begins_stop_where_the_value_would_stand() -> None:
    said = 'Plain prose, about the sea.\nEnds on "a", an article; next is likely "boat", or "ship".'
    assert facts._begin(said, topic=True) == "Plain prose, about "
    assert facts._begin(said, topic=False).endswith("next is likely ")
    assert facts._begin("A chat.", topic=True) == "A chat, about "
    assert facts._begin("", topic=False) == "Plain prose.\nnext is likely "
