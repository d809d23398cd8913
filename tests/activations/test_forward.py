"""The vectors are those of a plain full forward, whatever the batch."""

import pytest
import tiny
import torch

from thinkaloud.activations.forward import Pass, length_bound
from thinkaloud.errors import UserError
from thinkaloud.site import Site

LENGTHS = (40, 3, 17, 40, 1, 29)


def sequences(seed: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(0, 250, (n,), generator=generator).tolist() for n in LENGTHS]


@pytest.mark.parametrize("family", tiny.CONFIGS)
@pytest.mark.parametrize("batch_tokens", [1, 90, 4096])
def test_ragged_batches_give_the_hidden_states_of_each_text_alone(family: str, batch_tokens: int) -> None:
    """Longer than the sliding windows of the families that have one, with tokens after the last wanted."""
    model, ids = tiny.model(family), sequences()
    positions = [[0, 5, 30], [2], [], [39], [0], list(range(20))]
    found = Pass(model, Site("resid_post", 1))(ids, positions, batch_tokens)().vectors
    with torch.no_grad():
        alone = [
            model(torch.tensor([one]), output_hidden_states=True, use_cache=False).hidden_states[2][0, places]
            for one, places in zip(ids, positions, strict=True)
            if places
        ]
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", tiny.CONFIGS)
def test_next_tokens_are_the_models_own_expectation(family: str) -> None:
    model, ids = tiny.model(family), sequences(1)
    positions = [[4, 33], [], [16], [1], [0], [28]]
    site = Site("resid_post", 2)
    found = Pass(model, site, next_tokens=3)(ids, positions, 200)()
    row = 0
    for one, places in zip(ids, positions, strict=True):
        for place in places:
            with torch.no_grad():
                expected = model(torch.tensor([one[: place + 1]]), use_cache=False).logits[0, -1].softmax(-1).topk(3)
            assert found.next_ids is not None
            assert found.next_probs is not None
            assert found.next_ids[row].tolist() == expected.indices.tolist()
            torch.testing.assert_close(found.next_probs[row], expected.values, rtol=1e-4, atol=1e-6)
            row += 1
    plain = Pass(model, site)(ids, positions, 200)().vectors
    torch.testing.assert_close(found.vectors, plain, rtol=1e-5, atol=1e-5)


def test_the_output_head_and_later_blocks_are_never_called() -> None:
    model = tiny.model("llama")

    def fail(*_: object) -> None:
        raise AssertionError("beyond the site")

    for module in (model.lm_head, model.model.norm, model.model.layers[2]):
        module.register_forward_hook(fail)
    assert len(Pass(model, Site("resid_post", 1))(sequences(), [[0]] * 6, 64)().vectors) == 6


def test_angles_that_depend_on_the_length_are_read_uncut_and_unpadded() -> None:
    """Phi-3's long factors apply when the batch is longer than the original context: 20 here."""
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, "short_factor": [1.0] * 4, "long_factor": [3.0] * 4}
    changes = {"rope_parameters": rope, "original_max_position_embeddings": 20}
    model = tiny.model("phi3", **changes)
    assert length_bound(model)
    ids, positions = sequences(), [[3], [2], [16], [0, 39], [0], [4]]
    found = Pass(model, Site("resid_post", 1))(ids, positions, 4096)().vectors
    alone = []
    for one, places in zip(ids, positions, strict=True):
        with torch.no_grad():
            states = model(torch.tensor([one]), output_hidden_states=True, use_cache=False).hidden_states
        alone.append(states[2][0, places])
    torch.testing.assert_close(found, torch.cat(alone), rtol=1e-5, atol=1e-5)
    assert not length_bound(tiny.model("llama"))


def test_a_layer_out_of_range_is_refused() -> None:
    with pytest.raises(UserError, match="layer 4 is out of range: the model has 4 blocks, 0 to 3"):
        Pass(tiny.model("llama"), Site("resid_post", 4))
