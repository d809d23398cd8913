"""Read a few sentences and a chat with the bundled pair, set the controls beside them, and write a report."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from thinkaloud.cli.common import check_target, command, load_pair, put
from thinkaloud.cli.progress import progress

if TYPE_CHECKING:
    from thinkaloud.pair.reading import Reading

TEXTS: list[str | list[dict[str, str]]] = json.loads(files("thinkaloud.cli").joinpath("demo.json").read_bytes())
SHOWN = 4
MAX_TOKENS = 120


@dataclass(frozen=True)
class Args:
    out: Path = Path("thinkaloud-demo.html")
    """The report to write."""
    nla: str = "pocket"
    """The pair: pocket (the bundled one), a folder with av and ar in it, or a hub name."""


def main(args: Args) -> int:
    """Read, print what was found, and write the report."""
    check_target(args.out)
    from rich.text import Text

    from thinkaloud.activations.tokens import tokens_of
    from thinkaloud.atomic import write_text
    from thinkaloud.evals import controls
    from thinkaloud.pair import show
    from thinkaloud.pair.report import report

    nla = load_pair(args.nla)
    with progress("reading", sum(len(tokens_of(nla.tokenizer, text)) for text in TEXTS)) as watch:
        readings = [nla.read(text, max_tokens=MAX_TOKENS, watch=watch) for text in TEXTS]
        beside = controls.beside(readings, nla, max_tokens=MAX_TOKENS)
    for number, reading in enumerate(readings, 1):
        few = spread(reading, SHOWN)
        put(
            "",
            f"{number}. {len(few)} of {len(reading)} positions, evenly spread, of:",
            Text(shown(reading.text), "italic"),
        )
        put(show.rows(few))
    put(show.footer(readings[0], f"relative to {readings[0].baseline}"), show.controls_table(beside))
    write_text(args.out, report(readings, beside, title=f"What the {nla.name} model holds, in words"))
    print(f"Every position is in the report: {args.out} (open it in a browser).")
    pair = () if args.nla == "pocket" else ("--nla", args.nla)
    print(f"next: {command('read', 'A sentence of your own.', *pair, '--html', 'mine.html')}")
    return 0


def spread(reading: "Reading", n: int) -> "Reading":
    """`n` of the positions, evenly spread over the text and ending with its last; special tokens are left out."""
    plain = [position for position in reading if not position.special]
    steps = [round((i + 1) * len(plain) / n) - 1 for i in range(n)]
    chosen = tuple(plain[i] for i in sorted(set(steps)) if i >= 0)
    return replace(reading, positions=chosen, vectors=None)


def shown(text: str | Sequence[Mapping[str, str]]) -> str:
    """A text as it is, a chat a line each."""
    return text if isinstance(text, str) else "\n".join(f"{m['role']}: {m['content']}" for m in text)
