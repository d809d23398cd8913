"""Checks of an AV and an AR against their contracts, and of whether they are one pair."""

from contextlib import nullcontext
from typing import Any

import torch
from torch import nn

from thinkaloud import contract as contracts
from thinkaloud import families, hooks
from thinkaloud.contract import Contract
from thinkaloud.pair.doctor.check import (
    OTHER,
    TEXT,
    Check,
    attempt,
    probe_ids,
    relative,
    tolerance,
)
from thinkaloud.pair.doctor.model import check_bos, check_weights
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.pair.verdict import recorded
from thinkaloud.site import Site

ROOM = 64  # tokens an explanation should at least have behind the prompt
_RANDOM_HEAD = 0.05  # cosine with the identity, which every known AR head starts from; a random head has about 1/d
_FOREIGN_BLOCK = 0.2  # cosine of an AR's matrices with its base's; unrelated ones have about 0


def check_marker(contract: Contract, tokenizer: Any) -> Check:
    """The marker against the live tokenizer: one token, in its place, beside the neighbours of the training."""
    advice = "use the tokenizer and chat template that the AV was trained with"

    def look() -> Check:
        marker = contract.marker
        assert marker is not None  # an AV's contract has one
        _, places, live = contracts.find_marker(tokenizer, contract.av_template or "", marker.char)
        wanted = (marker.left_id, marker.token_id, marker.right_id)
        found = (live.left_id, live.token_id, live.right_id)
        where = f"{marker.char} is token {live.token_id} at {', '.join(map(str, places))} of the prompt"
        if wanted != found:
            return Check("marker", False, f"{where}; contract: {wanted}, tokenizer: {found}", advice)
        contracts.check_marker(contract, tokenizer)
        return Check("marker", True, f"{where}, between {live.left_id} and {live.right_id}")

    return attempt("marker", advice, look)


@torch.inference_mode()
def check_verbalizer(av: Verbalizer) -> list[Check]:
    """An AV: its injection and the room it has to speak."""
    room = families.context_length(av.model) - len(av.prompt_ids)
    fits = Check(
        "room", room >= ROOM, f"{room:,} tokens behind a prompt of {len(av.prompt_ids)}", "shorten the template"
    )
    weights = check_weights(av.model, "AV weights")
    return [weights, _injection(av), _injected_norm(av), fits] if weights.ok else [weights]


@torch.inference_mode()
def check_reconstructor(ar: Reconstructor, base: Any = None) -> list[Check]:
    """An AR: its head, its cut, and that it tells texts apart. `base` is the full model it was made from."""
    weights = check_weights(ar.backbone, "AR weights")
    if not weights.ok:
        return [weights]
    checks = [weights, _head(ar), _end(ar), check_bos(ar.backbone, ar.tokenizer, "AR BOS")]
    if base is not None:
        checks.append(attempt("AR cut", "this AR is of another base model", lambda: _cut(ar, base)))
    return [*checks, attempt("AR reading", "see what the line says", lambda: _reads(ar))]


def check_together(av: Contract, ar: Contract) -> Check:
    """Whether two contracts are of one pair."""
    advice = "give an AV and an AR of one training run"
    if av.d_model != ar.d_model:
        return Check("pair", False, f"the AV is {av.d_model} wide, the AR {ar.d_model}", advice)
    if av.site is not None and av.site != ar.site:
        return Check("pair", False, f"the AV is of {av.site}, the AR of {ar.site}", advice)
    baseline = ar.baseline or av.baseline
    return Check("pair", True, f"both of {ar.site}, {ar.d_model} wide; {baseline or 'no baseline in the contract'}")


def check_reached(contract: Contract) -> list[Check]:
    """Whether a half reads, by the held-out figures of its warm start; nothing where its contract has none."""
    verdict = recorded(contract)
    if verdict is None:
        return []
    return [Check(f"{contract.role.upper()} held out", verdict.reads, verdict.words, verdict.advice)]


def _injection(av: Verbalizer) -> Check:
    """Two different vectors: alike before the marker, different at it from the block on where they enter, and after."""
    vectors = torch.randn(2, av.contract.d_model, generator=torch.Generator().manual_seed(0))
    embeds, arguments = av.inputs(av.slot_vectors(vectors[:, None].expand(-1, len(av.slots), -1)))
    sites = [Site("resid_pre", layer) for layer in range(families.n_blocks(av.model))]
    with hooks.capture(av.model, *sites) as seen:
        families.text_model(av.model)(inputs_embeds=embeds, use_cache=False, **arguments)
    place = next(i for i, token in enumerate(av.prompt_ids.tolist()) if token == _marker_id(av))
    entry = av.injection.entry_block
    advice = "attention is not causal here, or another hook touches the stream"
    for layer, site in enumerate(sites):
        a, b = seen[site]
        if not torch.equal(a[:place], b[:place]):
            return Check("injection", False, f"changes tokens before the marker at block {layer}", advice)
        if torch.equal(a[place], b[place]) != (layer < entry):
            return Check(
                "injection", False, f"the vector is {'not ' if layer >= entry else ''}there at block {layer}", advice
            )
    if torch.equal(*seen[sites[-1]][:, -1]):
        return Check("injection", False, "the end of the prompt does not feel the vector", advice)
    return Check("injection", True, f"{av.injection.place}; nothing before the marker changes")


def _injected_norm(av: Verbalizer) -> Check:
    usual = float(families.embed(av.model, av.prompt_ids.to(av.device)).float().norm(dim=-1).median())
    norm = av.contract.injection_scale
    if not av.injection.takes_scale or norm is None:
        return Check("injected norm", True, "that of the stream, by construction")
    return Check("injected norm", True, f"{norm:.4g}; embeddings of the prompt have about {usual:.4g}")


def _head(ar: Reconstructor) -> Check:
    weight = ar.head.weight.float().cpu()
    eye = torch.eye(len(weight))
    if not torch.isfinite(weight).all():
        return Check("AR head", False, "holds NaN or infinity", "fetch or train the AR again")
    if torch.equal(weight, eye):
        return Check("AR head", False, "is the identity, as before training", "train the AR, or fetch its head")
    cos = float((weight * eye).sum() / (weight.norm() * eye.norm()))
    found = f"{len(weight)} × {len(weight)}, cosine {cos:.3f} with the identity it started from"
    return Check("AR head", cos > _RANDOM_HEAD, found, "it looks random: fetch value_head.safetensors of this very AR")


def _end(ar: Reconstructor) -> Check:
    kept, site = ar.contract.final_norm, ar.contract.site
    last = Site("resid_post", families.n_blocks(ar.backbone) - 1)
    with hooks.capture(ar.backbone, last) as seen:
        out = ar.backbone(input_ids=probe_ids(ar.backbone, ar.tokenizer), use_cache=False).last_hidden_state
    normed = not torch.equal(out, seen[last])
    found = f"{families.n_blocks(ar.backbone)} blocks, read at {site}, {'behind' if normed else 'without'} a final norm"
    return Check("AR end", normed == kept, found, "the contract's final_norm says otherwise")


def _cut(ar: Reconstructor, base: Any) -> Check:
    """An adapter without itself is its base to the bit; a whole AR's matrices descend from its base's."""
    layer = families.n_blocks(ar.backbone) - 1
    if layer >= families.n_blocks(base):
        return Check(
            "AR cut", False, f"{layer + 1} blocks, its base has {families.n_blocks(base)}", "give its own base"
        )
    probe = probe_ids(base, ar.tokenizer)
    wanted = families.truncated(base, layer)(input_ids=probe, use_cache=False).last_hidden_state
    bare = ar.backbone.disable_adapter() if hasattr(ar.backbone, "disable_adapter") else nullcontext()
    with bare:
        found = families.truncated(ar.backbone, layer)(input_ids=probe, use_cache=False).last_hidden_state
    off = relative(found, wanted)
    advice = "this AR is of another base model, or some of its blocks are random"
    if hasattr(ar.backbone, "disable_adapter"):
        return Check("AR cut", off <= tolerance(found), f"its base at block {layer}, off by {off:.1e}", advice)
    likeness = [_likeness(a, b) for a, b in zip(families.blocks(ar.backbone), families.blocks(base), strict=False)]
    least = min(range(len(likeness)), key=likeness.__getitem__)
    found_text = (
        f"its base at block {layer} but for training: least cosine of weights {likeness[least]:.3f}, block {least}"
    )
    return Check("AR cut", likeness[least] > _FOREIGN_BLOCK, found_text, advice)


def _reads(ar: Reconstructor) -> Check:
    vectors = ar.reconstruct([TEXT, OTHER])
    if not torch.isfinite(vectors).all():
        return Check("AR reading", False, "gives NaN or infinity", "fetch or train the AR again")
    cos = float(torch.nn.functional.cosine_similarity(vectors[0], vectors[1], dim=0))
    found = f"two texts give vectors of cosine {cos:.3f}"
    return Check("AR reading", cos < 0.9999, found, "it gives one vector whatever it reads: the text does not arrive")


def _marker_id(av: Verbalizer) -> int:
    assert av.contract.marker is not None  # an AV's contract has one
    return av.contract.marker.token_id


def _likeness(a: nn.Module, b: nn.Module) -> float:
    """Cosine of two blocks' matrices, all of them taken together."""
    dot = norm_a = norm_b = 0.0
    for x, y in zip(a.parameters(), b.parameters(), strict=True):
        if x.ndim == 2:
            x, y = x.float(), y.float().to(x.device)
            dot, norm_a, norm_b = (
                dot + float((x * y).sum()),
                norm_a + float(x.norm() ** 2),
                norm_b + float(y.norm() ** 2),
            )
    return dot / (norm_a * norm_b) ** 0.5
