"""Registries of parts that are chosen by name, each added by a decorator."""

import importlib
import pkgutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from functools import partial
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, TypeVar, overload

from thinkaloud.errors import UserError

Part = TypeVar("Part")
Added = TypeVar("Added", bound=Any)


def suggest(word: str, known: Iterable[str]) -> str:
    """`: did you mean X?` for the nearest of `known`; without one, what there is."""
    known = list(known)
    near = get_close_matches(word, known, 1)
    return f": did you mean {near[0]}?" if near else f": expected one of {', '.join(known)}"


class Registry(Mapping[str, Part]):
    """Parts by name. The registry is the decorator that adds one; built-in ones lie in `package`, and need no list.

    A part of one's own lies in any Python file, and goes by FILE.py, or by FILE.py:NAME where the file has several.
    With `folders`, each built-in part is a package within `package`, and the modules beside them are not imported.
    Without `package` they are registered in the module of the registry itself.
    """

    def __init__(self, kind: str, package: str | None = None, folders: bool = False) -> None:
        self.kind, self._package, self._folders = kind, package, folders
        self._parts: dict[str, Any] = {}
        self._files: dict[Path, dict[str, Any]] = {}

    @overload
    def __call__(self, part: str) -> Callable[[Added], Added]: ...
    @overload
    def __call__(self, part: Added) -> Added: ...
    def __call__(self, part: Any) -> Any:
        """Register `part` under its name, a version after a slash apart; one without is named as it is defined.

        `@registry("parrot/1")` is the decorator that gives a name.
        """
        if isinstance(part, str):
            return partial(self._add, part)
        return self._add(getattr(part, "name", None) or part.__name__, part)

    def _add(self, name: str, part: Any) -> Any:
        if getattr(part, "name", None) != name:
            part.name = name
        self._parts[name.partition("/")[0]] = part
        return part

    def find(self, name: str) -> Part:
        """The part of this name, or the one that a Python file registers; UserError if there is none."""
        file, _, part = (name, "", "") if name.endswith(".py") else name.rpartition(":")
        if file.endswith(".py"):
            return self._from_file(Path(file).expanduser().resolve(), part)
        self._load()
        if name not in self._parts:
            raise UserError(f"no {self.kind} {name!r}{suggest(name, self)}")
        return self._parts[name]

    def __getitem__(self, name: str) -> Part:
        self._load()
        return self._parts[name]

    def __iter__(self) -> Iterator[str]:
        self._load()
        return iter(self._parts)

    def __len__(self) -> int:
        self._load()
        return len(self._parts)

    def _load(self) -> None:
        package, self._package = self._package, None
        if package is not None:
            for module in pkgutil.iter_modules(importlib.import_module(package).__path__):
                if module.ispkg or not self._folders:
                    importlib.import_module(f"{package}.{module.name}")

    def _from_file(self, path: Path, name: str) -> Part:
        if path not in self._files:
            self._load()
            self._files[path] = self._registered_by(path)
        new, name = self._files[path], name.partition("/")[0]
        if name and name not in new:
            raise UserError(f"{path} registers no {self.kind} {name}: expected one of {', '.join(new)}")
        if not name and len(new) != 1:
            raise UserError(f"{path} registers {len(new)} parts of the kind {self.kind}: expected one")
        return new[name or next(iter(new))]

    def _registered_by(self, path: Path) -> dict[str, Any]:
        if not path.is_file():
            raise UserError(f"no file {path}: a {self.kind} is a name, or a Python file that registers one")
        if path.stem in sys.stdlib_module_names:
            raise UserError(f"{path} has the name of a module of Python's own: give it another")
        before = dict(self._parts)
        spec = spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[path.stem] = module  # dataclasses look their module up, and other processes import it by this name
        sys.path.append(str(path.resolve().parent))
        spec.loader.exec_module(module)
        return {name: part for name, part in self._parts.items() if before.get(name) is not part}
