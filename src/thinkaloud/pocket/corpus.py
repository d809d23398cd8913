"""Training text of the pocket family: prose, chats, episodes and oddments.

A document is held out by a hash of its id (`activations.corpus.split_of`), before anything is trained; held-out
episodes come from wordings and combinations of values that the training split never holds.
"""

import argparse
import json
import lzma
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any

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
    """World documents `start` to `start` + `n`: one chat episode, or a few plain episodes under one another."""
    for i in range(start, start + n):
        name = f"world/{seed}/{i}"
        split = split_of(name, HELDOUT)
        family = FAMILIES[i % len(FAMILIES)]
        base = (seed * 10_000_000 + i) * EPISODES_A_DOCUMENT
        first = episode(base, family, split)
        if first.messages is not None:
            yield {"id": name, "messages": list(first.messages)}
            continue
        texts = [first.text]
        for j in range(1, EPISODES_A_DOCUMENT):
            more = episode(base + j, FAMILIES[(i + j) % len(FAMILIES)], split)
            if more.messages is None:
                texts.append(more.text)
        yield {"id": name, "text": "\n\n".join(texts)}


def as_text(document: dict[str, Any]) -> str:
    """A document as the model reads it, without the BOS that the tokenizer adds."""
    return document["text"] if "text" in document else render(document["messages"])


def write_mix(folder: Path, out: Path, world_documents: int, odd_documents: int, seed: int = 0) -> dict[str, int]:
    """Write the mix as JSONL files that `thinkaloud extract --corpus` reads; returns how many of each kind."""
    if not any(folder.glob("*.xz")):
        raise UserError(f"no prose-*.txt.xz and no chat-*.jsonl.xz in {folder}")
    out.mkdir(parents=True, exist_ok=True)
    return {
        "prose": _write(out / "prose.jsonl", prose(folder)),
        "chats": _write(out / "chats.jsonl", chats(folder)),
        "world": _write(out / "world.jsonl", world(0, world_documents, seed)),
        "oddments": _write(out / "oddments.jsonl", oddments(0, odd_documents, seed)),
    }


def _write(path: Path, documents: Iterable[dict[str, Any]]) -> int:
    count = 0

    def fill(file: IO[bytes]) -> None:
        nonlocal count
        for document in documents:
            file.write((json.dumps(document, ensure_ascii=False) + "\n").encode())
            count += 1

    write_whole(path, fill)
    return count


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m thinkaloud.pocket.corpus", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("corpus", type=Path, help="folder with prose-*.txt.xz and chat-*.jsonl.xz")
    parser.add_argument("out", type=Path, help="folder to write, for thinkaloud extract --corpus")
    parser.add_argument("--world-documents", type=int, default=40_000)
    parser.add_argument("--odd-documents", type=int, default=6_000)
    args = parser.parse_args()
    counts = write_mix(args.corpus, args.out, args.world_documents, args.odd_documents)
    print(", ".join(f"{name} {n:,}" for name, n in counts.items()))


if __name__ == "__main__":
    main()
