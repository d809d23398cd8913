"""Training text of the pocket family: prose, chats, episodes and oddments.

A document is held out by a hash of its id (`activations.corpus.split_of`), before anything is trained; held-out
episodes come from wordings and combinations of values that the training split never holds.
"""

import json
import lzma
from collections.abc import Iterable, Iterator, Mapping
from operator import methodcaller
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
        for name, row in _rows(path):
            yield {"id": name, "messages": row["messages"]}


def gsm8k(folder: Path, part: str) -> Iterator[dict[str, Any]]:
    """GSM8K's problems of a part, train or test, as chats {id, messages} with the worked solution as the answer."""
    for name, problem in _rows(folder / f"gsm8k-{part}.jsonl.xz"):
        turns = zip(("user", "assistant"), (problem["question"], problem["answer"]), strict=True)
        yield {"id": name, "messages": [{"role": role, "content": text} for role, text in turns]}


def _rows(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with lzma.open(path, "rt", encoding="utf-8") as file:
        for i, line in enumerate(file):
            yield f"{path.name.removesuffix('.jsonl.xz')}/{i}", json.loads(line)


def set_aside(document: dict[str, Any]) -> bool:
    """Whether a chat is one of those that no training sees: one of thirty, by a hash of its id."""
    return split_of(f"set aside/{document['id']}", 1 / 30) == "heldout"


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
    problems: bool = False,
    test: Path | None = None,
) -> dict[str, int]:
    """Write the mix as JSONL files that `thinkaloud extract --corpus` reads; returns how many of each kind.

    Args:
        corpus: folder with prose-*.txt.xz and chat-*.jsonl.xz
        out: folder to write
        problems: GSM8K's training problems as chats too
        test: folder for documents that this mix leaves out: the prose that is held out, one of thirty chats, GSM8K's
            test problems, other oddments; a mix written without `test` holds those chats
    """
    if not any(corpus.glob("*.xz")):
        raise UserError(f"no prose-*.txt.xz and no chat-*.jsonl.xz in {corpus}")
    for part in ("train", "test") if problems else ():
        if not (corpus / f"gsm8k-{part}.jsonl.xz").is_file():
            raise UserError(f"no gsm8k-{part}.jsonl.xz in {corpus}: --problems reads it")
    kinds = {
        "prose": prose(corpus),
        "chats": (chat for chat in chats(corpus) if test is None or not set_aside(chat)),
        "problems": gsm8k(corpus, "train") if problems else (),
        "world": world(0, world_documents, seed),
        "oddments": oddments(0, odd_documents, seed),
    }
    if test is not None:
        held = {
            "prose": prose(corpus, "prose-heldout.txt.xz"),
            "chats": filter(set_aside, chats(corpus)),
            "problems": gsm8k(corpus, "test") if problems else (),
            "oddments": oddments(odd_documents, odd_documents // 30, seed),
        }
        _write(test, held)
    return _write(out, kinds)


def _write(folder: Path, kinds: Mapping[str, Iterable[dict[str, Any]]]) -> dict[str, int]:
    """Write the kinds that have a document."""
    folder.mkdir(parents=True, exist_ok=True)
    found = {}
    for name, documents in kinds.items():
        path = folder / f"{name}.jsonl"
        if lines := [(json.dumps(document, ensure_ascii=False) + "\n").encode() for document in documents]:
            write_whole(path, methodcaller("writelines", lines))
            found[name] = len(lines)
        else:
            path.unlink(missing_ok=True)
    return found


if __name__ == "__main__":
    counts = tyro.cli(write_mix, prog="python -m thinkaloud.pocket.corpus")
    print(", ".join(f"{name} {n:,}" for name, n in counts.items()))
