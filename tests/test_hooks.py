"""Captured, replaced and added vectors are those of a residual stream that adds up."""

from typing import Any

import pytest
import tiny
import torch
from torch import Tensor

from thinkaloud import families, hooks
from thinkaloud.activations.forward import Pass
from thinkaloud.errors import UserError
from thinkaloud.site import KINDS, Site

IDS = torch.tensor([[256, 72, 105, 33, 90], [256, 1, 2, 3, 4]])


def run(model: torch.nn.Module) -> Tensor:
    with torch.no_grad():
        return families.text_model(model)(input_ids=IDS, use_cache=False).last_hidden_state


@pytest.mark.parametrize("name", sorted(tiny.CONFIGS))
def test_the_parts_of_a_block_add_up(name: str) -> None:
    model = tiny.model(name)
    parallel = name == "gpt_neox"
    kinds = [kind for kind in KINDS if not (parallel and kind == "resid_mid")]
    sites = {kind: Site(kind, 1) for kind in kinds}
    with hooks.capture(model, *sites.values(), Site("resid_post", 0)) as seen:
        run(model)
    at = {kind: seen[site] for kind, site in sites.items()}
    assert torch.equal(at["resid_pre"], seen[Site("resid_post", 0)])
    torch.testing.assert_close(at["resid_post"], at["resid_pre"] + at["attn_out"] + at["mlp_out"])
    assert min(float(at[kind].norm()) for kind in kinds) > 0.1
    if parallel:
        with pytest.raises(UserError, match="resid_mid:1 is not there: attention and MLP of this model read the same"):
            hooks.capture(model, Site("resid_mid", 1)).__enter__()
    else:
        torch.testing.assert_close(at["resid_mid"], at["resid_pre"] + at["attn_out"])


@pytest.mark.parametrize("kind", KINDS)
def test_extraction_reads_every_kind(kind: str) -> None:
    model, site = tiny.model("gemma2"), Site(kind, 1)
    with hooks.capture(model, site) as seen:
        run(model)
    for next_tokens in (0, 2):
        found = Pass(model, site, next_tokens)(IDS.tolist(), [[0, 4], [3]], 100)().vectors
        torch.testing.assert_close(found, seen[site][[0, 0, 1], [0, 4, 3]])


@pytest.mark.parametrize("name", ["llama", "gemma3", "gpt2", "olmo2"])
def test_what_is_added_in_the_middle_is_there_behind_it(name: str) -> None:
    """Attention's share replaced by itself changes nothing; a vector added to it arrives in the stream."""
    model, vector = tiny.model(name), torch.randn(32, generator=torch.Generator().manual_seed(0))
    site, mid, behind = Site("attn_out", 2), Site("resid_mid", 2), Site("resid_post", 2)
    with hooks.capture(model, site, mid) as plain:
        before = run(model)
    with hooks.replace(model, site, plain[site]):
        assert torch.equal(run(model), before)
    with hooks.add(model, site, vector, at=(1, 3)), hooks.capture(model, mid, behind) as moved:
        after = run(model)
    expected = plain[mid].clone()
    expected[1, 3] += vector
    torch.testing.assert_close(moved[mid], expected)
    assert torch.equal(after[0], before[0])
    assert torch.equal(after[1, :3], before[1, :3])
    assert not torch.equal(after[1, 3:], before[1, 3:])
    with hooks.replace(model, Site("resid_pre", 3), moved[behind]):
        torch.testing.assert_close(run(model), after)
    with pytest.raises(UserError, match="resid_mid:2 can be captured alone: change attn_out"):
        hooks.replace(model, mid, moved[mid]).__enter__()
    assert torch.equal(run(model), before), "nothing stays behind"


@pytest.mark.parametrize("name", sorted(tiny.CONFIGS))
@pytest.mark.parametrize("kind", ["resid_pre", "attn_out", "mlp_out", "resid_post"])
def test_an_edit_is_given_the_keyword_arguments_of_the_call(name: str, kind: str) -> None:
    """Also where the module at the site is called without them, as Gemma's norm behind attention and every MLP is."""
    model, vector, site = tiny.model(name), torch.randn(32, generator=torch.Generator().manual_seed(0)), Site(kind, 1)
    before = run(model)
    with hooks.add(model, site, vector, at=(1, 3)):
        expected = run(model)

    def change(hidden: Tensor, given: dict[str, Any]) -> Tensor:
        out = hidden.clone()
        if "shift" in given:
            out[1, 3] += given["shift"]
        return out

    with hooks.edit(model, site, change), torch.no_grad():
        assert torch.equal(run(model), before), "nothing is left of an earlier call"
        found = families.text_model(model)(input_ids=IDS, use_cache=False, shift=vector).last_hidden_state
        torch.testing.assert_close(found, expected)
        assert torch.equal(run(model), before), "nothing is left of an earlier call"
    assert not torch.equal(expected, before)


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(UserError, match="layer 4 is out of range"):
        hooks.capture(tiny.model("llama"), Site("mlp_out", 4)).__enter__()
