"""Tiny random models of every family, a byte-level tokenizer and contracts to go with them: nothing is downloaded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from thinkaloud.contract import Contract, find_marker
from thinkaloud.pair.formats.official import head_from
from thinkaloud.pair.reconstructor import Reconstructor
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.site import Site

MARKER = "㈎"
BOS, END, USER, ASSISTANT = "<|bos|>", "<|end|>", "<|user|>", "<|assistant|>"
AV_TEMPLATE = "What is held in [{injection_char}]?"
AR_TEMPLATE = "Said: {explanation}\nMeant:"
CHAT_TEMPLATE = (
    "<|bos|>{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CONTEXT = 256


def tokenizer(chat: bool = True) -> Any:
    """Bytes, five special tokens, the marker, and the closing tag in two pieces. BOS stands before a plain string."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={c: i for i, c in enumerate(alphabet)}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    core.add_special_tokens([AddedToken(token, special=True) for token in (BOS, END, USER, ASSISTANT)])
    core.add_tokens([AddedToken(token, normalized=False) for token in (MARKER, "</expl", "anation>")])
    core.post_processor = processors.TemplateProcessing(
        single=f"{BOS} $A", special_tokens=[(BOS, core.token_to_id(BOS))]
    )
    out = PreTrainedTokenizerFast(tokenizer_object=core, bos_token=BOS, eos_token=END, pad_token=END)
    if chat:
        out.chat_template = CHAT_TEMPLATE
    return out


VOCABULARY = len(tokenizer())
SHAPE: dict[str, Any] = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.2,
    "bos_token_id": 256,
    "eos_token_id": 257,
    "pad_token_id": 257,
    "tie_word_embeddings": False,
}
GEMMA: dict[str, Any] = {**SHAPE, "head_dim": 8, "tie_word_embeddings": True, "sliding_window": 8}
VISION: dict[str, Any] = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "image_size": 28,
    "patch_size": 14,
}
CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: AutoConfig.for_model("llama", **SHAPE),
    "mistral": lambda: AutoConfig.for_model("mistral", **SHAPE, sliding_window=8),
    "qwen2": lambda: AutoConfig.for_model("qwen2", **{**SHAPE, "tie_word_embeddings": True}),
    "qwen3": lambda: AutoConfig.for_model("qwen3", **SHAPE, head_dim=8),
    "gemma2": lambda: AutoConfig.for_model("gemma2", **GEMMA, query_pre_attn_scalar=8),
    "gemma3_text": lambda: AutoConfig.for_model("gemma3_text", **GEMMA, query_pre_attn_scalar=8),
    "gemma3": lambda: AutoConfig.for_model(
        "gemma3",
        text_config={**GEMMA, "query_pre_attn_scalar": 8, "model_type": "gemma3_text"},
        vision_config={**VISION, "model_type": "siglip_vision_model"},
        mm_tokens_per_image=4,
        tie_word_embeddings=True,
    ),
    "gpt2": lambda: AutoConfig.for_model(
        "gpt2", vocab_size=VOCABULARY, n_embd=32, n_layer=4, n_head=4, n_positions=CONTEXT, initializer_range=0.2
    ),
    "gpt_neox": lambda: AutoConfig.for_model("gpt_neox", **{**SHAPE, "num_key_value_heads": 4}),
    "olmo2": lambda: AutoConfig.for_model("olmo2", **SHAPE),
    "phi3": lambda: AutoConfig.for_model("phi3", **SHAPE),
}


def model(name: str, seed: int = 0, **changes: Any) -> Any:
    """A random float32 model of family `name`, its norms and biases away from where they start."""
    config = CONFIGS[name]()
    for key, value in changes.items():
        setattr(config, key, value)
    torch.manual_seed(seed)
    if getattr(config, "attn_logit_softcapping", None):
        config._attn_implementation = "eager"  # as `loading` has it
    built = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for parameter in built.parameters():
            if parameter.ndim == 1:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return built.eval()


def av_contract(tok: Any, d_model: int = 32, **changes: Any) -> Contract:
    """An AV's contract for `tok`, at block 2."""
    template = changes.pop("av_template", AV_TEMPLATE)
    marker = changes.pop("marker", None) or find_marker(tok, template, MARKER)[2]
    fields = {"injection_scale": 3.0, "site": Site("resid_post", 2), "mse_scale": d_model**0.5, **changes}
    return Contract("av", d_model, av_template=template, ar_template=AR_TEMPLATE, marker=marker, **fields)


def ar_contract(d_model: int = 32, layer: int = 2, **changes: Any) -> Contract:
    """An AR's contract at block `layer`."""
    fields = {"mse_scale": d_model**0.5, "ar_suffix_ids": tuple(tokenizer().encode("\nMeant:")[1:]), **changes}
    return Contract("ar", d_model, Site("resid_post", layer), ar_template=AR_TEMPLATE, **fields)


def verbalizer(name: str = "llama", seed: int = 0, **changes: Any) -> Verbalizer:
    """A random AV."""
    tok = tokenizer()
    return Verbalizer(model(name, seed), tok, av_contract(tok, **changes))


def closing_verbalizer(seed: int = 0) -> Verbalizer:
    """A random AV that says a few letters and closes, at a place the chance of sampling decides.

    Nothing writes to dimensions 0 and 1 of its residual stream. Dimension 0 is the same for every token and lets the
    head favour some tokens; dimension 1 is there for the first half of the closing tag alone, and calls for the second.
    """
    built, tok = model("llama", seed, max_position_embeddings=1024), tokenizer()
    ids = tok.get_vocab()
    embeddings, head = built.model.embed_tokens.weight, built.lm_head.weight
    with torch.no_grad():
        for block in built.model.layers:
            block.self_attn.o_proj.weight[:2] = 0
            block.mlp.down_proj.weight[:2] = 0
        embeddings[:, 0], embeddings[:, 1] = 5.0, 0.0
        embeddings[ids["</expl"], 1] = 12.0
        head[:, 0], head[:, 1] = -3.0, 0.0
        for letter in "abcdefgh":
            head[ids[letter], 0] = 1.0
        head[ids["</expl"], 0] = 0.5
        head[ids["anation>"], 1] = 6.0
    return Verbalizer(built.eval().requires_grad_(False), tok, av_contract(tok))


def head(d_model: int = 32, seed: int = 5) -> nn.Linear:
    """The identity with noise, as a trained AR head looks."""
    generator = torch.Generator().manual_seed(seed)
    return head_from(torch.eye(d_model) + 0.1 * torch.randn(d_model, d_model, generator=generator))


def reconstructor(name: str = "llama", seed: int = 1, layer: int = 2, **changes: Any) -> Reconstructor:
    """A random AR: the first blocks of a model and a head near the identity."""
    from thinkaloud.families import truncated

    stack = truncated(model(name, seed), layer)
    return Reconstructor(stack, head(), tokenizer(), ar_contract(layer=layer, **changes))


def vectors(n: int, d_model: int = 32, seed: int = 2) -> torch.Tensor:
    """Random vectors of norms near 12."""
    return 2.0 * torch.randn(n, d_model, generator=torch.Generator().manual_seed(seed))


def save_base(name: str, folder: Path, seed: int = 0) -> Path:
    """A whole tiny base model with its tokenizer in `folder`."""
    model(name, seed).save_pretrained(str(folder))
    tokenizer().save_pretrained(str(folder))
    return folder
