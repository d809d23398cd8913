"""One process at a time in a folder: a file in it, locked with flock, that says who holds it.

The kernel lets go of the lock when its process ends, however it ends, so a killed process never blocks. On a file
system without flock the file's words decide: a living process of this host holds the folder, any other does not.
"""

import errno
import fcntl
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

from thinkaloud.atomic import is_alive
from thinkaloud.errors import UserError

NAME = ".lock"
_UNSUPPORTED = (errno.ENOTSUP, errno.ENOSYS, errno.ENOLCK, errno.EINVAL)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Hold `folder`, which is made if need be and goes again if it is empty in the end.

    UserError that says who holds it (process, host, since when) if somebody else does.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    path = folder / NAME
    file = _locked(path)
    try:
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()} since {datetime.now():%Y-%m-%d %H:%M:%S}\n")
        file.flush()
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()
        with suppress(OSError):  # from the first folder on that holds something
            for empty in made:
                empty.rmdir()


def _locked(path: Path) -> IO[str]:
    while True:
        if path.parent.exists() and not path.parent.is_dir():
            raise UserError(f"{path.parent} is a file: give the name of a folder to write")
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            file = path.open("a+", encoding="utf-8")
        except FileNotFoundError:  # whoever made the folder took it away again
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            is_free = True
        except BlockingIOError:
            is_free = False
        except OSError as error:
            if error.errno not in _UNSUPPORTED:
                raise
            is_free = not _is_held(_holder(file))
        if not is_free:
            holder = _holder(file)
            file.close()
            raise UserError(
                f"{path.parent} is in use by {holder or 'another process'}: let it finish, or choose another folder"
            )
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()  # its holder let go and removed it meanwhile


def _holder(file: IO[str]) -> str:
    """What the lock file says; a holder writes it right after taking hold."""
    for _ in range(20):
        file.seek(0)
        if words := file.read().strip():
            return words
        if os.fstat(file.fileno()).st_nlink == 0:
            break
        time.sleep(0.01)
    return ""


def _is_held(holder: str) -> bool:
    """Whether the process that a lock file names lives on this host."""
    found = re.match(r"process (\d+) on (\S+) ", holder)
    return found is not None and found[2] == socket.gethostname() and is_alive(int(found[1]))
