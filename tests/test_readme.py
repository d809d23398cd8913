"""Does every command and every line of Python in the README do what the README says?

All fenced blocks run from top to bottom in one folder, as a reader would run them. Two things stand in for what a test
cannot have: names of large models mean small ones (`STAND_INS`), and the texts are a dozen short documents.
"""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path

import pytest
import tiny

from thinkaloud.activations import read_corpus, split_of
from thinkaloud.loading import load_tokenizer

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What the README calls a model that no test can download -> what stands in for it: a random model of as many blocks as
# the commands need, and the bundled pair.
STAND_INS = {"Qwen/Qwen2.5-1.5B-Instruct": "stand-in", "kitft/nla-qwen2.5-7b-L20": "pocket"}
# These set up an environment and run this very test; make itself says whether they are real (and tests/test_makefile.py
# what they do).
MAKE = re.compile(r"make \w+")


@dataclass(frozen=True)
class Block:
    language: str
    body: str
    line: int

    @property
    def is_make(self) -> bool:
        return all(MAKE.fullmatch(line) for line in self.body.splitlines())


def blocks() -> list[Block]:
    text = README.read_text(encoding="utf-8")
    return [Block(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in FENCE.finditer(text)]


def documents(folder: Path) -> None:
    """A dozen short texts, some of them held out by the hash of their ids."""
    folder.mkdir()
    weather = ("rain", "wind", "frost", "fog", "thunder", "sunshine")
    for i in range(200):
        text = f"Dear friend, we had {weather[i % 6]} on day {i}, and the boats stayed in the harbour. "
        (folder / f"letter-{i:03d}.txt").write_text(4 * text)
    wanted = {"train": 10, "heldout": 2}
    for document, path in zip(list(read_corpus(folder)), sorted(folder.iterdir()), strict=True):
        split = split_of(document.id)
        wanted[split] -= 1
        if wanted[split] < 0:
            path.unlink()
    assert len(list(folder.iterdir())) == 12


def stand_in(folder: Path) -> None:
    """A random model of 20 blocks that reads what the pocket tokenizer makes of a text."""
    tokenizer = load_tokenizer("pocket/base")
    changes = {
        "num_hidden_layers": 20,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": 2048,
        **{name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")},
    }
    tiny.model("llama", **changes).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """What every runnable block printed, by its line in the README; the first that fails fails here."""
    place = tmp_path_factory.mktemp("reader")
    documents(place / "texts")
    stand_in(place / "stand-in")
    (place / "recipes").symlink_to(ROOT / "recipes")
    tools = Path(sys.executable).parent
    assert (tools / "thinkaloud").is_file(), "the command is not installed beside this Python: run make setup"
    environment = {**os.environ, "PATH": f"{tools}:{os.environ['PATH']}", "COLUMNS": "100", "HF_HUB_OFFLINE": "1"}
    outputs = {}
    for block in blocks():
        if block.is_make or block.language == "text":
            continue
        body = block.body
        for name, other in STAND_INS.items():
            body = body.replace(name, other)
        command = {"bash": ["bash", "-euo", "pipefail", "-c", body], "python": [sys.executable, "-c", body]}
        result = subprocess.run(command[block.language], cwd=place, env=environment, capture_output=True, text=True)
        assert result.returncode == 0, f"README.md:{block.line} fails:\n{body}\n{result.stderr}"
        outputs[block.line] = result.stdout
    return outputs


def test_every_fence_is_a_command_python_or_output() -> None:
    assert {block.language for block in blocks()} == {"bash", "python", "text"}


def test_every_block_runs(printed: dict[int, str]) -> None:
    runnable = [block for block in blocks() if block.language != "text" and not block.is_make]
    assert set(printed) == {block.line for block in runnable}
    assert all(out.strip() for out in printed.values())


def test_make_knows_its_targets() -> None:
    targets = [line.split()[1] for block in blocks() if block.is_make for line in block.body.splitlines()]
    assert targets == ["demo", "test"]
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def shown() -> Iterator[tuple[int, str]]:
    """(line of the command, output that the README shows for it)."""
    for before, block in zip(blocks(), blocks()[1:], strict=False):
        if block.language == "text":
            yield before.line, block.body


def test_the_output_shown_is_what_the_command_prints(printed: dict[int, str]) -> None:
    assert list(shown())
    for line, text in shown():
        # Not to the letter: another processor rounds otherwise, and now and then a word falls differently.
        likeness = SequenceMatcher(None, text.split(), printed[line].split(), autojunk=False).ratio()
        assert likeness > 0.9, f"README.md:{line} shows other output than it prints:\n{printed[line]}"
