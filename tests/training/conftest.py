"""Data of the warm start tests: a tiny model, its activations of a few texts, and explanations of them."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tiny
import torch

from thinkaloud.activations import extract_to, read_corpus
from thinkaloud.config.data import Extract
from thinkaloud.pair.formats import save
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
def plain_base(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same Llama as a base model: its tokenizer has no chat template."""
    folder = tmp_path_factory.mktemp("plain_base")
    shutil.copytree(base, folder, dirs_exist_ok=True)
    (folder / "chat_template.jinja").unlink()
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
    site, out = Site("resid_post", 2), folder / "data"
    config = Extract(str(texts), out, positions=3, min_position=4, next_tokens=4, heldout=0.3)
    extract_to(config, load_causal_lm(base), load_tokenizer(base), read_corpus(texts), site, str(base))
    write_all(out, HeuristicWriter())
    return out


@pytest.fixture(scope="session")
def pair(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pair whose AV closes most of what it says, of the model that `data` is of."""
    folder = tmp_path_factory.mktemp("pair")
    av, ar = tiny.closing_verbalizer(), tiny.reconstructor()
    named = {"base_model": str(base)}
    save(replace(av, contract=replace(av.contract, **named)), folder / "av")
    save(replace(ar, contract=replace(ar.contract, **named)), folder / "ar")
    return folder


@pytest.fixture
def one_thread() -> None:
    """What the killed processes compute with, so that bits can be compared."""
    torch.set_num_threads(1)
