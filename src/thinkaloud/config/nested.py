"""`Nested`: options in groups (`optim.lr`) that also go by short names (`lr`) and by those of earlier versions."""

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass, replace
from operator import attrgetter
from types import MappingProxyType
from typing import Any, ClassVar, Self

from thinkaloud.errors import UserError


@dataclass(frozen=True)
class Group:
    """Options that belong together, checked on construction; `called` is the group's name in a `Nested`."""

    called: ClassVar[str] = ""

    def at_least(self, least: int, *names: str) -> None:
        """Refuse a number below `least`; None leaves it open."""
        self.check(names, lambda value: value >= least, f"{least} or more")

    def positive(self, *names: str) -> None:
        """Refuse a number that is not above 0; None leaves it open."""
        self.check(names, lambda value: value > 0, "a positive number")

    def check(self, names: tuple[str, ...], holds: Callable[[Any], bool], what: str) -> None:
        """Refuse a number that is not finite, or for which `holds` does not hold; None leaves it open."""
        for name in names:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and holds(value)):
                whole = f"{self.called}.{name}" if self.called else name
                raise UserError(f"{whole} must be {what}, found {value}")


@dataclass(frozen=True)
class Nested(Group):
    """A configuration with groups of options. `EARLIER` has the full names of options that went by another one."""

    EARLIER: ClassVar[Mapping[str, str]] = MappingProxyType({})
    OPEN: ClassVar[Collection[str]] = ()
    """Full names of options that are decided when a run begins, where they are None."""

    @classmethod
    def groups(cls) -> dict[str, Any]:
        """Its groups by name, as they are by default."""
        return {field.name: field.default for field in fields(cls) if is_dataclass(field.default)}

    @classmethod
    def full_name(cls, name: str) -> str:
        """The name of an option with its group: `optim.lr` for `lr`, `eval.every` for an earlier `eval_every`."""
        if name in cls.EARLIER:
            return cls.EARLIER[name]
        if name in {field.name for field in fields(cls)}:
            return name
        within = [group for group, options in cls.groups().items() if name in {o.name for o in fields(options)}]
        return f"{within[0]}.{name}" if len(within) == 1 else name

    @classmethod
    def of(cls, **options: Any) -> Self:
        """A configuration from options by any of their names, also as `to_dict` gave them, of earlier versions too."""
        return cls(**cls._grouped(options, cls.groups()))

    def but(self, **options: Any) -> Self:
        """This configuration with other options, by any of their names."""
        return replace(self, **self._grouped(options, {name: getattr(self, name) for name in self.groups()}))

    def left_open(self) -> list[str]:
        """The options that a run which begins will decide."""
        return [name for name in self.OPEN if attrgetter(name)(self) is None]

    def check_groups(self) -> None:
        """Refuse what is no group where one belongs, as an option that once had its name."""
        for name, group in self.groups().items():
            if not isinstance(getattr(self, name), type(group)):
                kind, found = type(group).__name__, type(getattr(self, name)).__name__
                raise UserError(f"{name} must be a {kind}, found {found}: {type(self).__name__}.of takes short names")

    def changed(self) -> dict[str, Any]:
        """The options that are not as they are by default, by their full names."""
        found = {field.name: getattr(self, field.name) for field in fields(self) if field.name not in self.groups()}
        usual = {field.name: field.default for field in fields(self)}
        for name, group in self.groups().items():
            now = getattr(self, name)
            found |= {f"{name}.{option.name}": getattr(now, option.name) for option in fields(now)}
            usual |= {f"{name}.{option.name}": getattr(group, option.name) for option in fields(group)}
        return {name: value for name, value in found.items() if value != usual[name]}

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def _grouped(cls, options: Mapping[str, Any], groups: Mapping[str, Any]) -> dict[str, Any]:
        whole, inside = {}, {}
        for name, value in options.items():
            if name in groups and _is_group(value, groups[name]):
                inside.setdefault(name, {}).update(value)
                continue
            group, dot, option = (name if is_dataclass(value) else cls.full_name(name)).partition(".")
            if dot:
                inside.setdefault(group, {})[option] = value
            else:
                whole[group] = value
        return whole | {name: replace(whole.pop(name, groups[name]), **changes) for name, changes in inside.items()}


def _is_group(value: Any, group: Any) -> bool:
    """Whether `value` is a group's options by name; an option that had the group's name may be a mapping too."""
    return isinstance(value, Mapping) and set(value) <= {field.name for field in fields(group)}
