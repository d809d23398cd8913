"""The README followed: its fenced blocks, run from top to bottom by one shell in a fresh clone of the last commit.

`python3 docs/follow_readme.py` clones the repository into a temporary folder and starts a shell there that has nothing
of this one but HOME, what pip and the network need, and a PATH of /usr/bin and /bin. The language of a fence says what
is done: `bash` and `python` are run, `text` is what the block above prints, `console` is not run (it needs a hub or a
GPU, as the README says beside it). A block that names smollm2 is left out, and that is said, where SmolLM2 cannot be
had. The first block that fails ends it; output that differs from what is shown fails as
well. The last line is the one that `make test` ended with.

`.venv/bin/python docs/follow_readme.py --refresh` puts into the README what the blocks with output shown print now, in
the environment of `make setup`; due after a change of the bundled pair or of the tables.

Needs nothing but the standard library.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# How a machine reaches the network, and which tests are asked for: what a clean shell of its owner has too.
KEPT = re.compile(
    r"HOME|LANG|TMPDIR|THINKALOUD_CACHE|PIP_\w+|\w+_(proxy|PROXY)|SSL_CERT_\w+|REQUESTS_CA_BUNDLE|PYTEST_ADDOPTS"
)
SUITABLE = "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))"
GET = "if thinkaloud get smollm2 >/dev/null 2>&1; then echo done; else echo not; fi\n"
LIKENESS = 0.9
"""Share of the words shown that have to be printed: another processor rounds otherwise, and now and then a word falls
differently."""


@dataclass(frozen=True)
class Block:
    language: str
    body: str
    line: int

    @property
    def runs(self) -> bool:
        return self.language in ("bash", "python")

    @property
    def command(self) -> str:
        """The block as lines of bash."""
        return f"python - <<'END_OF_BLOCK'\n{self.body}END_OF_BLOCK\n" if self.language == "python" else self.body


class Failed(Exception):
    """Which block did not do what the README says, and what it printed."""


def blocks(text: str) -> list[Block]:
    return [Block(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in FENCE.finditer(text)]


def shown(found: Sequence[Block]) -> list[tuple[Block, Block]]:
    """(a block that runs, the output that the text shows for it)."""
    return [(run, out) for run, out in pairwise(found) if out.language == "text"]


def clean_environment() -> dict[str, str]:
    """HOME, and what pip and the network need. On the PATH the system's folders, and this Python's own where these have
    no Python from 3.11 on."""
    kept = {name: value for name, value in os.environ.items() if KEPT.fullmatch(name)}
    path = "/usr/bin:/bin"
    for name in ("python3.13", "python3.12", "python3.11", "python3"):
        found = shutil.which(name, path=path)
        if found and subprocess.run([found, "-c", SUITABLE], capture_output=True).returncode == 0:
            break
    else:
        path += f":{Path(getattr(sys, '_base_executable', sys.executable)).resolve().parent}"
    return {**kept, "PATH": path, "COLUMNS": "100"}


def follow(found: Sequence[Block], folder: Path, environment: Mapping[str, str]) -> dict[int, str]:
    """What every block that runs printed, by its line; one bash for all of them, so what a block activates stays."""
    printed: dict[int, str] = {}
    log, pipe = folder.parent / "block.log", subprocess.PIPE
    with subprocess.Popen(["bash"], cwd=folder, env=dict(environment), stdin=pipe, stdout=pipe, text=True) as shell:
        assert shell.stdin is not None
        assert shell.stdout is not None
        for block in found:
            if not block.runs:
                continue
            if "smollm2" in block.body and _answer(shell, folder.parent / "get.sh", GET) != "done\n":
                print(f"README.md:{block.line:<4} left out: SmolLM2 is not to be had here", flush=True)
                continue
            began = time.monotonic()
            # In braces and with `set -e` the first command that fails ends the shell, which closes its output.
            script = f"set -eo pipefail\n{{\n{block.command}}} </dev/null >{log} 2>{log}.err\necho done\n"
            said = _answer(shell, folder.parent / f"block-{block.line}.sh", script)
            printed[block.line] = log.read_text(encoding="utf-8", errors="replace")
            if said != "done\n":
                errors = Path(f"{log}.err").read_text(encoding="utf-8", errors="replace")
                raise Failed(f"README.md:{block.line} fails:\n{block.body}\n{printed[block.line]}\n{errors}")
            first = block.body.splitlines()[0]
            print(f"README.md:{block.line:<4} {time.monotonic() - began:6.1f} s  {first}", flush=True)
    for run, out in shown(found):
        if run.line not in printed:
            continue
        likeness = SequenceMatcher(None, out.body.split(), printed[run.line].split(), autojunk=False).ratio()
        if likeness < LIKENESS:
            raise Failed(f"README.md:{run.line} shows other output than it prints:\n{printed[run.line]}")
    return printed


def _answer(shell: subprocess.Popen[str], file: Path, script: str) -> str:
    """The line that the shell answers after reading `script`, empty where it ended."""
    assert shell.stdin is not None
    assert shell.stdout is not None
    file.write_text(script, encoding="utf-8")
    try:
        shell.stdin.write(f"source {file}\n")
        shell.stdin.flush()
    except BrokenPipeError:
        return ""
    return shell.stdout.readline()


def refreshed(text: str, folder: Path, environment: Mapping[str, str]) -> str:
    """The text with what its blocks print now in place of the output that it shows."""
    for run, out in shown(blocks(text)):
        printed = follow([run], folder, environment)
        now = printed.get(run.line, out.body).strip("\n") + "\n"
        text = text.replace(f"```text\n{out.body}```", f"```text\n{now}```")
    return text


def main(arguments: Sequence[str]) -> int:
    text = README.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="readme-") as place:
        try:
            if list(arguments) == ["--refresh"]:
                tools = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
                environment = {**os.environ, "PATH": tools, "COLUMNS": "100", "HF_HUB_OFFLINE": "1"}
                (Path(place) / "here").mkdir()
                README.write_text(refreshed(text, Path(place) / "here", environment), encoding="utf-8")
                return 0
            clone = Path(place) / "thinkaloud"
            subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
            found = blocks((clone / "README.md").read_text(encoding="utf-8"))
            printed = follow(found, clone, clean_environment())
        except Failed as failure:
            print(failure, file=sys.stderr)
            return 1
    for block in found:
        if "make test" in block.body.splitlines():
            print(printed[block.line].strip().splitlines()[-1])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
