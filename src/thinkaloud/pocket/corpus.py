"""Training text of the pocket family: prose, chats, episodes and oddments.

A document is held out by a hash of its id (`activations.corpus.split_of`), before anything is trained; held-out
episodes come from wordings and combinations of values that the training split never holds.
"""

import json
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import tyro

from thinkaloud.activations.corpus import split_of
from thinkaloud.atomic import write_whole
from thinkaloud.errors import UserError
from thinkaloud.pocket.chat import render
from thinkaloud.pocket.oddments import oddments
from thinkaloud.pocket.world import FAMILIES, episode

HELDOUT = 0.02
SEPARATOR = "<|doc|>"
EPISODES_A_DOCUMENT = 3


def prose(folder: Path, pattern: str = "prose-0*.txt.xz") -> Iterator[dict[str, Any]]:
    """Prose documents {id, text} of the corpus folder's shards."""
    for path in sorted(folder.glob(pattern)):
        with lzma.open(path, "rt", encoding="utf-8") as file:
            documents = file.read().split(f"\n{SEPARATOR}\n")
        for i, text in enumerate(documents):
            if text.strip():
                yield {"id": f"{path.name.removesuffix('.txt.xz')}/{i}", "text": text.strip()}


def chats(folder: Path) -> Iterator[dict[str, Any]]:
    """Chat documents {id, messages}."""
    for path in sorted(folder.glob("chat-*.jsonl.xz")):
        with lzma.open(path, "rt", encoding="utf-8") as file:
            for i, line in enumerate(file):
                yield {"id": f"{path.name.removesuffix('.jsonl.xz')}/{i}", "messages": json.loads(line)["messages"]}


def world(start: int, n: int, seed: int = 0) -> Iterator[dict[str, Any]]:
    """World documents `start` to `start` + `n`."""
    return (world_document(i, seed) for i in range(start, start + n))


def world_document(i: int, seed: int) -> dict[str, Any]:
    """World document `i`: one chat episode {id, messages}, or a few plain episodes under one another {id, text}."""
    name = f"world/{seed}/{i}"
    split = split_of(name, HELDOUT)
    base = (seed * 10_000_000 + i) * EPISODES_A_DOCUMENT
    made = (episode(base + j, FAMILIES[(i + j) % len(FAMILIES)], split) for j in range(EPISODES_A_DOCUMENT))
    first = next(made)
    if first.messages is not None:
        return {"id": name, "messages": list(first.messages)}
    return {"id": name, "text": "\n\n".join([first.text, *(more.text for more in made if more.messages is None)])}


def as_text(document: dict[str, Any]) -> str:
    """A document as the model reads it, without the BOS that the tokenizer adds."""
    return document["text"] if "text" in document else render(document["messages"])


def write_mix(
    corpus: tyro.conf.Positional[Path],
    out: tyro.conf.Positional[Path],
    world_documents: int = 40_000,
    odd_documents: int = 6_000,
    seed: int = 0,
) -> dict[str, int]:
    """Write the mix as JSONL files that `thinkaloud extract --corpus` reads; returns how many of each kind.

    Args:
        corpus: folder with prose-*.txt.xz and chat-*.jsonl.xz
        out: folder to write
    """
    if not any(corpus.glob("*.xz")):
        raise UserError(f"no prose-*.txt.xz and no chat-*.jsonl.xz in {corpus}")
    out.mkdir(parents=True, exist_ok=True)
    return {
        "prose": _write(out / "prose.jsonl", prose(corpus)),
        "chats": _write(out / "chats.jsonl", chats(corpus)),
        "world": _write(out / "world.jsonl", world(0, world_documents, seed)),
        "oddments": _write(out / "oddments.jsonl", oddments(0, odd_documents, seed)),
    }


def _write(path: Path, documents: Iterable[dict[str, Any]]) -> int:
    lines = [(json.dumps(document, ensure_ascii=False) + "\n").encode() for document in documents]
    write_whole(path, lambda file: file.writelines(lines))
    return len(lines)


if __name__ == "__main__":
    counts = tyro.cli(write_mix, prog="python -m thinkaloud.pocket.corpus")
    print(", ".join(f"{name} {n:,}" for name, n in counts.items()))
