"""Templates and themes that were planted are found, and named by the words that tell them apart."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkaloud.studies.survey.clusters import Clustering, cluster, sentences, skeletons, telling

RIVER = ["the river rose over the bank", "a river and its bank", "water of the river", "the bank by the water"]
BREAD = ["bread from the oven", "the baker kneads bread", "an oven full of bread", "flour for the baker"]


def test_a_skeleton_keeps_what_is_said_again_and_again() -> None:
    nouns = [f"{a}{b}" for a in "bcdfgh" for b in ("ane", "ote", "ill", "uck")]
    texts = [
        f'A tale about the {noun} {noun}ish.\nEnds on "{noun} x", {i} words; “so”.' for i, noun in enumerate(nouns)
    ]
    assert set(skeletons(texts, 0.5)) == {"A tale about the _. / Ends on …, # words; …."}


def test_a_word_counts_as_common_by_share_of_texts_not_of_words() -> None:
    texts = ["tide tide tide tide", *(f"the end {word}" for word in ("ab", "cd", "ef", "gh"))]
    assert skeletons(texts, 0.5) == ["_", "the end _", "the end _", "the end _", "the end _"]


@given(st.lists(st.text(max_size=40), max_size=6))
@settings(max_examples=50)
def test_every_text_has_a_skeleton_without_digits(texts: list[str]) -> None:
    found = skeletons(texts)
    assert len(found) == len(texts)
    assert not any(char.isdecimal() for skeleton in found for char in skeleton)


def test_sentences_of_an_explanation() -> None:
    assert sentences("One. Two!\n\nThree") == ["One.", "Two!", "Three"]
    assert sentences(" \n") == []


def test_two_themes_are_parted_and_labelled_by_their_own_words() -> None:
    texts = [*RIVER, *BREAD] * 5
    found = cluster(texts, 2, seed=0)
    groups = {frozenset(texts[i] for i in c.members) for c in found.clusters}
    assert groups == {frozenset(RIVER), frozenset(BREAD)}
    labels = {c.words[0] for c in found.clusters}
    assert labels <= {"river", "bank", "water", "bread", "oven", "baker"}
    for c in found.clusters:
        own = RIVER if texts[c.nearest] in RIVER else BREAD
        assert all(any(word in text for text in own) for word in c.words)
        assert "the" not in c.words
    assert found.agreement == pytest.approx(1)


def test_each_text_is_in_one_cluster_and_the_largest_come_first() -> None:
    texts = [*RIVER * 3, *BREAD, "12 34", ""]
    found = cluster(texts, 3, seed=0)
    assert sorted(i for c in found.clusters for i in c.members) == list(range(len(texts)))
    sizes = [len(c.members) for c in found.clusters]
    assert sizes == sorted(sizes, reverse=True)
    assert all(c.nearest in c.members for c in found.clusters)


def test_the_same_seed_gives_the_same_clusters() -> None:
    first, second = cluster([*RIVER, *BREAD], 4, seed=3), cluster([*RIVER, *BREAD], 4, seed=3)
    assert [c.members.tolist() for c in first.clusters] == [c.members.tolist() for c in second.clusters]
    assert [c.words for c in first.clusters] == [c.words for c in second.clusters]


def test_skeletons_of_marks_alone_can_be_clustered() -> None:
    found = cluster(["… _", "… _", "# # .", "# # ."], 2, seed=0, words=False)
    assert sorted(c.members.tolist() for c in found.clusters) == [[0, 1], [2, 3]]


@pytest.mark.parametrize("texts", [[], ["", ""], ["1 2", "…"]])
def test_nothing_to_compare_is_no_cluster(texts: list[str]) -> None:
    found = cluster(texts, 3, seed=0)
    assert isinstance(found, Clustering)
    assert found.clusters == ()


def test_more_clusters_than_texts_are_as_many_as_texts() -> None:
    assert len(cluster(["river bank", "bread oven", "river bank"], 9, seed=0).clusters) == 2


def test_a_telling_word_is_one_said_more_often_here_and_often_enough_to_be_no_accident() -> None:
    counts = np.array([[100.0, 40.0, 1.0], [100.0, 4.0, 0.0]])
    z = telling(counts)
    assert z[0].argmax() == 1
    assert z[0, 1] > 1.96
    assert 0 < z[0, 2] < 1.96  # said once: perhaps an accident
    assert np.allclose(z[0], -z[1])
    assert np.allclose(telling(np.array([[50.0, 7.0], [50.0, 7.0]])), 0)
