"""Every sequence is in one batch, and no batch is above its budget."""

from hypothesis import given
from hypothesis import strategies as st

from thinkaloud.batching import length_batches


@given(st.lists(st.integers(1, 50), max_size=40), st.integers(1, 200), st.booleans())
def test_every_sequence_is_in_one_batch_under_the_budget(lengths: list[int], budget: int, equal: bool) -> None:
    batches = length_batches(lengths, budget, equal)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
        assert not equal or len({lengths[i] for i in batch}) == 1
