"""Registries of parts that are chosen by name, each added by a decorator."""

import importlib
import pkgutil
import sys
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any, TypeVar

from thinkaloud.errors import UserError

Part = TypeVar("Part")
Added = TypeVar("Added", bound=Any)


class Registry(Mapping[str, Part]):
    """Parts by name. The registry is the decorator that adds one; built-in ones lie in `package`, and need no list.

    With `folders`, each built-in part is a package within `package`, and the modules beside them are not imported.
    Without `package` they are registered in the module of the registry itself.
    """

    def __init__(self, kind: str, package: str | None = None, folders: bool = False) -> None:
        self.kind, self._package, self._folders = kind, package, folders
        self._parts: dict[str, Any] = {}

    def __call__(self, part: Added) -> Added:
        """Register `part` under its name, a version after a slash apart; a function under that of its definition."""
        self._parts[str(getattr(part, "name", None) or part.__name__).partition("/")[0]] = part
        return part

    def find(self, name: str) -> Part:
        """The part of this name, or the one that the Python file `name` registers; UserError if there is none."""
        if name.endswith(".py"):
            return self._from_file(Path(name))
        self._load()
        if name not in self._parts:
            near = get_close_matches(name, self._parts, 1)
            hint = f"did you mean {near[0]}?" if near else f"expected one of {', '.join(self)}"
            raise UserError(f"no {self.kind} {name!r}: {hint}")
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

    def _from_file(self, path: Path) -> Part:
        self._load()
        if not path.is_file():
            raise UserError(f"no file {path}: a {self.kind} is a name, or a Python file that registers one")
        before = dict(self._parts)
        spec = spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        sys.modules[path.stem] = module  # dataclasses look their module up, and other processes import it by this name
        sys.path.append(str(path.resolve().parent))
        spec.loader.exec_module(module)
        new = [part for name, part in self._parts.items() if before.get(name) is not part]
        if len(new) != 1:
            raise UserError(f"{path} registers {len(new)} parts of the kind {self.kind}: expected one")
        return new[0]
