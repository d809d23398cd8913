"""Files and folders that are whole or not there: a temporary name in the same place, fsync, rename.

A temporary name says which process made it (`.NAME.partial-HOST-PID-…`), so no two processes share one, and whoever
writes into a folder next removes what killed processes left in it.
"""

import errno
import hashlib
import itertools
import json
import os
import re
import secrets
import shutil
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import yaml
from safetensors import SafetensorError

from thinkaloud.errors import UserError

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OS_ERROR = re.compile(r"os error (\d+)")
# NAME, what it is, the host's hash, the process and its random number, a count.
TEMPORARY = re.compile(r"\.(.+)\.(partial|aside)-([0-9a-f]{8})-(\d+)-([0-9a-f]{8})-\d+")
STALE = 24 * 3600  # seconds after which a temporary file counts as abandoned, whoever made it
_OURS, _COUNT = secrets.token_hex(4), itertools.count()  # a process started later may have the number of this one


def sha256_of(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_whole(path: Path, write: Callable[[IO[bytes]], object]) -> None:
    """Let `write` fill a file that appears under `path` only when it is whole and on the disk."""
    sweep(path.parent)
    partial = _temporary(path, "partial")
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
    """A folder to write in, which takes the place of `folder` once all is written; nothing stays if something fails.

    An old `folder` is renamed aside before the new one takes its name. A kill between the two renames leaves the name
    free and the old folder aside, from where `restore` (a reader) or `sweep` (the next write) brings it back.
    """
    folder = folder.resolve()  # a link to a folder stays one
    if folder.is_file():
        raise UserError(f"{folder} is a file: expected a folder to write, or a name that is free")
    folder.parent.mkdir(parents=True, exist_ok=True)
    sweep(folder.parent)
    partial = _temporary(folder, "partial")
    partial.mkdir()
    try:
        with full_disk_named(folder):
            yield partial
            for path in partial.rglob("*"):
                if path.is_file():  # safetensors writes for nobody but the owner
                    path.chmod(partial.stat().st_mode & 0o666)
                _sync(path)
            _sync(partial)
            _take_place(partial, folder)
            _sync(folder.parent)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _take_place(partial: Path, folder: Path) -> None:
    """Rename `partial` to `folder`, whatever other processes put there meanwhile."""
    while partial.exists():
        aside = _temporary(folder, "aside")
        with suppress(FileNotFoundError):
            os.rename(folder, aside)
        try:
            os.rename(partial, folder)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
        finally:
            _settle(aside, folder)


def _settle(aside: Path, folder: Path) -> None:
    """Put what was moved aside back under its name, or remove it where the name is taken."""
    if folder.exists():
        shutil.rmtree(aside, ignore_errors=True)
    else:
        with suppress(OSError):  # another process was faster
            os.rename(aside, folder)


def restore(folder: Path) -> bool:
    """Whether `folder` is there, once what a kill left aside in the middle of a replacement is back under its name."""
    for _ in range(100):  # a replacement under way leaves the name free for an instant
        if folder.is_dir():
            return True
        if not any(found[1] == folder.name and found[2] == "aside" for _, found in _temporaries(folder.parent)):
            return folder.is_dir()
        sweep(folder.parent)
        time.sleep(0.01)
    return folder.is_dir()


def sweep(folder: Path) -> None:
    """Remove what killed processes left half written in `folder`, and put back what they had only moved aside."""
    for path, found in _temporaries(folder):
        if not _is_abandoned(path, found[3], int(found[4]), found[5]):
            continue
        if found[2] == "aside":
            _settle(path, folder / found[1])
        elif path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _temporary(path: Path, kind: str) -> Path:
    return path.with_name(f".{path.name}.{kind}-{_host()}-{os.getpid()}-{_OURS}-{next(_COUNT)}")


def _temporaries(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    found = ((folder / name, TEMPORARY.fullmatch(name)) for name in names)
    return [(path, match) for path, match in found if match]


def _is_abandoned(path: Path, host: str, pid: int, process: str) -> bool:
    try:
        old = time.time() - path.stat().st_mtime > STALE
    except FileNotFoundError:
        return True
    if old or host != _host():
        return old
    return process != _OURS if pid == os.getpid() else not is_alive(pid)


def is_alive(pid: int) -> bool:
    """Whether a process of this host has this number."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # a process of somebody else
        pass
    return True


def _host() -> str:
    return hashlib.blake2b(socket.gethostname().encode(), digest_size=4).hexdigest()


@contextmanager
def full_disk_named(path: Path) -> Iterator[None]:
    """One line in place of the traceback where there is no room for `path`."""
    try:
        yield
    except (OSError, SafetensorError) as error:
        told = OS_ERROR.search(str(error))  # safetensors tells the system's number in words alone
        number = error.errno if isinstance(error, OSError) else int(told[1]) if told else None
        if number in FULL:
            raise UserError(f"no room to write {path} ({os.strerror(number)}): free some space and run again") from None
        raise


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def write_json(path: Path, data: Mapping[str, Any]) -> None:
    """Write `data` with sorted keys: the same data is the same bytes."""
    write_text(path, json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    write_whole(path, lambda file: file.write(text.encode()))


def read_mapping(path: Path, missing: str) -> dict[str, Any]:
    """The mapping in a JSON or YAML file; UserError where it holds none, or is not there (`missing` is the line)."""
    if not path.is_file():
        raise UserError(missing)
    kind, parse = ("YAML", yaml.safe_load) if path.suffix == ".yaml" else ("JSON", json.loads)
    try:
        data = parse(path.read_text(encoding="utf-8"))
    except (ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} is not {kind}: {str(error).splitlines()[0]}") from None
    if not isinstance(data, dict):
        raise UserError(f"{path} must hold a mapping, found {type(data).__name__}")
    return data


def json_lines(path: Path) -> list[Any]:
    """The values of a file of JSON lines. What stands behind its last newline, a line that a kill cut off, is left out.

    Lines end in a newline byte alone: U+2028, U+2029 and U+0085, where `str.splitlines` would cut too, may stand inside
    a JSON string. UserError for a line that is not JSON.
    """
    values = []
    for number, line in enumerate(path.read_bytes().split(b"\n")[:-1], 1):
        try:
            values.append(json.loads(line))
        except ValueError as error:
            raise UserError(f"{path}, line {number} is not JSON ({error}): remove the line") from None
    return values
