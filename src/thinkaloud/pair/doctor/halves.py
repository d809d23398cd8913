"""Checks of an AV and an AR against their contracts, and of whether they are one pair."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from thinkaloud import contract as contracts
from thinkaloud import families, hooks
from thinkaloud.contract import Contract
from thinkaloud.errors import UserError
from thinkaloud.pair.doctor.check import OTHER, TEXT, Check, Off, check, probe_ids, relative, require, tolerance
from thinkaloud.pair.doctor.model import check_bos, check_weights
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.site import Site

ROOM = 64  # tokens an explanation should at least have behind the prompt
_RANDOM_HEAD = 0.05  # cosine with the identity, which every known AR head starts from; a random head has about 1/d
_FOREIGN_BLOCK = 0.2  # cosine of an AR's matrices with its base's; unrelated ones have about 0


@check("marker", "use the tokenizer and chat template that the AV was trained with")
def check_marker(contract: Contract, tokenizer: Any) -> str:
    """The marker against the live tokenizer: one token, in its place, beside the neighbours of the training."""
    marker = contract.marker
    assert marker is not None  # an AV's contract has one
    _, places, live = contracts.find_marker(tokenizer, contract.av_template or "", marker.char, contract.plain_prompt)
    wanted, found = ((ids.left_id, ids.token_id, ids.right_id) for ids in (marker, live))
    prompt = "the prompt, a plain text" if contract.plain_prompt else "the prompt"
    where = f"{marker.char} is token {live.token_id} at {', '.join(map(str, places))} of {prompt}"
    if wanted != found:
        raise UserError(f"{where}; contract: {wanted}, tokenizer: {found}")
    contracts.check_marker(contract, tokenizer)
    return f"{where}, between {live.left_id} and {live.right_id}"


def check_verbalizer(av: Verbalizer) -> list[Check]:
    """An AV: its injection and the room it has to speak."""
    weights = check_weights(av.model, name="AV weights")
    return [weights, _injection(av), _injected_norm(av), _room(av)] if weights.ok else [weights]


def check_reconstructor(ar: Reconstructor, base: Any = None) -> list[Check]:
    """An AR: its head, its cut, and that it tells texts apart. `base` is the full model it was made from."""
    weights = check_weights(ar.backbone, name="AR weights")
    if not weights.ok:
        return [weights]
    cut = [] if base is None else [_cut(ar, base)]
    return [weights, _head(ar), _end(ar), check_bos(ar.backbone, ar.tokenizer, name="AR BOS"), *cut, _reads(ar)]


@check("pair", "give an AV and an AR of one training run")
def check_together(av: Contract, ar: Contract) -> str:
    """Whether two contracts are of one pair."""
    if av.d_model != ar.d_model:
        raise UserError(f"the AV is {av.d_model} wide, the AR {ar.d_model}")
    if av.site is not None and av.site != ar.site:
        raise UserError(f"the AV is of {av.site}, the AR of {ar.site}")
    return f"both of {ar.site}, {ar.d_model} wide; {ar.baseline or av.baseline or 'no baseline in the contract'}"


@check("injection", "attention is not causal here, or another hook touches the stream")
def _injection(av: Verbalizer) -> str:
    """Two different vectors: alike before the marker, different at it from the block on where they enter, and after."""
    assert av.contract.marker is not None  # an AV's contract has one
    vectors = torch.randn(2, av.contract.d_model, generator=torch.Generator().manual_seed(0))
    embeds, arguments = av.inputs(av.slot_vectors(vectors[:, None].expand(-1, len(av.slots), -1)))
    sites = [Site("resid_pre", layer) for layer in range(families.n_blocks(av.model))]
    with hooks.capture(av.model, *sites) as seen:
        families.text_model(av.model)(inputs_embeds=embeds, use_cache=False, **arguments)
    place = av.prompt_ids.tolist().index(av.contract.marker.token_id)
    for layer, site in enumerate(sites):
        a, b = seen[site]
        entered = layer >= av.injection.entry_block
        if not torch.equal(a[:place], b[:place]):
            raise UserError(f"changes tokens before the marker at block {layer}")
        if torch.equal(a[place], b[place]) == entered:
            raise UserError(f"the vector is {'not ' if entered else ''}there at block {layer}")
    if torch.equal(*seen[sites[-1]][:, -1]):
        raise UserError("the end of the prompt does not feel the vector")
    return f"{av.injection.place}; nothing before the marker changes"


@check("injected norm")
def _injected_norm(av: Verbalizer) -> str:
    usual = float(families.embed(av.model, av.prompt_ids.to(av.device)).float().norm(dim=-1).median())
    norm = av.contract.injection_scale
    if not av.injection.takes_scale or norm is None:
        return "that of the stream, by construction"
    return f"{norm:.4g}; embeddings of the prompt have about {usual:.4g}"


@check("room", "shorten the template")
def _room(av: Verbalizer) -> str:
    room = families.context_length(av.model) - len(av.prompt_ids)
    return require(room >= ROOM, f"{room:,} tokens behind a prompt of {len(av.prompt_ids)}")


@check("AR head", "it looks random: fetch value_head.safetensors of this very AR")
def _head(ar: Reconstructor) -> str:
    weight = ar.head.weight.float().cpu()
    eye = torch.eye(len(weight))
    if not torch.isfinite(weight).all():
        raise Off("holds NaN or infinity", "fetch or train the AR again")
    if torch.equal(weight, eye):
        raise Off("is the identity, as before training", "train the AR, or fetch its head")
    cos = _likeness([(weight, eye)])
    found = f"{len(weight)} × {len(weight)}, cosine {cos:.3f} with the identity it started from"
    return require(cos > _RANDOM_HEAD, found)


@check("AR end", "the contract's final_norm says otherwise")
def _end(ar: Reconstructor) -> str:
    last = Site("resid_post", families.n_blocks(ar.backbone) - 1)
    with hooks.capture(ar.backbone, last) as seen:
        out = ar.backbone(input_ids=probe_ids(ar.backbone, ar.tokenizer), use_cache=False).last_hidden_state
    normed = not torch.equal(out, seen[last])
    found = f"{last.layer + 1} blocks, read at {ar.contract.site}, {'behind' if normed else 'without'} a final norm"
    return require(normed == ar.contract.final_norm, found)


@check("AR cut", "this AR is of another base model, or some of its blocks are random")
def _cut(ar: Reconstructor, base: Any) -> str:
    """An adapter without itself is its base to the bit; a whole AR's matrices descend from its base's."""
    layer = families.n_blocks(ar.backbone) - 1
    if layer >= families.n_blocks(base):
        raise Off(f"{layer + 1} blocks, its base has {families.n_blocks(base)}", "give its own base")
    if hasattr(ar.backbone, "disable_adapter"):
        probe = probe_ids(base, ar.tokenizer)
        wanted = families.truncated(base, layer)(input_ids=probe, use_cache=False).last_hidden_state
        with ar.backbone.disable_adapter():
            found = families.truncated(ar.backbone, layer)(input_ids=probe, use_cache=False).last_hidden_state
        off = relative(found, wanted)
        return require(off <= tolerance(found), f"its base at block {layer}, off by {off:.1e}")
    pairs = zip(families.blocks(ar.backbone), families.blocks(base), strict=False)
    likeness = [_likeness(zip(a.parameters(), b.parameters(), strict=True)) for a, b in pairs]
    least = min(likeness)
    what = f"its base at block {layer} but for training: least cosine of weights {least:.3f}"
    return require(least > _FOREIGN_BLOCK, f"{what}, block {likeness.index(least)}")


@check("AR reading", "see what the line says")
def _reads(ar: Reconstructor) -> str:
    vectors = ar.reconstruct([TEXT, OTHER])
    if not torch.isfinite(vectors).all():
        raise Off("gives NaN or infinity", "fetch or train the AR again")
    cos = float(torch.nn.functional.cosine_similarity(vectors[0], vectors[1], dim=0))
    found = f"two texts give vectors of cosine {cos:.3f}"
    if cos >= 0.9999:
        raise Off(found, "it gives one vector whatever it reads: the text does not arrive")
    return found


def _likeness(pairs: Iterable[tuple[Tensor, Tensor]]) -> float:
    """Cosine of matrices with others, all of them taken together; what is no matrix is left out."""
    sums = torch.zeros(3)
    for a, b in pairs:
        if a.ndim == 2:
            a, b = a.float(), b.float().to(a.device)
            sums += torch.stack([(a * b).sum(), a.norm() ** 2, b.norm() ** 2]).cpu()
    dot, norm_a, norm_b = sums.tolist()
    return dot / (norm_a * norm_b) ** 0.5
