"""Is the house as docs/architecture.md draws it, and does the code keep to the rules every file shares?"""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "thinkaloud"
ARCHITECTURE = ROOT / "docs" / "architecture.md"
MODULES = sorted(path.relative_to(SRC) for path in SRC.rglob("*.py"))
FILES = [path for path in MODULES if path.name != "__init__.py"]


def drawn() -> list[str]:
    """The paths of the drawing in reading order: `folder/` or `folder/file.py`, relative to src/thinkaloud."""
    block = ARCHITECTURE.read_text(encoding="utf-8").split("## The files")[1].split("```")[1]
    paths, parents = [], [""]
    for line in block.strip("\n").splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        parents[depth + 1 :] = [parents[depth] + name]
        paths.append(parents[depth] + name)
    return paths


def storey(path: str) -> str:
    """What a file's place in the order is called: its top folder with a slash, or the file itself."""
    return path.split("/")[0] + "/" if "/" in path else path


ORDER = [path for path in drawn() if storey(path) == path]


def imported(path: Path) -> Iterator[str]:
    """Files and folders of the package that the module imports, anywhere in it, as the drawing writes them."""
    package = ["thinkaloud", *path.parent.parts]
    for node in ast.walk(ast.parse((SRC / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            parts = name.split(".")
            if parts[0] != "thinkaloud" or parts[1:] in ([], ["__version__"]):
                continue
            if (SRC / parts[1]).is_dir():
                yield parts[1] + "/"
            elif (SRC / f"{parts[1]}.py").is_file():
                yield parts[1] + ".py"
            else:
                yield "__init__.py"


def test_the_drawing_names_what_exists() -> None:
    missing = [path for path in drawn() if not (SRC / path).exists()]
    assert not missing, f"docs/architecture.md draws what does not exist: {missing}"


def test_everything_that_exists_is_drawn() -> None:
    folders = {f"{parent.as_posix()}/" for path in FILES for parent in path.parents if parent != Path()}
    missing = ({path.as_posix() for path in FILES} | folders) - set(drawn())
    assert not missing, f"docs/architecture.md does not draw {sorted(missing)}"


def test_every_path_in_the_docs_exists() -> None:
    for page in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"`((?:src|tests|docs|recipes|benchmarks|models|\.ci)/[\w./-]*)`", text)
        linked = [link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) if "://" not in link]
        missing = [name for name in named if not (ROOT / name).exists()]
        missing += [link for link in linked if not (page.parent / link).exists()]
        assert not missing, f"{page.name} names what does not exist: {missing}"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_upwards(path: Path) -> None:
    own = storey(path.as_posix())
    allowed = {own, *ORDER[: ORDER.index(own)]}
    wrong = set(imported(path)) - allowed
    assert not wrong, f"{path} imports {sorted(wrong)}, which docs/architecture.md draws below {own}"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_a_file_is_short_and_says_which_question_it_answers(path: Path) -> None:
    source = (SRC / path).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 600
    if source.strip() or path.name != "__init__.py":
        assert ast.get_docstring(ast.parse(source)), f"{path} has no docstring"


@pytest.mark.parametrize("path", MODULES, ids=str)
def test_no_unsafe_loading_and_no_unfinished_marks(path: Path) -> None:
    source = (SRC / path).read_text(encoding="utf-8")
    found = re.findall(r"trust_remote_code\s*=\s*True|torch\.load\(|\bpickle\.loads?\(|\bimport pickle\b", source)
    found += re.findall(r"\b(?:TODO|FIXME|XXX|NotImplementedError)\b|\bfor now\b", source)
    assert not found, f"{path}: {found}"


def modules_after(code: str) -> set[str]:
    """The top-level modules a fresh interpreter holds after `code`."""
    script = f"import sys\n{code}\nprint('|' + ' '.join({{name.split('.')[0] for name in sys.modules}}))"
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    return set(out.rsplit("|", 1)[1].split())


@pytest.mark.parametrize(
    "code",
    [
        "import thinkaloud",
        "from thinkaloud.cli import main; main(['--help'])",
        "import thinkaloud.config.train",
    ],
    ids=["import", "help", "config"],
)
def test_what_must_be_quick_imports_no_torch(code: str) -> None:
    assert not modules_after(code) & {"torch", "transformers", "peft", "pyarrow"}
