"""Files and folders that are whole or not there, with several processes at work and with kills in between."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from thinkaloud import atomic, loading
from thinkaloud.errors import UserError

ODD = ["a\u2028b", "c\u2029d", "e\u0085f", "g\x1ch", "\x00", "i\r\nj", "👩‍🚀", "שלום"]

WRITE = """
import sys
from pathlib import Path
from thinkaloud.atomic import whole_folder, write_whole
place, mark, times = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
for i in range(times):
    write_whole(place / "file", lambda file: [file.write(mark.encode() * 1000) for _ in range(50)])
    with whole_folder(place / "folder") as partial:
        (partial / "inner").mkdir()
        for name in ("one", "inner/two", f"inner/only-{mark}"):
            (partial / name).write_text(mark * 50_000)
"""


def writer(place: Path, mark: str, times: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-c", WRITE, str(place), mark, str(times)]
    return subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def marks(place: Path) -> set[str]:
    """The letters in the folder's files: one where it is of one write."""
    return {letter for path in place.rglob("*") if path.is_file() for letter in set(path.read_text())}


def test_json_lines_end_at_newlines_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    lines = [{"text": text, "n": [1, {"m": 2}]} for text in ODD]
    whole = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    path.write_bytes(whole.encode())
    assert atomic.json_lines(path) == lines
    for torn in ('{"text": {"a": 1}', '{"text": "a"}', '{"text": "ü'.encode()[:-1].decode("latin1")):
        path.write_bytes(whole.encode() + torn.encode("latin1"))
        assert atomic.json_lines(path) == lines
    path.write_bytes(b'{"a": 1}\n{"a": \n{"a": 3}\n')
    with pytest.raises(UserError, match=r"log\.jsonl, line 2 is not JSON"):
        atomic.json_lines(path)


def test_a_second_write_takes_the_place_of_the_first(tmp_path: Path) -> None:
    folder = tmp_path / "there" / "folder"
    for text in ("old", "new"):
        with atomic.whole_folder(folder) as partial:
            (partial / "inner").mkdir()
            (partial / "inner" / "file").write_text(text)
            (partial / f"only {text}").write_text("")
    assert names(folder) == {"inner", "inner/file", "only new"}
    assert (folder / "inner" / "file").read_text() == "new"
    assert names(tmp_path / "there") == {"folder", *(f"folder/{name}" for name in names(folder))}
    with pytest.raises(FileNotFoundError), atomic.whole_folder(folder) as partial:
        (partial / "half").write_text((tmp_path / "nowhere").read_text())
    assert (folder / "inner" / "file").read_text() == "new"
    assert [path.name for path in folder.parent.iterdir()] == ["folder"]


def test_a_link_to_a_folder_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "disk" / "folder").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "folder")
    with atomic.whole_folder(tmp_path / "link") as partial:
        (partial / "file").write_text("new")
    assert (tmp_path / "link").is_symlink()
    assert names(tmp_path / "disk") == {"folder", "folder/file"}


def test_files_are_as_readable_as_their_folder(tmp_path: Path) -> None:
    """A library that writes for the owner alone does not keep others from what was meant for them."""
    with atomic.whole_folder(tmp_path / "made") as partial:
        save_file({"a": torch.zeros(1)}, partial / "a.safetensors")
        partial.chmod(0o750)
    assert (tmp_path / "made" / "a.safetensors").stat().st_mode & 0o777 == 0o640


def test_a_file_is_no_place_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="is a file: expected a folder"), atomic.whole_folder(tmp_path / "file"):
        pass
    assert (tmp_path / "file").read_text() == "mine"


def test_every_file_and_folder_is_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is handed to fsync, by inode: a rename keeps it."""
    synced, sync = set(), os.fsync

    def counted(descriptor: int) -> None:
        synced.add(os.fstat(descriptor).st_ino)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", counted)
    with atomic.whole_folder(tmp_path / "folder") as partial:
        (partial / "inner").mkdir()
        (partial / "inner" / "file").write_text("text")
    wanted = [tmp_path, tmp_path / "folder", tmp_path / "folder/inner", tmp_path / "folder/inner/file"]
    assert {path.stat().st_ino for path in wanted} <= synced


def test_processes_that_write_the_same_names_do_not_hinder_each_other(tmp_path: Path) -> None:
    """Two writers and a reader: everybody ends well, and whoever reads finds the files of one write."""
    processes = [writer(tmp_path, mark, 10) for mark in "ab"]
    seen = False
    while any(process.poll() is None for process in processes):
        if seen:
            text = (tmp_path / "file").read_text()
            assert (len(text), len(set(text))) == (50_000, 1)
            assert atomic.restore(tmp_path / "folder")
        seen = seen or (tmp_path / "folder").exists()
    for process in processes:
        assert process.communicate()[1] == ""
        assert process.returncode == 0
    assert len(marks(tmp_path / "folder")) == 1
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}
    assert len(list((tmp_path / "folder" / "inner").iterdir())) == 2


def test_a_kill_leaves_the_old_or_the_new_and_the_next_write_cleans_up(tmp_path: Path) -> None:
    left = 0
    for i in range(4):
        process = writer(tmp_path, "ab"[i % 2], 10_000)
        while not (tmp_path / "folder").exists():
            time.sleep(0.005)
        time.sleep(0.1 + 0.05 * i)
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
        left += len(list(tmp_path.glob(".*")))
        assert atomic.restore(tmp_path / "folder")
        assert len(marks(tmp_path / "folder")) == len(set((tmp_path / "file").read_text())) == 1
    assert left, "some kill was in the middle of a write"
    atomic.write_text(tmp_path / "next", "text")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder", "next"}


def test_a_folder_that_a_kill_left_aside_is_found_again(tmp_path: Path) -> None:
    """The kill comes between the two renames of a replacement."""
    code = """
import os, sys
from pathlib import Path
from thinkaloud.atomic import whole_folder
rename, folder = os.rename, Path(sys.argv[1])
folder.mkdir()
(folder / "config.json").write_text("old")
def killed(one, other):
    rename(one, other)
    os.kill(os.getpid(), 9)
os.rename = killed
with whole_folder(folder) as partial:
    (partial / "config.json").write_text("new")
"""
    for find in (loading.resolve, atomic.sweep):
        place = tmp_path / find.__name__
        place.mkdir()
        done = subprocess.run([sys.executable, "-c", code, str(place / "model")])
        assert done.returncode == -signal.SIGKILL
        assert not (place / "model").exists()
        find(place / "model" if find is loading.resolve else place)
        assert (place / "model" / "config.json").read_text() == "old"


def test_only_what_is_abandoned_is_removed(tmp_path: Path) -> None:
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    here, gone = atomic._host(), int(dead.stdout)
    partials = {
        "of a dead process": (f".x.partial-{here}-{gone}-00000000-0", 0, False),
        "of a process that had this one's number": (f".x.partial-{here}-{os.getpid()}-00000000-0", 0, False),
        "of a living process": (f".x.partial-{here}-{os.getppid()}-00000000-0", 0, True),
        "of another host": (f".x.partial-00000000-{gone}-00000000-0", 0, True),
        "of another host, long ago": (f".y.partial-00000000-{gone}-00000000-0", atomic.STALE + 60, False),
        "somebody's own": (".x.partial", atomic.STALE + 60, True),
    }
    for name, age, _ in partials.values():
        (tmp_path / name).write_text("")
        os.utime(tmp_path / name, (time.time() - age, time.time() - age))
    atomic.write_text(tmp_path / "z", "text")
    assert {what: (tmp_path / name).exists() for what, (name, _, _) in partials.items()} == {
        what: stays for what, (_, _, stays) in partials.items()
    }
