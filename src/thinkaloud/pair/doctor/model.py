"""Checks of a target model: what its site and its prompts rely on."""

from itertools import takewhile
from typing import Any

import torch

from thinkaloud import families, hooks
from thinkaloud.chat import chat_ids
from thinkaloud.errors import UserError
from thinkaloud.pair.doctor.check import TEXT, Check, Off, check, probe_ids, relative, require, tolerance
from thinkaloud.site import Site


def check_model(model: Any, tokenizer: Any, site: Site) -> list[Check]:
    """A target model M and its tokenizer, at `site`."""
    return [
        check_weights(model),
        _site(model, site),
        _truncation(model, tokenizer, site),
        _embedding_scale(model, tokenizer),
        check_bos(model, tokenizer),
        _ends(model, tokenizer),
        _context(model, tokenizer),
    ]


@check("weights", "fetch or train the checkpoint again")
def check_weights(model: Any) -> str:
    """Family, shape, and whether every weight is a number."""
    bad = [key for key, parameter in model.named_parameters() if not torch.isfinite(parameter).all()]
    if bad:
        raise UserError(f"{len(bad)} weights hold NaN or infinity, {bad[0]} first")
    family = families.family_of(families.text_model(model).config).name
    return f"{family}, {families.n_blocks(model)} blocks, {families.d_model(model)} wide, all finite"


@check("site", "choose a layer that the model has")
def _site(model: Any, site: Site) -> str:
    site.check(families.n_blocks(model))
    return "; ".join(f"{convention}: {name}" for convention, name in site.names().items())


@check(
    "truncated forward",
    "a hook, dropout or wrapper changes one of the two; load the plain model in evaluation mode",
)
def _truncation(model: Any, tokenizer: Any, site: Site) -> str:
    layer = min(site.layer, families.n_blocks(model) - 1)
    probe = probe_ids(model, tokenizer)
    with hooks.capture(model, Site("resid_post", layer)) as seen:
        families.text_model(model)(input_ids=probe, use_cache=False)
    cut = families.truncated(model, layer)(input_ids=probe, use_cache=False).last_hidden_state
    off = relative(cut, seen[Site("resid_post", layer)])
    return require(off <= tolerance(cut), f"full forward at block {layer}, off by {off:.1e}")


@check("embedding scale", "the embedding module is not the family's own")
def _embedding_scale(model: Any, tokenizer: Any) -> str:
    probe, scale = probe_ids(model, tokenizer), families.embed_scale(model)
    rows = families.embedding(model).weight[probe].float() * scale
    off = relative(families.embed(model, probe), rows)
    what = f"× {scale:.4g} inside the embedding" if scale != 1 else "token embeddings enter as they are"
    return require(off <= 1e-2, f"{what}, off by {off:.1e}")


@check("BOS", "the tokenizer drops it from plain text: set add_bos_token, or its post-processor")
def check_bos(model: Any, tokenizer: Any) -> str:
    """Whether BOS stands doubled, or is missing before plain text where the model was trained with it.

    It was if the family says so, or if a chat begins with it; unless that opens every turn (ChatML), or the
    tokenizer's own configuration says that plain text gets none.
    """
    bos, plain = tokenizer.bos_token_id, list(tokenizer(TEXT)["input_ids"])
    if bos is None:
        return "the tokenizer has none"
    ids = _chat(tokenizer) if tokenizer.chat_template else []
    alone, chat = (len(list(takewhile(lambda token: token == bos, some))) for some in (plain, ids))
    turns = ids.count(bos) > 1
    found = f"{alone} before plain text" + (f", {chat} before a chat" if ids else "; no chat template")
    if max(alone, chat) > 1:
        raise Off(found, "it is doubled: let template or tokenizer add it, not both")
    declined = turns or tokenizer.init_kwargs.get("add_bos_token") is False
    wanted = families.family_of(families.text_model(model).config).needs_bos or (chat > 0 and not declined)
    return require(alone > 0 or not wanted, f"{found}, where it opens every turn" if turns else found)


@check("end ids", "name eos_token_id in generation_config.json")
def _ends(model: Any, tokenizer: Any) -> str:
    ends = families.end_ids(model, tokenizer)
    if not ends:
        raise UserError("none")
    found = ", ".join(f"{i} {tokenizer.decode([i])!r}" for i in ends)
    if tokenizer.chat_template:
        turn = [i for i in _chat(tokenizer) if tokenizer.decode([i]).strip()][-1]
        if turn not in ends:
            missing = f"{found}; a turn ends with {turn} {tokenizer.decode([turn])!r}"
            raise Off(missing, "add it to eos_token_id in generation_config.json")
    return found


@check("context", "the tokenizer knows ids the model has no embedding for")
def _context(model: Any, tokenizer: Any) -> str:
    length, most = families.context_length(model), len(tokenizer)
    rows = families.embedding(model).weight.shape[0]
    return require(most <= rows, f"{length:,} tokens; {most:,} token ids, {rows:,} embeddings")


def _chat(tokenizer: Any) -> list[int]:
    """A question and its answer: every turn of a chat once."""
    return chat_ids(tokenizer, [{"role": "user", "content": TEXT}, {"role": "assistant", "content": "x"}])
