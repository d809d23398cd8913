"""How does a file or folder come to be whole or not at all? Temporary name in the same place, fsync, rename."""

import errno
import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from safetensors import SafetensorError

from thinkaloud.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OS_ERROR = re.compile(r"os error (\d+)")


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
            _sync(path.parent)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """A folder to write in, which becomes `folder` once all is written; nothing of it stays if something fails.

    Where `folder` is there already, its files are replaced and others stay.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with full_disk_named(folder):
            yield partial
            for file in partial.iterdir():
                _sync(file)
            if folder.is_dir():
                for file in partial.iterdir():
                    os.replace(file, folder / file.name)
            else:
                os.replace(partial, folder)
            _sync(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """One line in place of the traceback where there is no room for `path`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        number = error.errno if isinstance(error, OSError) else _number_in(error)
        if number in FULL:
            raise UserError(f"no room to write {path} ({os.strerror(number)}): free some space and run again") from None
        raise


def _number_in(error: SafetensorError) -> int | None:
    """The system's error number, which safetensors tells in words alone."""
    found = OS_ERROR.search(str(error))
    return int(found.group(1)) if found else None


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def write_json(path: Path, data: Mapping[str, Any], worker: int = 0) -> None:
    """Write `data` with sorted keys: the same data is the same bytes."""
    text = json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()), worker)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_whole(path, lambda file: file.write(text.encode()))
