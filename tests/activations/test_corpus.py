"""Every kind of source gives its documents, with stable ids, and counts what it cannot read."""

import gzip
import itertools
import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinkaloud.activations import Document, read_corpus, split_of
from thinkaloud.activations.corpus import Extent
from thinkaloud.errors import UserError

CHAT = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
PACK: dict[str, Callable[[bytes], bytes]] = {"": bytes, ".xz": lzma.compress, ".gz": gzip.compress}


def jsonl(*rows: Any) -> bytes:
    return b"".join(row if isinstance(row, bytes) else json.dumps(row).encode() + b"\n" for row in rows)


@pytest.mark.parametrize("packing", PACK)
def test_text_is_split_at_separator_lines(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"prose.txt{packing}"
    path.write_bytes(PACK[packing]("one\n\nstill one\n<|doc|>\ntwo é <|doc|> two\n<|doc|>\r\n\n<|doc|>\nlast".encode()))
    corpus = read_corpus(path)
    expected = [
        Document("prose.txt:0", "one\n\nstill one"),
        Document("prose.txt:1", "two é <|doc|> two"),
        Document("prose.txt:3", "last"),
    ]
    assert list(corpus) == expected
    assert list(corpus) == expected, "a corpus can be read again"
    assert (corpus.unreadable, corpus.fraction, corpus.name) == (0, 1.0, path.name)


def test_text_without_separators_is_one_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\none\n\ntwo\n")
    assert list(read_corpus(tmp_path / "a.txt")) == [Document("a.txt:0", "one\n\ntwo")]


def book(chapters: int = 40) -> str:
    """Paragraphs of 300 to 900 characters and a long one, with blank lines of every kind between them."""
    blanks = ["\n\n", "\r\n\r\n", "\n \t\n", "\n\n\n\n"]
    parts = [f"    Chapter {i}. " + "and so it went on, " * (15 + i % 30) + f"end of {i}." for i in range(chapters)]
    parts[7] = "A long one. " * 400
    return "".join(part + blanks[i % 4] for i, part in enumerate(parts))


@pytest.mark.parametrize("packing", PACK)
def test_a_long_text_file_is_pages_of_whole_paragraphs(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"book.txt{packing}"
    path.write_bytes(PACK[packing](book().encode()))
    corpus, shares = read_corpus(path), []
    found = []
    for document in corpus:
        found.append(document)
        shares.append(corpus.fraction)
    assert [d.id for d in found] == [f"book.txt:{i}" for i in range(len(found))]
    texts = [d.text or "" for d in found]
    assert "".join("".join(texts).split()) == "".join(book().split()), "nothing is lost, nothing doubled"
    assert sorted(len(text) for text in texts)[-2] <= 1500 < max(map(len, texts)), "a long paragraph stays whole"
    assert all(text.startswith("    Chapter") or text.startswith("A long") for text in texts)
    joined = [a + b for a, b in itertools.pairwise(map(len, texts))]
    assert min(joined) > 1500, "no page could have taken the next one"
    assert shares == sorted(shares)
    assert (shares[0] or 1) < 0.2, "the first page is not the whole file"
    assert (shares[-1], corpus.fraction) == (pytest.approx(1, abs=0.02), 1.0)
    assert {split_of(d.id, 0.1) for d in found} == {"train", "heldout"}


def test_short_files_and_files_with_separators_are_not_cut(tmp_path: Path) -> None:
    short, divided = book()[:9_900].strip(), book() + "\n<|doc|>\n" + book()
    (tmp_path / "a.txt").write_text(short, newline="")
    (tmp_path / "b.txt").write_text(divided, newline="")
    assert [d.id for d in read_corpus(tmp_path)] == ["a.txt:0", "b.txt:0", "b.txt:1"]
    (tmp_path / "b.txt").write_text("<|doc|>\n" + book(), newline="")
    assert [d.id for d in read_corpus(tmp_path)] == ["a.txt:0", "b.txt:1"]
    (tmp_path / "b.txt").write_text("one line " * 2_000)
    assert len(list(read_corpus(tmp_path / "b.txt"))) == 1, "no blank line, no place to cut"


def test_equal_ids_in_two_files_are_two_documents(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(jsonl({"id": 1, "text": "one"}, {"id": 2, "text": "two"}))
    (tmp_path / "b.jsonl").write_bytes(
        jsonl({"id": 1, "text": "another"}, {"id": 3, "text": "x"}, {"id": 3, "text": "y"})
    )
    (tmp_path / "c.jsonl").write_bytes(jsonl({"id": 1, "text": "a third"}, {"text": "none"}))
    (tmp_path / "d.txt").write_text("plain")
    (tmp_path / "d.txt.gz").write_bytes(gzip.compress(b"packed"))
    ids = [d.id for d in read_corpus(tmp_path)]
    assert ids == ["1", "2", "b.jsonl/1", "3", "3", "c.jsonl/1", "c.jsonl:1", "d.txt:0", "d.txt.gz:0"]


def test_what_a_corpus_lacks_is_known_beforehand(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(jsonl(*({"text": f"text {i}"} for i in range(200)), {"messages": CHAT}))
    corpus = read_corpus(path)
    whole = corpus.count(None, 0.1)
    held = sum(split_of(f"rows.jsonl:{i}", 0.1) == "heldout" for i in range(201))
    assert whole == Extent(201, held, sum(len(f"text {i}") for i in range(200)) + len("HiHello"))
    assert held > 1
    assert whole is not None
    assert whole.lacking() is None
    few = corpus.count(3, 0.02)
    assert few is not None
    assert few.lacking() == "held-out documents: 0 of 3, so no rows to judge a training by; give more documents"
    assert Extent(50, 1, 1).lacking() == (
        "held-out documents: 1 of 50, too few for an interval; give more documents or a larger share (--heldout 0.1)"
    )


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1).filter(
            lambda t: t.strip() and t == t.strip("\r\n") and "<|doc|>" not in t and len(t.strip().encode()) > 0
        ),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["\n", "\r\n"]),
)
def test_any_texts_come_back(tmp_path_factory: pytest.TempPathFactory, texts: list[str], end: str) -> None:
    path = tmp_path_factory.mktemp("corpus") / "a.txt"
    path.write_bytes(f"{end}<|doc|>{end}".join(texts).encode())
    found = [document.text for document in read_corpus(path)]
    assert found == [t for t in texts if t.encode().strip()]


@pytest.mark.parametrize("packing", PACK)
def test_jsonl_rows_are_texts_or_chats(tmp_path: Path, packing: str) -> None:
    path = tmp_path / f"rows.jsonl{packing}"
    rows = jsonl({"text": "a"}, b"\n", {"messages": CHAT}, {"id": 7, "text": "b"}, {"doc_id": "own", "text": "c"})
    path.write_bytes(PACK[packing](rows))
    assert list(read_corpus(path)) == [
        Document("rows.jsonl:0", "a"),
        Document("rows.jsonl:2", None, tuple(CHAT)),
        Document("7", "b"),
        Document("own", "c"),
    ]


def test_rows_that_cannot_be_read_are_counted_and_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    bad = [
        b"{not json\n",
        b'{"text": "\xff"}\n',
        [1, 2],
        {"other": "x"},
        {"text": 5},
        {"text": "  "},
        {"messages": []},
        {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": None}]},
        {"messages": "Hi"},
        b'{"text": "\\ud800"}\n',
        b"[" * 100_000 + b"\n",
    ]
    path.write_bytes(jsonl({"text": "first"}, *bad, {"text": "last"}))
    corpus = read_corpus(path)
    assert [document.text for document in corpus] == ["first", "last"]
    assert corpus.unreadable == len(bad)
    assert (corpus.first_problem or "").startswith("rows.jsonl row 1: not JSON")


def test_a_document_that_is_not_utf8_is_counted(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"good\n<|doc|>\n\xff\xfe\n<|doc|>\nalso good")
    corpus = read_corpus(tmp_path / "a.txt")
    assert [d.id for d in corpus] == ["a.txt:0", "a.txt:2"]
    assert corpus.unreadable == 1


def test_parquet_is_read_by_column(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    table = pa.table({"text": ["a", None, "c"], "messages": [None, CHAT, None], "vector": [[1.0]] * 3})
    pq.write_table(table, path)
    assert list(read_corpus(path)) == [
        Document("rows.parquet:0", "a"),
        Document("rows.parquet:1", None, tuple(CHAT)),
        Document("rows.parquet:2", "c"),
    ]
    pq.write_table(pa.table({"id": ["x", "y"], "body": ["a", None]}), path)
    corpus = read_corpus(path, text_column="body")
    assert list(corpus) == [Document("x", "a")]
    assert corpus.unreadable == 1
    with pytest.raises(UserError, match="has no column 'text' or 'messages'"):
        list(read_corpus(path))


def test_a_folder_is_read_in_order_of_names(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "1.txt").write_text("in b")
    (tmp_path / "a.jsonl").write_bytes(jsonl({"text": "in a"}))
    (tmp_path / "c.txt.xz").write_bytes(lzma.compress(b"in c"))
    (tmp_path / "MANIFEST.md").write_text("not a document")
    (tmp_path / ".hidden.txt").write_text("not a document")
    corpus = read_corpus(tmp_path)
    assert [(d.id, d.text) for d in corpus] == [("a.jsonl:0", "in a"), ("b/1.txt:0", "in b"), ("c.txt:0", "in c")]
    assert corpus.fraction == 1.0


def test_a_hub_data_set_is_streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    asked: list[Any] = []

    def load(*args: Any, **keywords: Any) -> Any:
        asked.append((args, keywords))
        return datasets.Dataset.from_list([{"text": "a", "n": 1}, {"text": "", "n": 2}]).to_iterable_dataset()

    monkeypatch.setattr(datasets, "load_dataset", load)
    corpus = read_corpus("owner/name:part")
    assert list(corpus) == [Document("owner/name:part:0", "a")]
    assert corpus.unreadable == 1
    assert asked == [(("owner/name", "part"), {"split": "train", "streaming": True})]


def test_a_hub_data_set_that_is_not_there_is_one_line() -> None:
    pytest.importorskip("datasets")
    with pytest.raises(UserError, match="no corpus file and no readable hub data set no-such-owner/no-such-name"):
        list(read_corpus("no-such-owner/no-such-name"))


def test_sources_that_are_none_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "a.csv").write_text("x")
    (tmp_path / "a.parquet.xz").write_bytes(b"x")
    (tmp_path / "bad.parquet").write_bytes(b"PAR1 not really")
    (tmp_path / "cut.txt.xz").write_bytes(lzma.compress(b"text " * 10_000)[:-20])
    (tmp_path / "foreign.txt.gz").write_bytes(b"plain")
    for name, message in (
        ("empty", "no .txt, .jsonl or .parquet file"),
        ("a.csv", "a corpus file ends in .txt"),
        ("a.parquet.xz", "a corpus file ends in .txt"),
        ("missing.txt", "no corpus at"),
        ("bad.parquet", "not a whole Parquet file"),
        ("cut.txt.xz", "is damaged"),
        ("foreign.txt.gz", "is damaged"),
    ):
        with pytest.raises(UserError) as error:
            list(read_corpus(tmp_path / name))
        assert message in str(error.value)


def test_the_split_goes_by_the_hash_of_the_id() -> None:
    ids = [f"doc:{i}" for i in range(20_000)]
    held = {i for i in ids if split_of(i) == "heldout"}
    assert 300 < len(held) < 500
    assert held <= {i for i in ids if split_of(i, heldout=0.1) == "heldout"}, "a larger share holds the smaller one"
    assert split_of("doc:0", heldout=0.0) == "train"
    assert split_of("doc:5") == split_of("doc:5")
    # Fixed for good: a model must never be scored on documents that an older version trained on.
    assert sorted(held)[:3] == ["doc:10037", "doc:1006", "doc:10188"]
