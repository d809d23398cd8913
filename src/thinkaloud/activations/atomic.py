"""How does a file come to be whole or not at all? Temporary name in the same folder, fsync, rename."""

import errno
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from thinkaloud.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def partial_path(path: Path, worker: int) -> Path:
    return path.with_name(f".{path.name}.partial-{worker}")


def write_whole(path: Path, write: Callable[[IO[bytes]], object], worker: int = 0) -> None:
    """Let `write` fill a file that appears under `path` only when it is whole and on the disk."""
    partial = partial_path(path, worker)
    try:
        with full_disk_named(path):
            with partial.open("wb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise UserError(
                f"no room to write {path} ({os.strerror(error.errno)}): free some space and run again"
            ) from None
        raise


def write_json(path: Path, data: Mapping[str, Any], worker: int = 0) -> None:
    """Write `data` with sorted keys: the same data is the same bytes."""
    text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()), worker)
