"""Draw "The files" of docs/architecture.md from the docstrings and imports of the package's files.

`python docs/draw_architecture.py --refresh` writes the drawing. A file's line is its docstring's first line; files
of a folder stand below what they import, lazily or for type checking too.
"""

import ast
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent
SRC = ROOT / "src" / "thinkaloud"
PAGE = ROOT / "docs" / "architecture.md"

# Which folder may import which: only those before it. Files outside folders come before all of them.
FOLDERS = (
    "config",
    "models",
    "activations",
    "rollout",
    "writers",
    "render",
    "pair",
    "evals",
    "training",
    "pocket",
    "studies",
    "cli",
)


def modules() -> dict[str, Path]:
    """The package's files by module name, packages by their own: `pair.nla`, `pair`, and `` for the whole."""
    found = {}
    for path in sorted(SRC.rglob("*.py")):
        parts = path.relative_to(SRC).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports() -> dict[str, set[str]]:
    """For each module the modules of the package that it imports, anywhere in it; a name of a package is its module."""
    known = modules()
    return {name: set(_imported(name, path, known)) - {name} for name, path in known.items()}


def _imported(name: str, path: Path, known: Mapping[str, Path]) -> Iterator[str]:
    package = ["thinkaloud", *name.split(".")] if path.name == "__init__.py" else ["thinkaloud", *name.split(".")[:-1]]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            names = [f"{module}.{alias.name}" for alias in node.names]
        else:
            continue
        for full in names:
            parts = full.split(".")
            if parts[0] != "thinkaloud" or parts[1:] in ([], ["__version__"]):
                continue
            inner = ".".join(parts[1:])
            yield inner if inner in known else inner.rpartition(".")[0]


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Modules that import each other in a circle, each circle as its sorted members (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(one: str) -> None:
        index[one] = low[one] = len(index)
        stack.append(one)
        for other in sorted(graph[one]):
            if other not in index:
                visit(other)
            if other in stack:
                low[one] = min(low[one], low[other])
        if low[one] == index[one]:
            members = stack[stack.index(one) :]
            del stack[stack.index(one) :]
            if len(members) > 1:
                found.append(sorted(members))

    for one in sorted(graph):
        if one not in index:
            visit(one)
    return found


def ordered(folder: str, graph: Mapping[str, set[str]]) -> list[str]:
    """What lies directly in a folder (`` for the package), each below what it imports, else by name."""
    prefix = f"{folder}." if folder else ""
    children = sorted({prefix + name.removeprefix(prefix).split(".")[0] for name in graph if name.startswith(prefix)})
    children = [child for child in children if child not in ("", folder)]
    if not folder:
        return [*(c for c in _below(children, graph) if c not in FOLDERS), *FOLDERS]
    return _below(children, graph)


def _below(children: list[str], graph: Mapping[str, set[str]]) -> list[str]:
    def within(child: str, name: str) -> bool:
        return name == child or name.startswith(f"{child}.")

    needs = {
        child: {
            other
            for name, some in graph.items()
            if within(child, name)
            for used in some
            for other in children
            if other != child and within(other, used)
        }
        for child in children
    }
    out: list[str] = []
    while len(out) < len(children):
        free = [child for child in children if child not in out and needs[child] <= set(out)]
        out.append(free[0] if free else next(child for child in children if child not in out))
    return out


def lines(folder: str = "", depth: int = 0) -> Iterator[str]:
    """The drawing of a folder, a line a file."""
    known, graph = modules(), imports()
    for name in ordered(folder, graph):
        path = known[name]
        package = path.name == "__init__.py"
        label = "  " * depth + name.rpartition(".")[2] + ("/" if package else ".py")
        yield f"{label:<20}{first_line(path)}".rstrip()
        if package:
            yield from lines(name, depth + 1)


def first_line(path: Path) -> str:
    """The first line of a file's docstring, without its full stop."""
    doc = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return doc.partition("\n")[0].rstrip(".")


def drawing() -> str:
    """The drawing as it stands in the page, its fences included."""
    return "```\n" + "\n".join(lines()) + "\n```"


def drawn() -> str:
    """The drawing that the page holds."""
    found = re.search(r"## The files\n.*?(```\n.*?\n```)", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert found, "docs/architecture.md has no drawing"
    return found.group(1)


if __name__ == "__main__":
    if "--refresh" in sys.argv[1:]:
        PAGE.write_text(PAGE.read_text(encoding="utf-8").replace(drawn(), drawing()), encoding="utf-8")
    else:
        print(drawing())
