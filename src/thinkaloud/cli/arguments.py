"""Command-line arguments: parsing, help that fits the terminal, suggestions for what is misspelt, shell completion."""

import importlib
import io
import sys
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import is_dataclass, replace
from difflib import get_close_matches
from functools import reduce
from operator import or_
from types import NoneType
from typing import Annotated, Any, get_args, get_type_hints

import tyro
from tyro.constructors import (
    ConstructorRegistry,
    PrimitiveConstructorSpec,
    PrimitiveTypeInfo,
    StructConstructorSpec,
    StructFieldSpec,
    StructTypeInfo,
)

from thinkaloud.cli.common import put
from thinkaloud.config.nested import Nested
from thinkaloud.errors import UserError
from thinkaloud.registry import suggest

SHELLS = ("bash", "zsh", "fish")
CONFIG = (tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes)
RULES = ConstructorRegistry()
# After an option bash completes files as files; where nothing else is to be said, it does what it does by default.
BASH_TAIL = """
_thinkaloud() {
  _tyro_thinkaloud
  [[ ${COMP_WORDS[COMP_CWORD-1]} == --* ]] && compopt -o filenames
  [[ -n ${COMPREPLY[*]} ]] || COMPREPLY=()
}
complete -o bashdefault -o default -F _thinkaloud thinkaloud"""


def parse(
    kind: Any, args: Sequence[str], prog: str, description: str | None, default: Any = None, known: Any = None
) -> Any:
    """The arguments as an instance of `kind`, a dataclass or a union of subcommands; prints help and exits if asked.

    UserError for an option or a subcommand that there is not. `default` holds other defaults than those of `kind`;
    `known` is a dataclass of all options, where `kind` has but some.
    """
    args = [_with_group(kind, word) for word in args]
    how: dict[str, Any] = {"prog": prog, "description": description or "", "config": CONFIG, "registry": RULES}
    if _nested(kind):
        how["description"] += (
            "\n\nAn option of a group goes by its last part too, where that is clear: --lr for --optim.lr."
        )
    how["default"] = tyro.MISSING_NONPROP if default is None else default
    if "-h" in args or "--help" in args:
        with _wrapped():
            return tyro.cli(kind, args=args, **how)
    _refuse_unknown(tyro.extras.get_parser(known or kind, **how), args, prog)
    return tyro.cli(kind, args=args, **how)


def _with_group(kind: Any, word: str) -> str:
    """An option by its whole name: `--optim.lr` for `--lr`, `--eval.every` for an earlier `--eval-every`."""
    if not word.startswith("--"):
        return word
    name, equals, value = word[2:].partition("=")
    dotted = name.replace("-", "_")
    for nested in _nested(kind):
        full = nested.full_name(dotted)
        if full != dotted:
            return f"--{full.replace('_', '-')}{equals}{value}"
    step, dot, rest = name.partition(".")
    if dot and is_dataclass(kind) and step in (hints := get_type_hints(kind)):
        return f"--{step}.{_with_group(hints[step], f'--{rest}')[2:]}{equals}{value}"
    return word


def _nested(kind: Any) -> list[type[Nested]]:
    """The configurations that `kind` is or chooses from."""
    if isinstance(kind, type):
        return [kind] if issubclass(kind, Nested) else []
    return [found for part in get_args(kind) for found in _nested(part)]


def completion(shell: str, verbs: Iterable[str]) -> str:
    """A script that completes the whole command in `shell`; UserError for a shell it is not written for."""
    if shell not in SHELLS:
        raise UserError(f"no completion for the shell {shell!r}{suggest(shell, SHELLS)}")
    kinds = []
    for verb in verbs:
        module = importlib.import_module(f"thinkaloud.cli.{verb}")
        kinds.append(Annotated[getattr(module, "Options", None) or module.Args, tyro.conf.subcommand(verb)])
    script = io.StringIO()
    how: dict[str, Any] = {"prog": "thinkaloud", "config": CONFIG, "registry": RULES}
    with redirect_stdout(script), suppress(SystemExit):  # how tyro ends
        tyro.cli(reduce(or_, kinds), args=["--tyro-print-completion", shell], **how)
    return script.getvalue().rstrip() + (BASH_TAIL if shell == "bash" else "")


@RULES.primitive_rule
def _optional(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec | None:
    """`X | None` is shown as X; the word None still says that nothing is set."""
    kinds = [kind for kind in get_args(info.type) if kind is not NoneType]
    if NoneType not in get_args(info.type) or len(kinds) != 1:
        return None
    spec = ConstructorRegistry.get_primitive_spec(PrimitiveTypeInfo.make(kinds[0], set(info.markers)))
    if not isinstance(spec, PrimitiveConstructorSpec):
        return None
    return replace(
        spec,
        instance_from_str=lambda words: None if words == ["None"] else spec.instance_from_str(words),
        is_instance=lambda value: value is None or spec.is_instance(value),
        str_from_instance=lambda value: ["None"] if value is None else spec.str_from_instance(value),
    )


_inner: list[Any] = []


@RULES.struct_rule
def _quiet_defaults(info: StructTypeInfo) -> StructConstructorSpec | None:
    """A dataclass as usual, but the help is wrapped anew, and names no default that says nothing: None, or a flag's."""
    if not is_dataclass(info.type) or info.type in _inner:
        return None
    _inner.append(info.type)
    try:
        found = ConstructorRegistry.get_struct_spec(info)
    finally:
        _inner.pop()
    if not isinstance(found, StructConstructorSpec):
        return None
    return replace(found, fields=tuple(map(_quiet, found.fields)))


def _quiet(field: StructFieldSpec) -> StructFieldSpec:
    """A field whose help is not broken into lines yet, and has no default that is None or False."""
    hidden: Any = tyro.conf.arg(help_behavior_hint="")
    kind = Annotated[field.type, hidden] if field.default is None or field.default is False else field.type

    def words() -> str | None:
        text = field.helptext() if callable(field.helptext) else field.helptext
        return text and " ".join(text.split())

    return replace(field, type=kind, helptext=words)


def _refuse_unknown(parser: Any, args: Sequence[str], prog: str) -> None:
    """UserError for the first option, or the subcommand in the first place, that `parser` does not have."""
    for i, word in enumerate(args):
        if word == "--":  # what follows is no option, whatever it looks like
            return
        subcommands = next((a.choices for a in parser._actions if isinstance(a.choices, dict)), None)
        if subcommands and word in subcommands:
            parser, prog = subcommands[word], f"{prog} {word}"
        elif subcommands and i == 0 and not word.startswith("-"):
            raise UserError(f"{prog} has no {word!r}{suggest(word, subcommands)}")
        elif word.startswith("--"):
            option = word.split("=")[0]
            known = [name.replace("_", "-") for a in parser._actions for name in a.option_strings if len(name) > 2]
            last = Counter(name.rpartition(".")[2] for name in known if "." in name)
            short = [f"--{name}" for name, times in last.items() if times == 1 and f"--{name}" != option]
            if option.replace("_", "-") not in known:
                near = get_close_matches(option.replace("_", "-"), known + short, 1)
                if subcommands and i == 0 and not near:
                    raise UserError(f"{prog} expects one of {', '.join(subcommands)} first, found {option}")
                what = f"did you mean {near[0]}?" if near else f"{prog} --help lists them"
                raise UserError(f"{prog} has no option {option}: {what}")


@contextmanager
def _wrapped() -> Any:
    """What is printed inside comes out wrapped at the terminal's width, in its colours."""
    from rich.text import Text

    class Page(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    terminal, page = sys.stdout.isatty(), Page()
    try:
        with redirect_stdout(page):
            yield
    finally:
        put(Text.from_ansi(page.getvalue().rstrip()))
