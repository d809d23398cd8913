"""Templates that were planted are found again, each paragraph in the first that it fits."""

import random
from itertools import product

from hypothesis import given, settings
from hypothesis import strategies as st

from thinkaloud.studies.survey.templates import mine

PLANTED = {
    "this passage describes _ in the manner of _ report": "This passage describes {} in the manner of {} report.",
    "final token … ends a phrase expecting … or … next": 'Final token "{}" ends a phrase, expecting "{}" or "{}" next.',
    "mostly figures # of them about _": "Mostly figures, 17 of them, about {}.",
}
SYLLABLES = ("ba", "lo", "ri", "mu", "te", "ka", "no", "shi", "ve", "dra")


def filled(n: int, seed: int = 0) -> list[tuple[str, str]]:
    """Paragraphs of the planted templates, each slot filled with one to three rare words; with their template."""
    dice = random.Random(seed)

    def slot() -> str:
        return " ".join("".join(dice.choices(SYLLABLES, k=3)) for _ in range(dice.randint(1, 3)))

    kinds = dice.choices(list(PLANTED), [5, 3, 2], k=n)
    return [(kind, PLANTED[kind].format(slot(), slot(), slot())) for kind in kinds]


def test_planted_templates_are_recovered_with_their_paragraphs() -> None:
    rows = filled(600)
    found = mine([text for _, text in rows])
    assert [template.text for template in found] == list(PLANTED)
    for template in found:
        assert {rows[i][0] for i in template.members} == {template.text}
        assert len(template.members) == sum(kind == template.text for kind, _ in rows)


def test_noise_is_in_no_template_and_few_templates_cover_the_rest() -> None:
    dice = random.Random(1)
    noise = [" ".join("".join(dice.choices(SYLLABLES, k=4)) for _ in range(9)) for _ in range(100)]
    found = mine([*(text for _, text in filled(500)), *noise])
    assert sum(len(template.members) for template in found) == 500
    assert len(found) == 3


def test_slots_are_shown_where_most_paragraphs_have_words() -> None:
    names = ["".join(two) for two in product(SYLLABLES, SYLLABLES[:5])]
    texts = [f"About the {'old ' * (i % 5 == 0)}house, then {name}." for i, name in enumerate(names)]
    (template,) = mine(texts)
    assert template.text == "about the house then _"


@given(st.lists(st.text(max_size=40), max_size=8))
@settings(max_examples=50)
def test_no_paragraph_is_in_two_templates(texts: list[str]) -> None:
    members = [i for template in mine(texts) for i in template.members]
    assert len(members) == len(set(members))
    assert set(members) <= set(range(len(texts)))
