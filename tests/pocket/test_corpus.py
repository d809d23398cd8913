"""The pocket mix: prose and chats as their files hold them, and episodes that keep to their split."""

import hashlib
import json
import lzma
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thinkaloud.activations import read_corpus, split_of
from thinkaloud.config.data import Extract
from thinkaloud.errors import UserError
from thinkaloud.pocket import corpus
from thinkaloud.pocket.episodes.common import is_held_out
from thinkaloud.pocket.oddments import oddments
from thinkaloud.pocket.world import FAMILIES, Episode, episode

CHATS = [
    [{"role": "user", "content": "Où est Anna ?"}, {"role": "assistant", "content": "In the\ngarden."}],
    [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}],
]


def write_prose(folder: Path, name: str, texts: Sequence[str]) -> None:
    with lzma.open(folder / name, "wt", encoding="utf-8", newline="") as file:
        file.write("\n<|doc|>\n".join(texts) + "\n")


def write_chats(folder: Path, name: str, chats: Sequence[object]) -> None:
    with lzma.open(folder / name, "wt", encoding="utf-8") as file:
        file.writelines(json.dumps({"messages": chat}, ensure_ascii=False) + "\n" for chat in chats)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "corpus"
    made.mkdir()
    write_prose(made, "prose-001.txt.xz", ["Third – a short one.", " \n", "Fifth."])
    write_prose(made, "prose-000.txt.xz", ["First.\n\nOf two paragraphs.", "Second, with <|doc|> inside a line."])
    write_prose(made, "prose-heldout.txt.xz", ["Apart."])
    write_chats(made, "chat-b.jsonl.xz", CHATS[1:])
    write_chats(made, "chat-a.jsonl.xz", CHATS[:1])
    return made


def test_prose_is_read_in_the_order_of_its_shards(folder: Path) -> None:
    assert list(corpus.prose(folder)) == [
        {"id": "prose-000/0", "text": "First.\n\nOf two paragraphs."},
        {"id": "prose-000/1", "text": "Second, with <|doc|> inside a line."},
        {"id": "prose-001/0", "text": "Third – a short one."},
        {"id": "prose-001/2", "text": "Fifth."},
    ]
    assert list(corpus.prose(folder, "prose-heldout.txt.xz")) == [{"id": "prose-heldout/0", "text": "Apart."}]


texts = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=40).filter(lambda t: "<|doc|>" not in t)


@settings(max_examples=50)
@given(st.lists(texts, min_size=1, max_size=6))
def test_documents_are_parted_as_any_other_corpus_parts_them(texts: list[str]) -> None:
    with TemporaryDirectory() as place:
        write_prose(Path(place), "prose-000.txt.xz", texts)
        mine = {document["id"]: document["text"] for document in corpus.prose(Path(place))}
        assert mine == {f"prose-000/{i}": text.strip() for i, text in enumerate(texts) if text.strip()}
        # Bytes that count as white space differ: text knows more of it.
        others = [(d.text or "").strip() for d in read_corpus(place)]
        assert [text for text in others if text] == list(mine.values())


def test_chats_are_read_a_line_each(folder: Path) -> None:
    assert list(corpus.chats(folder)) == [
        {"id": "chat-a/0", "messages": CHATS[0]},
        {"id": "chat-b/0", "messages": CHATS[1]},
    ]


def test_a_document_as_the_model_reads_it() -> None:
    assert corpus.as_text({"id": "x", "text": "Some text."}) == "Some text."
    chat = "<|user|>Où est Anna ?<|end|><|assistant|>In the\ngarden.<|end|>"
    assert corpus.as_text({"id": "x", "messages": CHATS[0]}) == chat


def test_the_held_out_documents_are_those_of_an_extraction() -> None:
    """The base model and the pair hold out the same documents: by one hash of the id, one share."""
    assert Extract.heldout == corpus.HELDOUT
    names = [f"world/0/{i}" for i in range(3000)]
    held = [name for name in names if split_of(name, corpus.HELDOUT) == "heldout"]
    first = {name: hashlib.blake2b(name.encode(), digest_size=8).digest() for name in names}
    assert held == [name for name in names if int.from_bytes(first[name], "big") / 2**64 < 0.02]
    assert 30 < len(held) < 90


def test_world_documents_follow_from_their_numbers() -> None:
    whole = list(corpus.world(0, 60))
    assert whole == [*corpus.world(0, 25), *corpus.world(25, 35)]
    assert corpus.world_document(40, 0) == whole[40]
    assert [document["id"] for document in whole] == [f"world/0/{i}" for i in range(60)]
    other = list(corpus.world(0, 60, seed=1))
    assert [document["id"] for document in other] == [f"world/1/{i}" for i in range(60)]
    assert {corpus.as_text(d) for d in whole}.isdisjoint(corpus.as_text(d) for d in other)


def test_a_world_document_is_a_chat_or_plain_episodes_of_its_own_split(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Episode] = []
    seeds: list[int] = []

    def noted(seed: int, family: str, split: str) -> Episode:
        seeds.append(seed)
        drawn.append(episode(seed, family, split))
        return drawn[-1]

    monkeypatch.setattr(corpus, "episode", noted)
    kinds = {"messages": 0, "text": 0}
    families: dict[str, int] = dict.fromkeys(map(str, FAMILIES), 0)
    splits = {"train": 0, "heldout": 0}
    for document in corpus.world(0, 400):
        split = split_of(document["id"], corpus.HELDOUT)
        assert {made.split for made in drawn} == {split}
        splits[split] += 1
        families[drawn[0].family] += 1
        if "messages" in document:
            kinds["messages"] += 1
            assert document["messages"] == list(drawn[0].messages or ())
            assert corpus.as_text(document) == drawn[0].text
        else:
            kinds["text"] += 1
            assert "<|" not in document["text"]
            assert document["text"] == "\n\n".join(made.text for made in drawn if made.messages is None)
            assert len({made.family for made in drawn}) == len(drawn) == 3
        drawn.clear()
    assert splits["heldout"] > 2
    assert set(families.values()) == {80}
    assert min(kinds.values()) > 80
    assert len(set(seeds)) == len(seeds), "no episode is in two documents"


def test_held_out_documents_work_steps_that_train_documents_never_hold() -> None:
    """What the split is for, read from the text: a held-out problem has a held-out step, a train problem has none."""
    names = {i: split_of(f"world/0/{i}", corpus.HELDOUT) for i in range(0, 6000, len(FAMILIES))}
    wanted = [i for i, split in names.items() if split == "heldout"] + list(range(0, 1000, len(FAMILIES)))
    seen = {"train": 0, "heldout": 0}
    for i in wanted:
        (document,) = corpus.world(i, 1)
        steps = re.findall(r"(\d+) ([-+*/]) (\d+) = \d+", corpus.as_text(document))
        assert steps, "every fifth document begins with a problem"
        new = any(is_held_out("problems", int(before), op, int(number)) for before, op, number in steps)
        assert new == (names[i] == "heldout"), document
        seen[names[i]] += 1
    assert min(seen.values()) > 10


def test_the_mix_is_a_corpus_to_extract_from(folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "mix"
    assert corpus.write_mix(folder, out, 30, 13) == {"prose": 4, "chats": 2, "world": 30, "oddments": 13}
    read = read_corpus(out)
    found = {document.id: document for document in read}
    assert read.unreadable == 0
    wanted = [*corpus.chats(folder), *oddments(0, 13), *corpus.prose(folder), *corpus.world(0, 30)]
    assert list(found) == [document["id"] for document in wanted]
    for document in wanted:
        same = found[document["id"]]
        assert same.text == document.get("text")
        assert (None if same.messages is None else list(same.messages)) == document.get("messages")
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    corpus.write_mix(folder, out, 30, 13)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before


def test_the_command_says_how_many_of_each(folder: Path, tmp_path: Path) -> None:
    counts = ("--world-documents", "1200", "--odd-documents", "7")
    command = [sys.executable, "-m", "thinkaloud.pocket.corpus", str(folder), str(tmp_path / "mix"), *counts]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.stdout == "prose 4, chats 2, world 1,200, oddments 7\n", done.stderr
    assert len((tmp_path / "mix" / "world.jsonl").read_text().splitlines()) == 1200


def test_a_folder_without_a_corpus_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no prose-\*\.txt\.xz and no chat-\*\.jsonl\.xz in"):
        corpus.write_mix(tmp_path, tmp_path / "mix", 5, 0)
    assert not (tmp_path / "mix").exists()
