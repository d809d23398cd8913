"""The package is as docs/architecture.md draws it, and its code keeps to the rules that every file shares."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "thinkaloud"
MODULES = sorted(path.relative_to(SRC) for path in SRC.rglob("*.py"))
FILES = [path for path in MODULES if path.name != "__init__.py"]


spec = importlib.util.spec_from_file_location("draw_architecture", ROOT / "docs" / "draw_architecture.py")
assert spec is not None
assert spec.loader is not None
architecture = importlib.util.module_from_spec(spec)
spec.loader.exec_module(architecture)
IMPORTS: dict[str, set[str]] = architecture.imports()


def storey(module: str) -> int:
    """Which folder a module lies in, counted from above; files outside folders come first, the package itself last."""
    top = module.split(".")[0]
    return architecture.FOLDERS.index(top) if top in architecture.FOLDERS else -1 if top else len(architecture.FOLDERS)


def test_the_drawing_is_that_of_the_files() -> None:
    assert architecture.drawn() == architecture.drawing(), "run: python docs/draw_architecture.py --refresh"


def test_every_folder_has_its_place_in_the_order() -> None:
    assert {path.parts[0] for path in FILES if len(path.parts) > 1} == set(architecture.FOLDERS)


def test_lazy_and_type_checking_imports_are_seen(tmp_path: Path) -> None:
    source = (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from thinkaloud.site import Site\n"
        "def f():\n    from thinkaloud import errors\n    import thinkaloud.atomic\n    from . import show\n"
    )
    (tmp_path / "x.py").write_text(source)
    known = architecture.modules()
    found = set(architecture._imported("pair.x", tmp_path / "x.py", known))
    assert found == {"site", "errors", "atomic", "pair.show"}


def test_circles_are_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set(), "e": {"f"}, "f": {"e", "a"}}
    assert architecture.circles(graph) == [["b", "c"], ["e", "f"]]


def test_no_two_files_import_each_other_in_a_circle() -> None:
    assert architecture.circles(IMPORTS) == []


def test_every_path_in_the_docs_exists() -> None:
    for page in [*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"]:
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"`((?:src|tests|docs|recipes|benchmarks|models|\.ci)/[\w./-]*)`", text)
        linked = [link for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text) if "://" not in link]
        missing = [name for name in named if not (ROOT / name).exists()]
        missing += [link for link in linked if not (page.parent / link).exists()]
        assert not missing, f"{page.name} names what does not exist: {missing}"


@pytest.mark.parametrize("module", IMPORTS)
def test_imports_point_upwards(module: str) -> None:
    wrong = {other for other in IMPORTS[module] if storey(other) > storey(module)}
    assert not wrong, f"{module} imports {sorted(wrong)}, which come after it in docs/draw_architecture.py"


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
