"""What do these warm starts learn from? A tiny model, its activations of a few texts, and words on them."""

from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch

from thinkaloud.activations import ExtractOptions, extract_to, read_corpus
from thinkaloud.pair.formats import official
from thinkaloud.pair.verbalizer import Verbalizer
from thinkaloud.site import Site
from thinkaloud.writers import HeuristicWriter
from thinkaloud.writers.write import write_all

TEXTS = [
    f"On day {i} the {what} stayed in the harbour, for there was a storm at sea."
    for i in range(8)
    for what in ("boats", "gulls", "sailors")
]


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Llama with its tokenizer."""
    folder = tmp_path_factory.mktemp("base")
    tiny.model("llama", max_position_embeddings=1024).save_pretrained(folder)
    tiny.tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def data(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """72 activations of 24 documents, with explanations; a third of the documents is held out."""
    from thinkaloud.loading import load_causal_lm, load_tokenizer

    folder = tmp_path_factory.mktemp("activations")
    texts = folder / "texts.txt"
    texts.mkdir()
    for i, text in enumerate(TEXTS):
        (texts / f"{i}.txt").write_text(text)
    options = ExtractOptions(positions=3, min_position=4, next_tokens=4, heldout=0.3)
    site, out = Site("resid_post", 2), folder / "data"
    extract_to(out, load_causal_lm(base), load_tokenizer(base), read_corpus(texts), site, options, str(base))
    write_all(out, HeuristicWriter())
    return out


def closing_verbalizer(seed: int = 0) -> Verbalizer:
    """A random AV that says a few letters and closes, at a place the chance of sampling decides.

    Nothing writes to dimensions 0 and 1 of its residual stream. Dimension 0 is the same for every token and lets the
    head favour some tokens; dimension 1 is there for the first half of the closing tag alone, and calls for the second.
    """
    torch.manual_seed(seed)
    model = tiny.model("llama", seed, max_position_embeddings=1024)
    tokenizer = tiny.tokenizer()
    ids = tokenizer.get_vocab()
    embeddings, head = model.model.embed_tokens.weight, model.lm_head.weight
    with torch.no_grad():
        for block in model.model.layers:
            block.self_attn.o_proj.weight[:2] = 0
            block.mlp.down_proj.weight[:2] = 0
        embeddings[:, 0], embeddings[:, 1] = 5.0, 0.0
        embeddings[ids["</expl"], 1] = 12.0
        head[:, 0], head[:, 1] = -3.0, 0.0
        for letter in "abcdefgh":
            head[ids[letter], 0] = 1.0
        head[ids["</expl"], 0] = 0.5
        head[ids["anation>"], 1] = 6.0
    return Verbalizer(model.eval().requires_grad_(False), tokenizer, tiny.av_contract(tokenizer))


@pytest.fixture(scope="session")
def pair(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair whose AV closes most of what it says, of the model that `data` is of."""
    folder = tmp_path_factory.mktemp("pair")
    av, ar = closing_verbalizer(), tiny.reconstructor()
    named = {"base_model": str(base)}
    official.save_av(replace(av, contract=replace(av.contract, **named)), folder / "av")
    official.save_ar(replace(ar, contract=replace(ar.contract, **named)), folder / "ar")
    return folder


@pytest.fixture
def one_thread() -> None:
    """What the killed processes compute with, so that bits can be compared."""
    torch.set_num_threads(1)
