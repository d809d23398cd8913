"""Documents of a corpus as one stream: text, JSONL and Parquet files, folders of them, and hub data sets.

Rows that cannot be read are counted and passed over. Ids depend on the source and the row, never on the machine.
"""

import gzip
import hashlib
import json
import lzma
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO, Any

from thinkaloud.errors import UserError

SEPARATOR = b"<|doc|>"
LONG, PAGE = 10_000, 1_500  # characters: a text file beyond LONG is read in pages, which fit 512 tokens of prose
CHEAP = 1 << 24  # bytes of a corpus that is read once more to be counted
KINDS = (".txt", ".jsonl", ".parquet")
PACKED = {".xz": lzma.open, ".gz": gzip.open}
BLANK = re.compile(r"\r?\n(?:[ \t]*\r?\n)+")
HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+(:[\w.-]+)?")


@dataclass(frozen=True)
class Document:
    """A text or a chat (messages with `role` and `content`): exactly one of the two is given."""

    id: str
    text: str | None = None
    messages: tuple[dict[str, Any], ...] | None = None

    @property
    def characters(self) -> int:
        return len(self.text) if self.text is not None else sum(len(m["content"]) for m in self.messages or ())


@dataclass(frozen=True)
class Extent:
    """How much a corpus holds: documents, those of them that are held out, and characters."""

    documents: int
    heldout: int
    characters: int

    def lacking(self) -> str | None:
        """What the data will lack, in a line: held-out documents to judge by. None where nothing is lacking."""
        if self.heldout > 1:
            return None
        few = "so no rows to judge a training by" if self.heldout == 0 else "too few for an interval"
        share = f" or a larger share (--heldout {5 / self.documents:.2g})" if self.documents >= 10 else ""
        return f"held-out documents: {self.heldout} of {self.documents:,}, {few}; give more documents{share}"


class BadRow(Exception):
    """Why a row is not a document."""


class Corpus:
    """Documents of a source, in a fixed order, as often as it is iterated.

    After (or during) an iteration: `unreadable`, how many rows were passed over, `first_problem`, the first of them and
    why, and `fraction`, the share of the source's bytes behind the reader (None where the size is not known).
    """

    def __init__(self, spec: str | Path, text_column: str | None = None) -> None:
        self.text_column = text_column
        self.unreadable = 0
        self.first_problem: str | None = None
        self._read = self._before = 0  # bytes behind the reader, and those of the files before
        path = Path(spec).expanduser()
        self._files: list[tuple[str, Path]] | None = None
        if path.is_dir():
            self.name = path.resolve().name
            found = {p.relative_to(path): p for p in path.rglob("*") if p.is_file() and _kind(p) is not None}
            named = {n.as_posix(): p for n, p in found.items() if not any(q.startswith(".") for q in n.parts)}
            stems = Counter(map(_stem, named))
            self._files = [(_stem(n) if stems[_stem(n)] == 1 else n, named[n]) for n in sorted(named)]
            if not self._files:
                raise UserError(f"no .txt, .jsonl or .parquet file (.xz and .gz are fine) in the folder {spec}")
        elif path.is_file():
            if _kind(path) is None:
                raise UserError(
                    f"a corpus file ends in .txt, .jsonl or .parquet, with .xz or .gz after it; found {spec}"
                )
            self.name = path.name
            self._files = [(_stem(path.name), path)]
        elif HUB_NAME.fullmatch(str(spec)):
            self.name = str(spec)
        else:
            raise UserError(
                f"no corpus at {spec}: expected a file, a folder, or a hub data set (owner/name or owner/name:config)"
            )
        self._total = sum(path.stat().st_size for _, path in self._files or ())

    @property
    def fraction(self) -> float | None:
        return self._read / self._total if self._total else None

    def count(self, limit: int | None, heldout: float) -> Extent | None:
        """What its first `limit` documents come to; None where reading them once more would take long."""
        if not 0 < self._total <= CHEAP:
            return None
        sizes = [(split_of(d.id, heldout) == "heldout", d.characters) for d in islice(self, limit)]
        return Extent(len(sizes), sum(held for held, _ in sizes), sum(size for _, size in sizes))

    def __iter__(self) -> Iterator[Document]:
        self.unreadable, self.first_problem, self._read = 0, None, 0
        if self._files is None:
            yield from self._documents(self.name, self._hub())
            return
        readers = {".txt": self._texts, ".jsonl": self._json, ".parquet": self._parquet}
        taken: set[str] = set()  # ids of the files before this one
        for name, path in self._files:
            mine: set[str] = set()
            self._before, size = self._read, path.stat().st_size
            for document in self._documents(name, readers[_kind(path) or ""](path)):
                if document.id in taken:
                    document = replace(document, id=f"{name}/{document.id}")
                if len(self._files) > 1:
                    mine.add(document.id)
                yield document
            taken |= mine
            self._read = self._before + size

    def _documents(self, name: str, rows: Iterator[tuple[int, Any]]) -> Iterator[Document]:
        for number, row in rows:
            try:
                if isinstance(row, BadRow):
                    raise row
                yield document(f"{name}:{number}", row, self.text_column)
            except BadRow as problem:
                self.unreadable += 1
                self.first_problem = self.first_problem or f"{name} row {number}: {problem}"

    def _texts(self, path: Path) -> Iterator[tuple[int, Any]]:
        for number, (raw, last) in enumerate(_between_separators(self._lines(path))):
            if not raw.strip():
                continue
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError:
                yield number, BadRow("not UTF-8")
                continue
            is_book, behind = last and number == 0 and len(text) > LONG, 0
            for page_number, page in enumerate(pages(text) if is_book else [text], number):
                if is_book:
                    behind += len(page)
                    self._read = self._before + path.stat().st_size * behind // len(text)
                yield page_number, {self.text_column or "text": page}

    def _json(self, path: Path) -> Iterator[tuple[int, Any]]:
        for number, line in enumerate(self._lines(path)):
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError) as error:
                row = BadRow(f"not JSON ({error})")
            yield number, row

    def _parquet(self, path: Path) -> Iterator[tuple[int, Any]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                wanted = {self.text_column or "text", "messages", "id", "doc_id"}
                columns = [c for c in file.schema_arrow.names if c in wanted]
                if not set(columns) - {"id", "doc_id"}:
                    raise UserError(
                        f"{path} has no column {self.text_column or 'text'!r} or 'messages': name one with text_column"
                    )
                number = 0
                for batch in file.iter_batches(batch_size=1024, columns=columns):
                    for row in batch.to_pylist():
                        yield number, row
                        number += 1
                    self._read = self._before + path.stat().st_size * number // file.metadata.num_rows
        except pa.ArrowInvalid as error:
            raise UserError(f"{path} is not a whole Parquet file: {str(error).splitlines()[0]}") from None

    def _hub(self) -> Iterator[tuple[int, Any]]:
        try:
            import datasets
        except ImportError:
            raise UserError(
                f"the hub data set {self.name} needs the datasets package: pip install 'thinkaloud[hub]'"
            ) from None
        owner_name, _, config = self.name.partition(":")
        try:
            stream = datasets.load_dataset(owner_name, config or None, split="train", streaming=True)
        except Exception as error:
            # The hub client raises many kinds of error for "not there" and "not reachable".
            first = (str(error).splitlines() or [type(error).__name__])[0]
            raise UserError(f"no corpus file and no readable hub data set {self.name}: {first}") from None
        yield from enumerate(iter(stream))

    def _lines(self, path: Path) -> Iterator[bytes]:
        """The lines of a file, unpacked; keeps count of the bytes read from the file itself."""
        opener = PACKED.get(path.suffix)
        with path.open("rb") as raw:
            unpacked: IO[bytes] = opener(raw, "rb") if opener else raw  # type: ignore[assignment]
            try:
                for line in unpacked:
                    self._read = self._before + raw.tell() if opener else self._read + len(line)
                    yield line
            except (EOFError, lzma.LZMAError, gzip.BadGzipFile, zlib.error) as error:
                what = error or "its compressed data ends early"
                raise UserError(f"{path} is damaged: {what}; fetch it again") from None


def read_corpus(spec: str | Path, *, text_column: str | None = None) -> Corpus:
    """The corpus at `spec`: a .txt, .jsonl or .parquet file (.txt and .jsonl may be .xz or .gz), a folder of such files
    in order of their names, or a hub data set `owner/name` or `owner/name:config`, streamed.

    In a .txt file documents stand between lines that hold only `<|doc|>`. Without one the file is one document, or,
    beyond LONG characters, a document for each page of whole paragraphs: a book then has held-out pages, whose
    neighbours are trained on. Rows of the other kinds have `text` (or `text_column`) or `messages`, and may have their
    own `id` or `doc_id`. Rows of one file with equal ids are parts of one document; where another file has used an id
    before, the file's name is put before it.
    """
    return Corpus(spec, text_column)


def document(default_id: str, row: Any, text_column: str | None = None) -> Document:
    """The document of one row; raises BadRow where there is none."""
    if not isinstance(row, Mapping):
        raise BadRow(f"expected fields, found {type(row).__name__}")
    own = next((row[k] for k in ("id", "doc_id") if isinstance(row.get(k), str | int) and row[k] != ""), default_id)
    text, messages = row.get(text_column or "text"), row.get("messages")
    if isinstance(text, str) and text.strip():
        _encodable(text)
        return Document(str(own), text=text)
    if messages is None:
        raise BadRow(f"no text in {text_column or 'text'!r} and no messages")
    if not isinstance(messages, list | tuple) or not messages:
        raise BadRow("messages must be a list with at least one message")
    for message in messages:
        if not isinstance(message, Mapping) or not all(isinstance(message.get(k), str) for k in ("role", "content")):
            raise BadRow("a message needs a role and a content, both text")
        _encodable(message["role"] + message["content"])
    return Document(str(own), messages=tuple({k: v for k, v in m.items() if v is not None} for m in messages))


def split_of(doc_id: str, heldout: float = 0.02) -> str:
    """ "heldout" for a share `heldout` of all document ids, "train" for the others: by hash, the same everywhere."""
    value = int.from_bytes(hashlib.blake2b(doc_id.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")
    return "heldout" if value < heldout * 2**64 else "train"


def _encodable(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise BadRow("not Unicode text (a lone surrogate)") from None


def _between_separators(lines: Iterator[bytes]) -> Iterator[tuple[bytes, bool]]:
    """What stands between the lines that hold only the separator, without the line ends beside it, and whether it is
    the last such part.
    """
    part: list[bytes] = []
    for line in lines:
        if line.strip() == SEPARATOR:
            yield b"".join(part).strip(b"\r\n"), False
            part = []
        else:
            part.append(line)
    yield b"".join(part).strip(b"\r\n"), True


def pages(text: str) -> Iterator[str]:
    """Runs of whole paragraphs, cut at blank lines: as many as PAGE characters hold, or one that is longer."""
    blanks = [match.span() for match in BLANK.finditer(text)]
    starts, ends = [0, *(end for _, end in blanks)], [*(start for start, _ in blanks), len(text)]
    first = 0
    for i in range(1, len(starts) + 1):
        if i == len(starts) or ends[i] - starts[first] > PAGE:
            yield text[starts[first] : ends[i - 1]]
            first = i


def _kind(path: Path) -> str | None:
    suffix = Path(path.stem).suffix if path.suffix in PACKED else path.suffix
    return suffix if suffix in KINDS and not (suffix == ".parquet" and path.suffix in PACKED) else None


def _stem(name: str) -> str:
    """The name without .xz or .gz: packing a file does not change its documents' ids."""
    return name[:-3] if name.endswith(tuple(PACKED)) else name
