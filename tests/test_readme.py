"""The README can be followed, and what follows it says where it fails.

docs/follow_readme.py runs the README's blocks in a fresh clone, which takes minutes: `.ci/run` does so. Here it follows
texts of a few lines.
"""

import importlib.util
import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from thinkaloud.activations import read_corpus, split_of

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def follower() -> ModuleType:
    spec = importlib.util.spec_from_file_location("follow_readme", ROOT / "docs" / "follow_readme.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["follow_readme"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "clone").mkdir()
    return tmp_path / "clone"


def readme() -> str:
    return (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_fence_is_followed_or_says_why_not(follower: ModuleType) -> None:
    found, lines = follower.blocks(readme()), readme().splitlines()
    assert {block.language for block in found} == {"bash", "python", "text", "console"}
    assert [line for line in lines if line.startswith("```")][::2] == [f"```{block.language}" for block in found]
    for block in found:
        before = " ".join(lines[max(block.line - 5, 0) : block.line - 1])
        if block.language == "console":
            assert re.search(r"GPU|hub|[Cc]lone", before), f"README.md:{block.line} does not say why it is not run"
    named = [block for block in found if block.runs and re.search(r"Qwen/|kitft/", block.body)]
    assert not named, "a block that is run names a model of the hub"


def test_make_knows_its_targets(follower: ModuleType) -> None:
    targets = re.findall(r"^make (\w+)$", "".join(block.body for block in follower.blocks(readme())), re.MULTILINE)
    assert targets == ["demo", "test"]
    for target in targets:
        subprocess.run(["make", "-n", target], cwd=ROOT, check=True, capture_output=True)


def test_the_texts_are_whole_and_some_are_held_out() -> None:
    corpus = read_corpus(ROOT / "texts")
    documents = list(corpus)
    assert corpus.unreadable == 0
    assert sum(document.messages is not None for document in documents) == 300
    listed = re.findall(r"^\| `([\w.-]+)` \| (\d+) \|", (ROOT / "texts" / "README.md").read_text("utf-8"), re.MULTILINE)
    counts = {name: sum(d.id.startswith(f"{name}:") for d in documents) for name, _ in listed}
    assert counts == {name: int(count) for name, count in listed}
    assert sum(counts.values()) == len(documents)
    assert sum(split_of(document.id) == "heldout" for document in documents) >= 10


FOLLOWED = """
```bash
export SEEN="by all"
mkdir made && cd made
```

Not run:

```console
exit 3
```

```python
import os
print(os.environ["SEEN"], "it's $SEEN", os.path.basename(os.getcwd()))
```

```text
by all it's $SEEN made
```
"""


def environment() -> dict[str, str]:
    return {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def test_one_shell_runs_the_blocks_from_top_to_bottom(follower: ModuleType, place: Path) -> None:
    printed = follower.follow(follower.blocks(FOLLOWED), place, environment())
    assert printed == {2: "", 13: "by all it's $SEEN made\n"}


def test_what_needs_smollm2_is_left_out_where_it_cannot_be_had(
    follower: ModuleType, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tools = place.parent / "tools"
    tools.mkdir()
    text = "```bash\necho one\n```\n```bash\necho smollm2\n```\n```text\nsmollm2\n```\n"
    for code, expected in ((0, {1: "one\n", 4: "smollm2\n"}), (2, {1: "one\n"})):
        (tools / "thinkaloud").write_text(f"#!/bin/sh\nexit {code}\n")
        (tools / "thinkaloud").chmod(0o755)
        given = {**environment(), "PATH": f"{tools}:{os.environ['PATH']}"}
        assert follower.follow(follower.blocks(text), place, given) == expected
        assert ("README.md:4    left out" in capsys.readouterr().out) == (code != 0)
    assert follower.refreshed(text, place, given) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\n```bash\necho so far\nfalse\ntrue\n```\n", r"README.md:2 fails:\necho so far\nfalse\ntrue\n\nso far"),
        ("```bash\nfalse | true\n```\n", "README.md:1 fails"),
        ("```bash\nls /nowhere\n```\n", r"README.md:1 fails[\s\S]*/nowhere"),
        ("```bash\nexit 0\n```\n```bash\necho on\n```\n", "README.md:1 fails"),
        ("```python\nraise SystemExit(1)\n```\n", "README.md:1 fails"),
        ("```bash\necho one two three\n```\n\n```text\nfour five six\n```\n", "README.md:1 shows other output"),
    ],
)
def test_a_block_that_does_otherwise_is_named(follower: ModuleType, place: Path, text: str, message: str) -> None:
    with pytest.raises(follower.Failed, match=message):
        follower.follow(follower.blocks(text), place, environment())


def test_output_is_refreshed_and_nothing_else(follower: ModuleType, place: Path) -> None:
    old = FOLLOWED.replace("by all it's $SEEN made", "old")
    now = follower.refreshed(old, place, {**environment(), "SEEN": "again"})
    assert now == FOLLOWED.replace("by all it's $SEEN made", "again it's $SEEN clone")


def test_the_clean_shell_has_a_bare_path(follower: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/somewhere")
    monkeypatch.setenv("PIP_FIND_LINKS", "/wheels")
    made = follower.clean_environment()
    assert made["PATH"].split(":")[:2] == ["/usr/bin", "/bin"]
    assert made["PIP_FIND_LINKS"] == "/wheels"
    assert "PYTHONPATH" not in made
    assert "VIRTUAL_ENV" not in made
